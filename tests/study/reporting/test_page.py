"""The HTML page: escaped, self-contained, and readable without color."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from reported import EVIL, document

from medvol.study.reporting.document import Picture, Table
from medvol.study.reporting.page import render


class _Reader(HTMLParser):
    """Collects tags, and complains about those that are not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _read(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    assert not reader.open
    return reader


def test_whatever_is_named_stays_text():
    reader = _read(render(document(EVIL)))
    assert "script" not in {tag for tag, _ in reader.tags}
    assert "".join(reader.text).count(EVIL) >= 15


def test_nothing_comes_from_outside():
    page = render(document())
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in page
    assert "@import" not in page


def test_tables_and_pictures_can_be_read_aloud():
    reader = _read(render(document()))
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("caption") == tags.count("table") == 3
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in reader.tags if tag == "th")
    assert [a["alt"] for tag, a in reader.tags if tag == "img"] == ["text"]


@pytest.mark.parametrize("word", ["helps", "harms", "no evidence", "not judged"])
def test_a_verdict_is_a_word_and_a_sign(word):
    found = re.findall(
        r'<li class="\w+"><span class="word \w+"><span aria-hidden="true">(.)</span> ([\w ]+)</span>',
        render(document()),
    )
    assert word in [name for _, name in found]
    assert len({sign for sign, _ in found}) == 4


def test_wide_things_scroll_in_their_own_box():
    page = render(document())
    assert page.count('<div class="scroll"') == page.count("<table>") == 3


def test_what_is_folded_can_be_opened_and_printed():
    page = render(document())
    assert page.count("<details>") == 2
    assert "details::details-content" in page


def test_folded_claims_open_when_asked_for():
    shown = document()
    claims = tuple(replace(claim, folded=True) for claim in shown.claims)
    assert "<details><summary>group text</summary>" in render(replace(shown, claims=claims))


def test_wide_pictures_have_a_row_each_and_scroll_where_the_page_is_narrow():
    shown = document()
    (section,) = shown.sections
    plot = next(part for part in section.parts if isinstance(part, Picture))
    page = render(replace(shown, sections=(replace(section, parts=(plot, *[replace(plot, wide=True)] * 2)),)))
    before, after = page.split('<div class="pictures wide">')
    assert before.count("<img") == 1
    assert '<div class="pictures alone">' in before
    assert after.count("<img") == after.count('class="scroll"') == 2


def test_costs_wrap_at_the_end_of_a_table():
    shown = document()
    table = Table("costs", ("arm", "mean", "cost"), (("scratch", "0.5", "1800 steps, 3600 examples"),), texts=1)
    page = render(replace(shown, overview=table))
    assert '<td class="number">0.5</td>' in page
    assert '<td class="text">1800 steps, 3600 examples</td>' in page
    assert '<th scope="col">cost</th>' in page


def test_the_heads_of_a_table_do_not_shrink_to_single_letters_on_a_phone():
    # "anywhere" counts single letters as the narrowest content of a column, "break-word" does not.
    phone = render(document()).partition("@media screen")[2].partition("@media print")[0]
    assert re.search(r"tbody th\.short, thead th:first-child \{[^}]*overflow-wrap: break-word", phone)
    assert re.search(r"thead th:first-child \{[^}]*overflow-wrap: normal", render(document()))


def test_equal_documents_give_equal_pages():
    assert render(document()) == render(document())
