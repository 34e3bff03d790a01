"""Sections about training."""

from dataclasses import replace

import pytest
from reported import poor, rich

from medvol.study.reporting import curve_sections
from medvol.study.reporting.curve_sections import convergence_section, tuning_section
from medvol.study.reporting.document import Picture, Table


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    kept = []
    monkeypatch.setattr(curve_sections, "draw_curves", lambda *args: kept.append(args) or b"")
    return kept


def test_a_plot_per_label_count_with_its_target(drawn):
    section = convergence_section(rich())
    pictures = [part for part in section.parts if isinstance(part, Picture)]
    assert [picture.name for picture in pictures] == ["curves", "curves1"]
    assert "cpc3d ends at 0." in pictures[0].alt
    targets = rich().convergence.query("metric == 'dice' and region == 'mean'").groupby("count")["target"].first()
    assert [args[3] for args in drawn] == [targets["4"], targets["all"]]
    assert all(set(args[0]["name"]) == {"val_mean_dice"} for args in drawn)


def test_runs_that_never_reach_the_target_are_counted():
    table = convergence_section(rich()).parts[-1]
    assert isinstance(table, Table)
    row = next(row for row in table.rows if row[:2] == ("4", "cpc3d"))
    expected = rich().convergence.query("metric == 'dice' and arm == 'cpc3d' and count == '4'").iloc[0]
    assert row[2:4] == (f"{expected['steps']:g}", f"{expected['reached']} of 3")
    assert "scratch-x3: " in table.note
    place = table.columns.index("area, difference")
    tagged = next(row for row in table.rows if row[:2] == ("4", "scratch-x3 (1800 steps)"))
    assert tagged[place - 1] != "-"
    assert tagged[place : place + 2] == ("-", "-")
    assert row[place] != "-"


@pytest.mark.parametrize(
    ("steps", "censored", "text"), [(150.0, 1, "150"), (float("nan"), 3, "not reached"), (float("nan"), 0, "-")]
)
def test_steps(steps, censored, text):
    row = type("Row", (), {"steps": steps, "censored": censored})
    assert curve_sections._steps(row) == text


def test_rates_that_were_tried_and_taken():
    prose, table = tuning_section(rich()).parts
    assert table.columns == ("arm", "0.0007", "0.002", "0.006", "chosen")
    assert [(row[0], row[-1]) for row in table.rows] == [("scratch", "0.002"), ("cpc3d", "0.002")]
    assert prose.items == ("scratch-x3: the rate of scratch",)
    assert tuning_section(poor()).parts == ()


def test_a_rate_at_the_end_of_what_was_tried_is_pointed_out():
    found = rich()
    tuning = found.collected.tuning.copy()
    tuning["chosen"] = tuning["learning_rate"] == 0.006
    prose = tuning_section(replace(found, collected=replace(found.collected, tuning=tuning))).parts[0]
    assert prose.items[1:] == tuple(
        f"{arm}: a larger rate than any tried may suit it better" for arm in ("scratch", "cpc3d")
    )
