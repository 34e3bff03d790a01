"""Convergence: hand-made curves with known answers, and those of a synthetic study."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from studies import write_study_folder

from medvol.study.planning.design import Arm, Score
from medvol.study.tables.convergence import COLUMNS, convergence
from medvol.study.tables.table import collect

STEPS = (50, 100, 150, 200)


def study_of(curves, score=None, budgets=(), variants=("",), arms=None):
    """``curves``: arm -> list over seeds of values at 100, 200, ... examples."""
    score = score or Score()
    arms = arms or dict.fromkeys(curves)
    rows = [
        ("", arm, "4", seed, 50 * (place + 1), 100 * (place + 1), score.curve, value)
        for arm, seeds in curves.items()
        for seed, values in enumerate(seeds)
        for place, value in enumerate(values)
    ]
    columns = "variant arm count replicate step examples name value".split()
    runs = [SimpleNamespace(kind="finetune", variant="", count=4, arm=arm, budget=tag) for arm, tag in budgets]
    study = SimpleNamespace(
        variants=dict.fromkeys(variants), counts=(4,), arms=arms, reference=next(iter(arms)), scores=(score,)
    )
    plan = SimpleNamespace(runs=runs)
    return SimpleNamespace(study=study, plan=plan, curves=pd.DataFrame(rows, columns=columns))


def measured(curves, **options):
    return convergence(study_of(curves, **options)).set_index("arm")


def test_the_target_is_95_percent_of_the_mean_final_value_of_the_reference():
    found = measured({"scratch": [[0.2, 0.5, 0.7, 0.9], [0.2, 0.5, 0.7, 0.7]], "arm": [[0.5, 0.75, 0.76, 0.77]] * 2})
    assert found["target"].tolist() == pytest.approx([0.76, 0.76])
    # Scratch: one seed at step 200, the other never, censored at 200; one half of the runs is there at 200.
    assert (found.loc["scratch", "steps"], found.loc["scratch", "censored"]) == (200, 1)
    assert found.loc["arm", ["steps", "examples", "reached", "censored"]].tolist() == [150, 300, 2, 0]


def test_nothing_is_interpolated_and_a_curve_that_falls_back_has_reached_it():
    found = measured({"scratch": [[0.1, 0.2, 0.9, 1.0]], "arm": [[0.9499, 0.951, 0.1, 0.1]]})
    assert found.loc["arm", "steps"] == 100


def test_runs_that_never_get_there_are_censored_and_leave_no_median():
    found = measured({"scratch": [[0.1, 0.8]] * 3, "arm": [[0.1, 0.8], [0.1, 0.2], [0.1, 0.3]]})
    assert np.isnan(found.loc["arm", "steps"])
    assert np.isnan(found.loc["arm", "examples"])
    assert found.loc["arm", ["reached", "censored", "seeds"]].tolist() == [1, 2, 3]


def test_where_lower_is_better_the_target_is_95_percent_of_the_way():
    score = Score("hd95")
    found = measured({"scratch": [[11.0, 5.0, 2.0, 1.0]], "arm": [[11.0, 1.5, 1.4, 1.2]]}, score=score)
    assert found["target"].tolist() == pytest.approx([1.5, 1.5])  # 11 - 0.95 * 10; 95 % of 1 could not be reached
    assert found["steps"].tolist() == [200, 100]
    worse = measured({"scratch": [[1.0, 2.0]]}, score=score)
    assert worse["note"].iloc[0] == "no target: the reference arm's curve does not fall"
    assert np.isnan(worse["target"].iloc[0])


def test_a_score_that_ends_below_zero_has_no_target():
    found = measured({"scratch": [[-0.2, -0.1]], "arm": [[0.0, 0.1]]}, score=Score("kappa", "grade"))
    assert found[["reached", "censored"]].to_numpy().tolist() == [[0, 0], [0, 0]]
    assert found["note"].iloc[0].startswith("no target: the final value of the reference arm is not above zero")


def test_the_area_is_a_mean_score_by_trapezoids():
    found = measured({"scratch": [[0.4, 0.6, 0.8]], "arm": [[0.5, 0.5, 0.5]]})
    assert found["area"].tolist() == pytest.approx([0.6, 0.5])
    assert found.loc["arm", "area_difference"] == pytest.approx(-0.1)
    assert found.loc["arm", ["area_low", "area_high", "area_p"]].isna().all()  # one seed judges nothing
    assert (found.loc["arm", "area_seeds"], found.loc["scratch", "area_seeds"]) == (1, 0)
    assert np.isnan(found.loc["arm", "area_sd"])


def test_the_paired_difference_has_a_t_interval_over_seeds():
    from scipy import stats

    base = [[0.4, 0.6], [0.5, 0.7], [0.3, 0.5]]
    gains = np.array([0.01, 0.03, 0.05])
    found = measured({"scratch": base, "arm": (np.array(base) + gains[:, None]).tolist()})
    expected = stats.ttest_1samp(gains, 0)
    interval = expected.confidence_interval(0.95)
    row = found.loc["arm"]
    assert (row["area_low"], row["area_high"]) == pytest.approx((interval.low, interval.high))
    assert row["area_p"] == pytest.approx(expected.pvalue)
    assert row["area_difference"] == pytest.approx(0.03)


def test_equal_differences_give_an_interval_without_width():
    same = measured({"scratch": [[0.5, 0.5]] * 3, "arm": [[0.5, 0.5]] * 3}).loc["arm"]
    assert same[["area_difference", "area_low", "area_high", "area_p"]].tolist() == [0, 0, 0, 1]


def test_the_very_same_difference_has_no_interval():
    same = measured({"scratch": [[0.5, 0.5]] * 3, "arm": [[0.75, 0.75]] * 3}).loc["arm"]
    assert same["area_difference"] == 0.25
    assert same[["area_low", "area_high", "area_p"]].isna().all()


def test_a_longer_arm_has_the_area_of_its_first_part_and_is_not_compared():
    curves = {"scratch": [[0.2, 0.4]], "scratch-x2": [[0.2, 0.4, 0.6, 0.8]]}
    arms = {"scratch": Arm("scratch"), "scratch-x2": Arm("scratch-x2", longer=2)}
    found = measured(curves, budgets=[("scratch", ""), ("scratch-x2", "200 steps")], arms=arms)
    assert found.loc["scratch-x2", "area_seeds"] == 0
    assert np.isnan(found.loc["scratch-x2", "area_difference"])
    assert "not compared with that of scratch: it has another budget" in found.loc["scratch-x2", "note"]
    assert found.loc["scratch-x2", "area"] == found.loc["scratch", "area"] == pytest.approx(0.3)
    assert found.loc["scratch-x2", "budget"] == "200 steps"
    assert "first 200 of 400 examples" in found.loc["scratch-x2", "note"]
    assert "longer schedule" in found.loc["scratch-x2", "note"]
    assert (found.loc["scratch-x2", "final"], found.loc["scratch", "note"]) == (0.8, "")


def test_a_longer_scratch_as_the_reference_meets_everyone():
    arms = {"scratch-x2": Arm("scratch-x2", longer=2), "scratch": Arm("scratch")}
    curves = {"scratch-x2": [[0.2, 0.4, 0.6, 0.8]], "scratch": [[0.2, 0.4]]}
    found = measured(curves, budgets=[("scratch", "100 steps"), ("scratch-x2", "")], arms=arms)
    assert found.loc["scratch", "area_seeds"] == 1


def test_the_span_is_cut_between_evaluations_by_interpolation():
    collected = study_of({"scratch": [[0.2, 0.4, 0.6]], "arm": [[0.0, 1.0]]})
    curves = collected.curves
    curves.loc[curves["arm"] == "arm", "examples"] = [150, 250]
    found = convergence(collected).set_index("arm")
    assert found.loc["scratch", "area"] == pytest.approx(0.4)  # from 150 to 250 examples: 0.3 to 0.5
    assert found.loc["arm", "area"] == pytest.approx(0.5)


def test_values_that_are_not_finite_are_told_and_never_reach_the_target():
    found = measured({"scratch": [[0.1, 0.8]] * 3, "arm": [[0.9, np.nan], [0.1, 0.8], [np.nan, np.nan]]})
    row = found.loc["arm"]
    assert "2 of 3 curves have values that are not finite" in row["note"]
    assert row[["reached", "censored", "area_seeds"]].tolist() == [2, 1, 1]
    assert row["final"] == 0.8


def test_one_evaluation_has_no_area():
    found = measured({"scratch": [[0.8]] * 3, "arm": [[0.9]] * 3})
    assert found["area"].isna().all()
    assert found.loc["arm", "steps"] == 50
    assert "fewer than two evaluations" in found.loc["arm", "note"]


def test_without_a_reference_there_is_no_target_and_without_runs_no_row():
    found = measured({"scratch": [], "arm": [[0.5, 0.9]]})
    assert found.index.tolist() == ["arm"]
    assert found.loc["arm", "note"] == "no target: the reference arm has no finished curve"
    nothing = convergence(study_of({"scratch": []}))
    assert (len(nothing), list(nothing.columns)) == (0, COLUMNS)


def test_a_synthetic_study_has_a_row_per_cell_and_a_faster_arm_is_faster(tmp_path):
    folder = write_study_folder(tmp_path, arms=("scratch", "scratch-x3", "cpc3d"), effect={"cpc3d": 0.02})
    found = convergence(collect(folder))
    assert found[["count", "arm"]].to_numpy().tolist() == [
        [count, arm] for count in ("4", "all") for arm in ("scratch", "scratch-x3", "cpc3d")
    ]
    steps = found.set_index(["count", "arm"])["steps"]
    assert (steps[:, "cpc3d"] < steps[:, "scratch"]).all()
    area = found.set_index(["count", "arm"])
    assert (area.xs("cpc3d", level="arm")["area_low"] > 0).all()
    pd.testing.assert_frame_equal(found, convergence(collect(folder)))
