"""Robustness: drops against clean images, and against the drop of the reference."""

from __future__ import annotations

import numpy as np
import pytest
from studies import write_study_folder

from medvol.metrics import crossed_interval
from medvol.study.planning.design import Score
from medvol.study.tables.cubes import corrupted_cube, cube
from medvol.study.tables.robustness import COLUMNS, robustness
from medvol.study.tables.table import collect

WANTED = {"corruptions": ["noise", "blur"], "severities": [1, 3], "counts": ["all"]}


def study(folder, **options):
    return collect(write_study_folder(folder, **{"counts": ("all",), "patients": 4, "robustness": WANTED, **options}))


def table(collected, **cell):
    found = robustness(collected)
    for name, value in cell.items():
        found = found[found[name] == value]
    return found.set_index(["arm", "corruption", "severity"])


def test_the_drop_is_clean_minus_corrupted_and_more_is_worse(tmp_path):
    found = table(study(tmp_path, noise_sd=0))
    assert found.loc[("scratch", "noise", 1), "drop"] == pytest.approx(0.04)
    assert found.loc[("scratch", "blur", 3), "drop"] == pytest.approx(0.12)
    row = found.loc[("cpc3d", "noise", 3)]
    assert row["clean"] - row["corrupted"] == pytest.approx(row["drop"]) == pytest.approx(0.06)
    assert row["against"] == pytest.approx(-0.06)  # it loses less than the reference
    assert found.loc[("cpc3d", "mean", 0), ["drop", "against"]].tolist() == pytest.approx([0.04, -0.04])
    assert np.isnan(found.loc[("scratch", "mean", 0), "against"])
    assert found["note"].str.contains("no interval: all seeds and all patients show the very same difference").all()
    assert found[["low", "high", "against_low", "against_high"]].isna().all(axis=None)


def test_an_arm_of_another_budget_keeps_its_drop_and_is_not_compared(tmp_path):
    found = table(study(tmp_path, arms=("scratch", "scratch-x3", "cpc3d")))
    long = found.xs("scratch-x3", level="arm")
    assert long["budget"].eq("1800 steps").all()
    assert long[["drop", "low", "high"]].notna().all(axis=None)
    assert long[["against", "against_low", "against_high"]].isna().all(axis=None)
    assert set(long["note"]) == {"not compared with the reference: it has another budget than scratch"}
    assert found.xs("cpc3d", level="arm")["against_low"].notna().all()
    assert found.xs("cpc3d", level="arm")["budget"].eq("").all()


def test_where_lower_is_better_the_sign_turns(tmp_path):
    found = table(study(tmp_path, noise_sd=0, scores=(("hd95", "mean"),)))
    row = found.loc[("scratch", "noise", 1)]
    assert row["corrupted"] > row["clean"]
    assert row["drop"] == pytest.approx(0.8)
    assert found.loc[("cpc3d", "noise", 1), "against"] == pytest.approx(-0.4)


def test_intervals_have_random_seeds_and_patients(tmp_path):
    collected = study(tmp_path, interaction_sd=0.02)
    rng = np.random.default_rng(0)
    collected.corrupted["value"] -= rng.normal(0.02, 0.01, len(collected.corrupted))
    found = table(collected)

    def drop(arm):
        corrupted = corrupted_cube(collected, Score(), arm, "all", "noise", 3)
        return cube(collected, Score(), arm, "all").values - corrupted.values

    own, gap = crossed_interval(drop("cpc3d")), crossed_interval(drop("cpc3d") - drop("scratch"))
    row = found.loc[("cpc3d", "noise", 3)]
    assert row[["drop", "low", "high"]].tolist() == [own.mean, own.low, own.high]
    assert row[["against", "against_low", "against_high"]].tolist() == pytest.approx([gap.mean, gap.low, gap.high])


def test_two_seeds_or_one_patient_have_a_mean_without_an_interval(tmp_path):
    two = table(study(tmp_path / "two", seeds=(0, 1))).loc[("cpc3d", "mean", 0)]
    assert two["note"] == "no interval: 2 paired seeds, and at least 3 are needed"
    one = table(study(tmp_path / "one", patients=1)).loc[("cpc3d", "noise", 1)]
    assert one["note"] == "no interval: 1 patient, and at least 2 are needed"
    for row in (two, one):
        assert np.isfinite(row["drop"])
        assert np.isnan(row[["low", "high", "against_low", "against_high"]].astype(float)).all()


def test_replicates_without_all_corruptions_are_not_in_the_mean(tmp_path):
    folder = write_study_folder(tmp_path, counts=("all",), patients=4, robustness=WANTED, seeds=(0, 1, 2, 3))
    (folder / "runs/unet_hippocampus/cpc3d-all-seed1-lr0.002/test-blur-3/metrics.csv").unlink()
    found = table(collect(folder))
    assert found.loc[("cpc3d", "blur", 3), "seeds"] == found.loc[("cpc3d", "mean", 0), "seeds"] == 3
    assert found.loc[("cpc3d", "noise", 1), "seeds"] == 4


def test_a_corruption_without_scores_says_so(tmp_path):
    folder = write_study_folder(tmp_path, counts=("all",), patients=4, robustness=WANTED)
    for file in folder.glob("runs/unet_hippocampus/cpc3d-*/test-blur-3/metrics.csv"):
        file.unlink()
    found = table(collect(folder))
    assert found.loc[("cpc3d", "blur", 3), "note"] == "no replicate is finished in both arms"
    assert np.isnan(found.loc[("cpc3d", "mean", 0), "drop"])
    assert np.isfinite(found.loc[("scratch", "mean", 0), "drop"])


def test_a_patient_without_a_value_under_a_corruption_leaves_the_drop_and_not_the_clean_score(tmp_path):
    folder = write_study_folder(tmp_path, counts=("all",), patients=4, robustness=WANTED)
    path = folder / "runs/unet_hippocampus/cpc3d-all-seed1-lr0.002/test-blur-3/metrics.csv"
    lines = [
        ",".join([*line.split(",")[:4], "nan", *line.split(",")[5:]]) if line.startswith("case_2_0") else line
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    collected = collect(folder)
    words = "patients left out of all runs, for they have no finite value in finetune-cpc3d-all-seed1: 2"
    assert f"mean dice: {words}" in collected.problems
    found = table(collected)
    assert set(found["patients"]) == {3}
    assert found["note"].eq("").all()
    assert len(cube(collected, Score(), "cpc3d", "all").patients) == 4


def test_a_study_without_corruptions_has_no_rows(tmp_path):
    found = robustness(study(tmp_path, robustness=None))
    assert (len(found), list(found.columns)) == (0, COLUMNS)
