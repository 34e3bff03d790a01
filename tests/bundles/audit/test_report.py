import json

import pytest

from medvol.bundles.audit.guessing import Answer
from medvol.bundles.audit.report import Finding, Report


def answer(right, high, way="random forest"):
    return Answer(way, right, max(0.0, 2 * right - high), high, 2000, 40)


def finding(high, right=None, images="noise", **more):
    right = high - 0.01 if right is None else right
    return Finding(images, "cell", 0.04, [answer(right, high), answer(0.04, 0.045, "logistic regression")], **more)


def test_the_upper_bound_decides():
    assert not finding(0.0899).is_shortcut
    assert finding(0.0901).is_shortcut
    assert not finding(0.5, has_bar=False).is_shortcut
    turned = Finding("noise", "cell", 0.04, finding(0.5).answers[::-1])
    assert turned.is_shortcut


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
    assert row.split()[3:] == ["37.0", "%", "4.0", "%", "38.0", "%", "9.0", "%", "2000", "40"]
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
    weak, strong = finding(0.3, 0.235, images="ramp"), finding(0.3, 0.245, images="padded")
    report = Report("cpc3d", "which?", [weak, strong], without=["intensity", "mask"])
    assert report.has_power() == {"intensity": False, "mask": True}
    assert "with 'intensity' off the audit does not notice it on 'ramp'" in report.text()
    assert "with 'mask' off the audit notices it on 'padded'" in report.text()
    assert "cpc3d, without intensity and mask: which?" in report.text()
    assert Report("cpc3d", "which?", [weak], without=["mask"]).has_power() == {}
