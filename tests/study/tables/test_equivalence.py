"""Label equivalence: the smallest label count at which an arm is as good as the reference with all labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from studies import write_study_folder

from medvol.metrics import crossed_interval
from medvol.study.planning.design import Score
from medvol.study.tables.cubes import cube
from medvol.study.tables.equivalence import against_all_labels, label_equivalence
from medvol.study.tables.table import collect

QUIET = {"seed_sd": 0.001, "interaction_sd": 0.004, "noise_sd": 0.001, "patients": 8}


def measured(folder, **options):
    return label_equivalence(collect(write_study_folder(folder, **{**QUIET, **options}))).set_index("arm")


def test_an_arm_that_gains_what_labels_bring_reaches_it_at_a_smaller_count(tmp_path):
    # 16 labels lie 0.05 below all: with a gain of 0.06 they are enough, 4 labels (0.15 below) are not.
    found = measured(tmp_path, counts=(4, 16, "all"), effect=0.06)
    row = found.loc["cpc3d"]
    assert (row["status"], row["smallest_count"], row["reference_count"]) == ("reached", "16", "all")
    assert row["low"] > -0.01
    assert row["difference"] == pytest.approx(0.01, abs=0.005)
    assert row["sentence"].startswith(
        "cpc3d: with 16 labelled patients not worse than scratch with all labelled patients by 0.01"
    )
    assert found.loc["scratch", "smallest_count"] == "all"
    assert "itself" in found.loc["scratch", "sentence"]


def test_the_rule_is_the_lower_end_of_the_crossed_interval_and_the_margin(tmp_path):
    collected = collect(write_study_folder(tmp_path, counts=(4, 16, "all"), effect=0.045, margin=0.01, **QUIET))
    table = against_all_labels(collected)
    for row in table[table["arm"] == "cpc3d"].itertuples():
        count = row.count if row.count == "all" else int(row.count)
        gaps = cube(collected, Score(), "cpc3d", count).values - cube(collected, Score(), "scratch", "all").values
        expected = crossed_interval(gaps)
        assert (row.difference, row.low, row.high) == (expected.mean, expected.low, expected.high)
        assert row.non_inferior == (expected.low > -0.01)
    assert table["non_inferior"].tolist() == [False, False, True, False, bool(table["low"].iloc[4] > -0.01), True]


def test_a_mean_within_the_margin_is_not_enough(tmp_path):
    row = measured(tmp_path, counts=("all",), seed_sd=0.03).loc["cpc3d"]
    assert row["low"] < -0.01 < row["difference"]
    assert row["status"] == "not reached"
    wide = measured(tmp_path / "wide", counts=("all",), seed_sd=0.03, margin=1.0).loc["cpc3d"]
    assert (wide["status"], wide["low"]) == ("reached", row["low"])


def test_where_lower_is_better_the_upper_end_counts(tmp_path):
    found = measured(tmp_path, counts=(4, 16, "all"), effect=0.06, scores=(("hd95", "mean"),), margin=0.2)
    row = found.loc["cpc3d"]
    assert row["smallest_count"] == "16"
    assert row["high"] < 0.2
    assert row["difference"] < 0


def test_an_arm_that_never_gets_there_says_how_far_it_came(tmp_path):
    found = measured(tmp_path, effect=-0.1)
    row = found.loc["cpc3d"]
    assert (row["status"], row["smallest_count"]) == ("not reached", "")
    assert row["difference"] == pytest.approx(-0.1, abs=0.01)  # that at the largest count
    assert (
        "at no label count shown to be within 0.01 of scratch with all labelled patients; with all labelled patients"
        in row["sentence"]
    )


def test_all_labels_carry_their_number_where_it_is_known(tmp_path):
    collected = collect(write_study_folder(tmp_path, effect=-0.1))
    sentence = label_equivalence(dataclasses.replace(collected, labelled=82)).set_index("arm").loc["cpc3d", "sentence"]
    assert "of scratch with all (82) labelled patients; with all (82) labelled patients" in sentence


def test_a_larger_count_that_fails_is_said(tmp_path):
    arms = {"scratch": {}, "cpc3d": {"weights": "cpc3d"}}
    collected = collect(write_study_folder(tmp_path, counts=(4, 16, "all"), effect=0.06, **QUIET, arms=arms))
    worse = (collected.scores["arm"] == "cpc3d") & (collected.scores["count"] == "all")
    collected.scores.loc[worse, "value"] -= 0.2
    row = label_equivalence(collected).set_index("arm").loc["cpc3d"]
    assert row["smallest_count"] == "16"
    assert row["sentence"].endswith("; not shown with all, so this may be chance.")


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_fewer_than_three_seeds_judge_nothing(tmp_path, seeds):
    found = measured(tmp_path, seeds=seeds, effect=0.1)
    assert set(found["status"]) == {"not judged"}
    row = found.loc["cpc3d"]
    assert row["sentence"] == (
        "cpc3d: not judged against scratch with all labelled patients: "
        f"{len(seeds)} paired seed{'s' * (len(seeds) > 1)}, and at least 3 are needed."
    )
    assert np.isnan(row["low"])


def test_one_patient_judges_nothing(tmp_path):
    found = measured(tmp_path, patients=1)
    assert set(found["status"]) == {"not judged"}
    assert "1 patient, and at least 2" in found.loc["cpc3d", "sentence"]


def test_missing_runs_and_other_patients_are_given_as_the_reason(tmp_path):
    keys = [f"finetune-cpc3d-{count}-seed{seed}" for count in (4, "all") for seed in (0, 1, 2)]
    found = measured(tmp_path / "failed", failed=keys)
    assert found.loc["cpc3d", "status"] == "not judged"
    assert "no replicate is finished in both arms" in found.loc["cpc3d", "sentence"]
    folder = write_study_folder(tmp_path / "others", patients=3)
    for file in folder.glob("runs/unet_hippocampus/cpc3d-*/test/metrics.csv"):
        file.write_text(file.read_text(encoding="utf-8").replace("case_3_0,3,", "case_9_0,9,"), encoding="utf-8")
    row = label_equivalence(collect(folder)).set_index("arm").loc["cpc3d"]
    assert row["status"] == "not judged"
    assert "other patients (2 are in one of them only: 3, 9)" in row["sentence"]


def test_replicates_are_paired_and_equal_scores_have_no_width(tmp_path):
    spread = {"seed_sd": 0, "patient_sd": 0, "interaction_sd": 0, "noise_sd": 0}
    found = measured(tmp_path, **{**QUIET, **spread}, counts=("all",), unfinished=["finetune-scratch-all-seed0"],
                     seeds=(0, 1, 2, 3)).loc["cpc3d"]  # fmt: skip
    assert (found["status"], found["seeds"], found["patients"]) == ("reached", 3, 8)
    assert found[["difference", "low", "high"]].tolist() == pytest.approx([0, 0, 0], abs=1e-12)


def test_an_arm_of_another_budget_is_not_compared_with_the_reference(tmp_path):
    found = measured(tmp_path, arms=("scratch", "scratch-x3", "cpc3d"), effect={"cpc3d": 0.2, "scratch-x3": 0.2})
    row = found.loc["scratch-x3"]
    assert (row["status"], row["smallest_count"], row["budget"]) == ("not judged", "", "1800 steps")
    assert np.isnan(row[["difference", "low", "high"]].astype(float)).all()
    assert row["sentence"] == (
        "scratch-x3 (1800 steps): not judged against scratch with all labelled patients: it has another budget than "
        "scratch."
    )
    assert found.loc["cpc3d", "status"] == "reached"


def test_a_longer_scratch_as_the_reference_meets_everyone(tmp_path):
    found = measured(tmp_path, arms={"scratch-x3": {"longer": 3}, "cpc3d": {"weights": "cpc3d"}}, effect=0.1)
    assert found.loc["cpc3d", "status"] == "reached"


def test_the_very_same_difference_everywhere_is_not_judged(tmp_path):
    spread = {"seed_sd": 0, "patient_sd": 0, "interaction_sd": 0, "noise_sd": 0}
    row = measured(tmp_path, **{**QUIET, **spread}, counts=("all",), effect=0.1).loc["cpc3d"]
    assert row["status"] == "not judged"
    assert "the very same difference" in row["sentence"]
