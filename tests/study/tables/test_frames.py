"""Long tables: means over regions, and patients without a finite value."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from medvol.study.tables.frames import scores_frame, tuning_frame
from medvol.study.tables.leftovers import Leftover
from medvol.study.tables.rows import Scores


def part(values, arm="scratch", more=(), regions=("a", "b"), patients=("1", "1", "2"), variant=""):
    """One metric; ``values`` by case (rows) and region (columns)."""
    values = np.asarray(values, dtype=float)
    cases = [f"c{n}" for n in range(len(values))]
    names = [
        (case, patient, region, "dice") for case, patient in zip(cases, patients, strict=False) for region in regions
    ]
    run = SimpleNamespace(variant=variant, arm=arm, count=4, replicate=0, key=f"finetune-{arm}", kind="finetune")
    return Leftover(run), more, Scores(*map(tuple, zip(*names, strict=True)), values.ravel())


def means(table, arm="scratch"):
    mine = table[(table["region"] == "mean") & (table["arm"] == arm)]
    return dict(zip(mine["case"], mine["value"], strict=True))


def test_the_mean_is_over_the_regions_of_a_case():
    table = scores_frame([part([[0.2, 0.4], [0.6, 1.0], [0.0, 0.5]])], (), [])
    assert means(table) == pytest.approx({"c0": 0.3, "c1": 0.8, "c2": 0.25})
    assert len(table) == 9
    assert table.loc[table["region"] == "b", "value"].tolist() == [0.4, 1.0, 0.5]


def test_a_mean_that_is_written_is_not_computed_again():
    table = scores_frame([part([[0.2, 0.9], [0.6, 0.9], [0.0, 0.9]], regions=("a", "mean"))], (), [])
    assert means(table) == {"c0": 0.9, "c1": 0.9, "c2": 0.9}


def test_cases_may_have_different_numbers_of_regions():
    left, more, scores = part([[0.2, 0.4], [0.6, 1.0], [0.0, 0.5]])
    table = scores_frame([(left, more, scores.only(scores.keys - {("c1", "b", "dice")}))], (), [])
    assert means(table) == pytest.approx({"c0": 0.3, "c1": 0.6, "c2": 0.25})


def test_a_patient_without_a_finite_value_is_left_out_of_all_arms_with_all_its_cases():
    problems = []
    parts = [part([[0.2, 0.4], [0.6, 1.0], [0.0, 0.5]]), part([[0.1, math.nan], [0.3, 0.5], [0.1, 0.2]], arm="cpc3d")]
    table = scores_frame(parts, (), problems)
    assert means(table) == pytest.approx({"c2": 0.25})
    assert means(table, "cpc3d") == pytest.approx({"c2": 0.15})
    assert sorted(table.loc[(table["region"] == "a") & (table["arm"] == "cpc3d"), "case"]) == ["c0", "c1", "c2"]
    assert problems == [
        "b dice: patients left out of all runs, for they have no finite value in finetune-cpc3d: 1",
        "mean dice: patients left out of all runs, for they have no finite value in finetune-cpc3d: 1",
    ]


def test_infinity_is_not_finite_and_other_variants_are_not_touched():
    problems = []
    parts = [
        part([[0.2, math.inf], [0.6, 1.0], [0.0, 0.5]], variant="small"),
        part([[0.2, 0.4], [0.6, 1.0], [0.0, 0.5]]),
    ]
    table = scores_frame(parts, (), problems)
    assert set(table.loc[table["variant"] == "small", "patient"]) == {"1", "2"}  # region a has it
    assert set(table.loc[(table["variant"] == "small") & (table["region"] == "b"), "patient"]) == {"2"}
    assert len(table[table["variant"] == ""]) == 9
    assert all("of small" in problem for problem in problems)


def test_further_columns_come_last():
    table = scores_frame([part([[0.5, 0.5]], more=("noise", 3))], ("corruption", "severity"), [])
    assert table.iloc[0][["corruption", "severity"]].tolist() == ["noise", 3]


def test_a_rate_that_was_not_scored_has_no_value_and_is_not_chosen():
    study = SimpleNamespace(scores=(SimpleNamespace(curve="val_mean_dice"),))

    def run(kind, rate, tuned_by=()):
        return SimpleNamespace(kind=kind, arm="scratch", learning_rate=rate, tuned_by=tuned_by)

    tuned = Leftover(run("finetune", None, ("tune",)), "done", learning_rate=0.001)
    good = Leftover(run("tune", 0.001), "done", curves=[(1, 2, "val_mean_dice", 0.5), (2, 4, "val_mean_dice", 0.7)])
    found = tuning_frame([good, Leftover(run("tune", 0.1), "done", curves=[]), tuned], study)
    assert found["chosen"].tolist() == [True, False]
    np.testing.assert_array_equal(found["value"], [0.7, np.nan])
