"""The section about corrupted images."""

import pytest
from reported import poor, rich

from medvol.study.reporting import robustness_section as module
from medvol.study.reporting.robustness_section import robustness_section


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    kept = []
    monkeypatch.setattr(module, "draw_drops", lambda *args: kept.append(args) or b"")
    return kept


def test_the_map_shows_the_mean_over_severities(drawn):
    _, picture, table = robustness_section(rich()).parts
    wide, name = drawn[0]
    assert name == "Dice"
    assert list(wide.index) == ["noise", "mean"]
    assert list(wide.columns) == ["scratch", "scratch-x3", "cpc3d"]
    assert wide.loc["noise", "scratch"] == pytest.approx(0.08, abs=0.005)  # 0.04 x severity, of 1 and 3
    assert "scratch loses 0.08" in picture.alt
    assert {row[1] for row in table.rows} == {"1", "3", "all"}


def test_less_loss_than_the_reference_is_negative():
    table = robustness_section(rich()).parts[-1]
    row = next(row for row in table.rows if row[:3] == ("noise", "3", "cpc3d"))
    assert row[7].startswith("-0.06")
    assert next(row for row in table.rows if row[2] == "scratch")[7] == "-"


def test_another_budget_is_tagged_and_not_compared():
    table = robustness_section(rich()).parts[-1]
    rows = [row for row in table.rows if row[2] == "scratch-x3 (1800 steps)"]
    assert len(rows) == 3
    for row in rows:
        assert row[5] != "-"
        assert row[7:9] == ("-", "-")
        assert "another budget than scratch" in row[-1]


def test_no_corruptions_no_section():
    assert robustness_section(poor()).parts == ()
