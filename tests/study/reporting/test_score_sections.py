"""Sections about scores."""

import numpy as np
import pytest
from reported import failed, poor, rich

from medvol.metrics import crossed_interval
from medvol.study.reporting import score_sections
from medvol.study.reporting.document import Picture, Table
from medvol.study.reporting.score_sections import differences_section, efficiency_section, given_section, scores_section
from medvol.study.tables.cubes import cube


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    kept = {}
    for name in ("draw_forest", "draw_efficiency"):
        monkeypatch.setattr(
            score_sections, name, lambda *args, name=name: kept.setdefault(name, []).append(args) or b""
        )
    return kept


def _tables(section) -> list[Table]:
    return [part for part in section.parts if isinstance(part, Table)]


def test_differences_are_told_in_words_and_numbers(drawn):
    section = differences_section(rich())
    first, second = (part for part in section.parts if isinstance(part, Picture))
    assert "cpc3d, 4 labelled patients: +0." in first.alt
    assert [first.name, second.name] == ["differences", "differences1"]
    bars, margin, unit = drawn["draw_forest"][0]
    assert [(bar.label, bar.group, bar.word) for bar in bars] == [
        ("cpc3d", "4 labelled patients", "helps"), ("cpc3d", "all labelled patients", "helps"),
    ]  # fmt: skip
    assert all(bar.low < bar.mean < bar.high for bar in bars)
    assert (margin, unit) == (0.01, "Dice")
    (table,) = _tables(section)
    assert len(table.rows) == len(rich().verdicts)
    assert {"Dice", "whole HD95 (mm) (secondary)"} == {row[3] for row in table.rows}


def test_what_is_not_judged_has_no_plot_but_a_row(drawn):
    section = differences_section(failed())
    assert not drawn
    assert _tables(section)[0].rows[0][4] == "not judged"
    assert differences_section(poor()).parts == ()


def test_a_score_is_the_mean_of_its_cube():
    table, folded = _tables(scores_section(rich()))
    row = next(row for row in table.rows if row[:2] == ("4", "cpc3d"))
    values = cube(rich().collected, rich().study.scores[0], "cpc3d", 4).values
    found = crossed_interval(values)
    assert row[2:7] == (
        f"{values.mean():.3f}", f"{values.mean(1).std(ddof=1):.3f}", f"{found.low:.3f} to {found.high:.3f}", "3", "6",
    )  # fmt: skip
    assert "602 steps, 1204 examples" in row[8]
    assert "1800 steps, 3600 examples (another budget)" in {row[7] for row in table.rows}
    assert folded.folded
    assert not table.folded


def test_without_seeds_there_is_no_interval():
    table = _tables(scores_section(poor()))[0]
    assert table.rows[0][3:7] == ("-", "-", "1", "6")
    assert table.rows[1][2:7] == ("-", "-", "-", "0", "0")


def test_labels_saved(drawn):
    section = efficiency_section(rich())
    lines, counts, _ = drawn["draw_efficiency"][0]
    assert list(lines) == ["scratch", "scratch-x3", "cpc3d"]
    assert counts == ["4", "all"]
    assert np.isfinite(lines["cpc3d"]).all()
    assert {row[0] for row in _tables(section)[0].rows} == {"scratch", "scratch-x3", "cpc3d"}


def test_given_these_models():
    given, spread = _tables(given_section(rich()))
    v = next(v for v in rich().verdicts if v.arm == "cpc3d")
    assert given.rows[0] == (
        "cpc3d", "4", "scratch", f"{v.difference:+.3f}", f"{v.given_low:+.3f} to {v.given_high:+.3f}",
        f"{v.given_p:.3f}",
    )  # fmt: skip
    assert len(spread.rows) == len(given.rows)
    assert given_section(failed()).parts == ()


@pytest.mark.parametrize(("needed", "text"), [(None, "more than 1000"), (12, "12"), (3, "3 (here: 3)")])
def test_larger_studies(needed, text):
    assert score_sections._needed(needed, 3) == text
