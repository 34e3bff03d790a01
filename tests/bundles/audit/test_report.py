import json

import numpy as np
import pytest

from medvol.bundles.audit.guessing import Answer, share_interval
from medvol.bundles.audit.report import Finding, Report


def answer(right, high, way="random forest", low=None, samples=2000):
    return Answer(way, right, max(0.0, 2 * right - high) if low is None else low, high, samples, 40)


def finding(high, right=None, images="noise", **more):
    right = high - 0.01 if right is None else right
    return Finding(images, "cell", 0.04, [answer(right, high), answer(0.04, 0.045, "logistic regression")], **more)


def test_the_upper_bound_decides_where_the_lower_one_is_above_chance():
    assert not finding(0.0899).is_shortcut
    assert finding(0.0901).is_shortcut
    assert not finding(0.5, has_bar=False).is_shortcut
    turned = Finding("noise", "cell", 0.04, finding(0.5).answers[::-1])
    assert turned.is_shortcut
    assert turned.is_settled
    assert turned.samples_needed == 0


def test_few_samples_settle_nothing():
    wide = Finding("noise", "cell", 0.04, [answer(0.06, 0.12, low=0.03, samples=100), answer(0.04, 0.08, low=0.02)])
    assert not wide.is_shortcut
    assert not wide.is_settled
    assert wide.samples_needed == 400  # 1.1 * 100 * (0.09 / 0.05)^2 = 356
    puzzles = Finding("noise", "order", 0.04, wide.answers[:1], scored=1000)
    assert puzzles.samples_needed == 3600
    report = Report("jigsaw3d", "which?", [finding(0.05), wide])
    assert not report.ok
    assert report.exit_code == 3
    assert report.text().endswith("verdict: not settled on noise: too few samples, about 400 are enough")
    assert (report.as_dict()["findings"][1]["is_settled"], report.as_dict()["ok"]) == (False, False)
    both = Report("jigsaw3d", "which?", [finding(0.5, images="ramp"), wide])
    assert both.exit_code == 1
    assert "verdict: shortcut found on ramp; not settled on noise: too few" in both.text()


def test_chance_alone_is_seldom_called_a_shortcut():
    rng = np.random.RandomState(0)

    def findings(samples):
        for _ in range(60):
            hits = (rng.rand(2, samples) < 0.04).astype(float)
            ends = [share_interval(row, np.arange(samples)) for row in hits]
            pairs = zip(hits, ends, strict=True)
            yield Finding(
                "noise", "cell", 0.04, [Answer("guess", row.mean(), *end, samples, 100) for row, end in pairs]
            )

    few = list(findings(100))
    assert np.mean([finding.is_shortcut for finding in few]) < 0.2  # Wilson's lower end is generous to rare hits
    assert np.mean([finding.is_settled for finding in few]) < 0.5
    for finding in findings(2000):
        assert finding.is_settled
        assert not finding.is_shortcut


def test_two_questions_are_told_apart():
    orders = Finding("ramp", "order", 0.01, [answer(0.4, 0.5)])
    report = Report("jigsaw3d", "which?", [finding(0.05, images="ramp"), orders], without=["intensity"])
    assert report.has_power() == {"intensity": True}
    assert "ramp (cell)   random forest" in report.text()
    assert report.text().endswith("verdict: shortcut found on ramp (order)")


def test_the_page_and_the_record():
    found = finding(0.38, images="ramp", groups={"slope": 0.31, "faces": 0.2})
    report = Report("cpc3d", "which?", [finding(0.05), found], seed=3, notes=["Views were smaller."])
    page = report.text()
    assert not report.ok
    assert page.splitlines()[0] == "cpc3d: which?"
    assert page.splitlines()[-1] == "verdict: shortcut found on ramp"
    assert "ramp, by one kind of statistic alone: slopes along the axes 31.0 %, the faces of patches 20.0 %." in page
    assert "Views were smaller." in page
    row = next(line for line in page.splitlines() if line.startswith("ramp    random forest"))
    numbers = ["37.0", "%", "4.0", "%", "36.0", "%", "38.0", "%", "9.0", "%", "2000", "40"]
    assert row.split()[3:] == numbers
    record = json.loads(json.dumps(report.as_dict()))
    assert record["findings"][1]["is_shortcut"] is True
    assert record["findings"][0]["answers"][0]["high"] == pytest.approx(0.05)
    assert (record["ok"], record["seed"]) == (False, 3)


def test_no_shortcut():
    report = Report("cpc3d", "which?", [finding(0.05), finding(0.06, images="ramp")])
    assert report.ok
    assert report.text().endswith("verdict: no shortcut found on noise, ramp")


@pytest.mark.parametrize(("images", "why"), [("own", "these images show anatomy"), ("noise", "have no classes")])
def test_figures_without_a_bar_have_no_verdict(images, why):
    report = Report("cpc3d", "which?", [finding(0.9, images=images, has_bar=False)])
    assert report.ok
    assert "none" in report.text().splitlines()[2 + 1]
    assert why in report.text().splitlines()[-1]
    assert report.as_dict()["findings"][0]["is_shortcut"] is None


def test_power_is_judged_on_the_fixture_that_a_counter_measure_is_for():
    weak, strong = (
        finding(0.255, 0.245, images="ramp"),
        finding(0.255, 0.25, images="padded"),
    )  # at least 23.5 and 24.5 %
    report = Report("cpc3d", "which?", [weak, strong], without=["intensity", "mask"])
    assert report.has_power() == {"intensity": False, "mask": True}
    assert "with 'intensity' off the audit does not notice it on 'ramp'" in report.text()
    assert "with 'mask' off the audit notices it on 'padded'" in report.text()
    assert "cpc3d, without intensity and mask: which?" in report.text()
    assert Report("cpc3d", "which?", [weak], without=["mask"]).has_power() == {}
