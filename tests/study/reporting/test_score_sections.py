"""Sections about scores."""

from dataclasses import replace

import numpy as np
import pytest
from reported import failed, paired, poor, rich

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
    assert {"Dice", "whole HD95 (mm), lower is better (secondary)"} == {row[3] for row in table.rows}


def test_chosen_pairs_have_a_plot_of_their_own(drawn):
    section = differences_section(paired())
    chosen = [part for part in section.parts if isinstance(part, Picture)][-1]
    assert chosen.caption.startswith("Compared pair by pair: difference of Dice")
    assert [(bar.group, bar.label, bar.word) for bar in drawn["draw_forest"][-1][0]] == [
        ("cpc3d-all against cpc3d", "4 labelled patients", "helps"),
        ("cpc3d-all against cpc3d", "all labelled patients", "helps"),
    ]  # fmt: skip
    told = [v.sentence for v in paired().verdicts if v.family == "chosen pair"]
    assert told[0].startswith("cpc3d-all against cpc3d, 4 labelled patients: it is better.")
    assert {row[:3] for row in _tables(section)[0].rows} >= {
        ("cpc3d-all", "4", "cpc3d"), ("cpc3d-all", "4", "scratch"), ("cpc3d", "4", "scratch"),
    }  # fmt: skip


def test_what_an_interval_can_hold_is_told():
    table = _tables(differences_section(rich()))[-1]
    assert "symmetrically about the difference and may reach beyond what the score can take" in table.note
    assert table.columns[-1] == "test patients"


def test_all_carries_its_number(drawn):
    known = replace(rich(), collected=replace(rich().collected, labelled=16))
    assert {row[1] for row in _tables(differences_section(known))[0].rows} == {"4", "all (16)"}
    assert {row[0] for row in _tables(scores_section(known))[0].rows} == {"4", "all (16)"}
    efficiency_section(known)
    assert drawn["draw_efficiency"][0][1] == ["4", "all (16)"]
    assert drawn["draw_forest"][0][0][1].group == "all (16) labelled patients"


def test_costs_are_words_that_wrap():
    table = _tables(scores_section(rich()))[0]
    assert [name for place, name in enumerate(table.columns) if not table.is_number(place)] == [
        "labelled patients", "arm", "budget of fine-tuning", "pre-training, each seed",
    ]  # fmt: skip


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
    rows = {row[0]: row for row in _tables(section)[0].rows}
    assert list(rows) == ["scratch", "scratch-x3 (1800 steps)", "cpc3d"]
    assert rows["scratch-x3 (1800 steps)"][1:3] == ("not judged", "-")


def test_scores_that_are_all_the_same_have_no_interval():
    mean, *ends = score_sections._interval(np.full((3, 6), 0.25))
    assert mean == 0.25
    assert np.isnan(ends).all()
    assert score_sections._interval(np.zeros((3, 6))) == (0, 0, 0)


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
