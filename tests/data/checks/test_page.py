from html.parser import HTMLParser

from medvol.data.checks import Finding, Problem, Report

COUNTS = {"files": 1, "items": 1, "patients": 1, "seconds": 0.1}


class Rows(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_one_row_per_finding_and_nothing_from_elsewhere():
    findings = [Finding(Problem("constant", "error", "a", "b", "c"), "training", f"c{i}", "f") for i in range(4)]
    tags = Rows(Report("demo", findings, COUNTS).html()).tags
    assert sum(tag == "tr" and "data-rank" in attrs for tag, attrs in tags) == 4
    assert not any("src" in attrs or "href" in attrs for _, attrs in tags)


def test_names_are_text_not_markup():
    evil = "<script>alert(1)</script>"
    page = Report(evil, [Finding(Problem("form", "error", evil, evil, evil), evil, evil, evil)], COUNTS).html()
    assert evil not in page
    assert sum(tag == "script" for tag, _ in Rows(page).tags) == 1


def test_the_color_of_the_verdict():
    def state(*severities):
        problems = [Finding(Problem("affine", severity, "a", "b", "c")) for severity in severities]
        tags = Rows(Report("demo", problems, COUNTS).html()).tags
        return next(attrs["class"] for tag, attrs in tags if attrs.get("class", "").startswith("verdict"))

    assert state() == state("note") == "verdict good"
    assert state("note", "warning") == "verdict warning"
    assert state("error", "note") == "verdict error"
