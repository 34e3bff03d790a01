"""Whether runs can be compared: cases, patients, data, versions, replicates, learning rates."""

from __future__ import annotations

import json

import pytest
from studies import BUNDLE, write_study_folder

from medvol.study.tables.table import collect

RUNS = "runs/unet_hippocampus"


@pytest.fixture
def folder(tmp_path):
    return write_study_folder(tmp_path, patients=4)


def rewrite(folder, arm, count, seed, change, name="test/metrics.csv"):
    """Change the lines below the head of one run's scores; ``None`` takes a line out."""
    path = folder / RUNS / f"{arm}-{count}-seed{seed}-lr0.002" / name
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in map(change, lines) if line is not None]
    path.write_text("\n".join([head, *kept, ""]), encoding="utf-8")


def states(collected):
    runs = collected.runs
    return dict(zip(runs["key"], runs["state"], strict=True))


def test_whole_studies_have_no_problems(folder):
    assert collect(folder).problems == []


def test_a_file_cut_at_the_end_of_a_line_is_refused_by_comparison(folder):
    rewrite(folder, "cpc3d", 4, 1, lambda line: None if line.startswith("case_4") else line)
    found = collect(folder)
    assert states(found)["finetune-cpc3d-4-seed1"] == "refused"
    assert len(found.problems) == 2
    assert found.problems[0] == (
        "finetune-cpc3d-4-seed1 has finished, but is left out: its metrics.csv must hold what the other runs hold; "
        "found 9 of 12 rows, 3 of 4 cases (not case_4_0); remove the file and run the study again"
    )
    assert found.problems[1] == "cpc3d, 4 labelled patients: 2 of 3 replicates; compared with scratch on 2"


def test_a_missing_region_is_named(folder):
    rewrite(folder, "scratch", "all", 0, lambda line: None if ",whole," in line else line)
    assert "2 of 3 regions (not whole)" in collect(folder).problems[0]


def test_one_cut_reference_does_not_make_the_others_strange(tmp_path):
    folder = write_study_folder(tmp_path, counts=(4,), seeds=(0,), patients=4)
    rewrite(folder, "scratch", 4, 0, lambda line: None if line.startswith("case_4") else line)
    found = states(collect(folder))
    assert (found["finetune-scratch-4-seed0"], found["finetune-cpc3d-4-seed0"]) == ("refused", "done")


def test_an_arm_with_other_patients_is_named_and_keeps_its_scores(folder):
    for count in (4, "all"):
        for seed in (0, 1, 2):
            rewrite(folder, "cpc3d", count, seed, lambda line: line.replace("case_4_0,4,", "case_9_0,9,"))
    found = collect(folder)
    assert len(found.problems) == 1
    assert found.problems[0].startswith(
        "cpc3d was scored on other patients than most runs (4, 9): it is compared with no"
    )
    assert set(found.scores.loc[found.scores["arm"] == "cpc3d", "patient"]) == {"1", "2", "3", "9"}


def test_one_run_with_other_patients_than_its_arm_is_refused(folder):
    rewrite(folder, "cpc3d", 4, 2, lambda line: line.replace("case_4_0,4,", "case_9_0,9,"))
    found = collect(folder)
    assert states(found)["finetune-cpc3d-4-seed2"] == "refused"
    assert "other patients than the other runs (4, 9)" in found.problems[0]


def test_rows_that_other_runs_do_not_have_are_left_out(folder):
    rewrite(
        folder, "cpc3d", 4, 0, lambda line: line + "\n" + line.replace("whole", "tail") if "whole" in line else line
    )
    found = collect(folder)
    assert found.problems == ["finetune-cpc3d-4-seed0: 4 scores that other runs do not have are left out"]
    assert "tail" not in set(found.scores["region"])


def test_corrupted_scores_of_fewer_cases_are_left_out(tmp_path):
    robustness = {"corruptions": ["noise"], "severities": [1], "counts": [4]}
    folder = write_study_folder(tmp_path, counts=(4,), patients=4, robustness=robustness)
    rewrite(folder, "cpc3d", 4, 0, lambda line: None if "_3_" in line else line, "test-noise-1/metrics.csv")
    path = folder / RUNS / "cpc3d-4-seed1-lr0.002" / "test-noise-1" / "metrics.csv"
    more = "case_8_0,8,whole,dice,0.5,1,cpc3d,run\n"
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    found = collect(folder)
    assert len(found.problems) == 1
    assert "noise, severity 1, are left out: 3 scores of the clean images are missing" in found.problems[0]
    mine = found.corrupted[found.corrupted["arm"] == "cpc3d"]
    assert set(mine["replicate"]) == {1, 2}
    assert "case_8_0" not in set(mine["case"])


def test_a_run_without_one_finite_value_is_refused(folder):
    rewrite(folder, "cpc3d", 4, 0, lambda line: ",".join([*line.split(",")[:4], "nan", *line.split(",")[5:]]))
    found = collect(folder)
    assert states(found)["finetune-cpc3d-4-seed0"] == "refused"
    assert "none of its values of mean dice is a finite number" in found.problems[0]


def test_failed_and_unfinished_runs_are_named(tmp_path):
    failed, unfinished = ["finetune-cpc3d-4-seed1"], ["finetune-cpc3d-all-seed0", "finetune-scratch-all-seed2"]
    folder = write_study_folder(tmp_path, patients=2, failed=failed, unfinished=unfinished)
    found = collect(folder)
    assert found.problems == [
        "finetune-cpc3d-4-seed1 failed: ValueError: the disk is full",
        "2 of 15 runs have not finished: finetune-cpc3d-all-seed0, finetune-scratch-all-seed2",
        "cpc3d, 4 labelled patients: 2 of 3 replicates; compared with scratch on 2",
        "scratch, all labelled patients: 2 of 3 replicates",
        "cpc3d, all labelled patients: 2 of 3 replicates; compared with scratch on 1",
    ]


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_other_data_are_told_by_arm_and_label_count(folder):
    for seed in (0, 1):
        place = folder / RUNS / f"cpc3d-4-seed{seed}-lr0.002" / "passport.json"
        edit_json(place, data={"hash": "0ther" * 10})
    problems = collect(folder).problems
    assert problems == [
        "the fine-tunings were made on 2 versions of the data: 0ther0th by cpc3d (4); da7ada7a by cpc3d (4), cpc3d "
        "(all), scratch (4), scratch (all)"
    ]


def test_pretraining_on_other_data_is_no_problem(folder):
    for seed in (0, 1, 2):
        edit_json(folder / f"runs/cpc3d/cpc3d-seed{seed}" / "passport.json", data={"hash": "0ther" * 10})
    assert collect(folder).problems == []


def test_mixed_code_and_versions_are_told_with_the_runs(folder):
    key = "finetune-cpc3d-4-seed1"
    path = folder / "state" / f"{key}.json"
    versions = json.loads(path.read_text(encoding="utf-8"))["versions"]
    edit_json(path, versions={**versions, "code": "beef" * 16, "monai": "1.7.0"})
    assert collect(folder).problems == [
        f"the runs were made by 2 versions of medvol's code: c0dec0dec0de (14 runs); beefbeefbeef ({key})",
        f"the runs were made by 2 versions of monai: 1.6.1 (14 runs); 1.7.0 ({key})",
    ]


def test_an_arm_with_two_learning_rates_is_told(tmp_path):
    folder = write_study_folder(tmp_path, patients=2, tune=True)
    edit_json(folder / "state" / "finetune-cpc3d-all-seed1.json", learning_rate=0.006)
    passport = folder / "runs" / BUNDLE / "cpc3d-all-seed1-lr0.002" / "passport.json"
    recipe = json.loads(passport.read_text(encoding="utf-8"))["recipe"]
    edit_json(passport, recipe={**recipe, "learning_rate": 0.006})
    assert collect(folder).problems == ["cpc3d was fine-tuned with 2 learning rates, 0.002, 0.006"]


def test_scores_by_several_versions_and_silent_ones_are_told(folder):
    notes = [
        folder / "runs" / BUNDLE / f"{arm}-4-seed0-lr0.002" / "test" / "scoring.json" for arm in ("scratch", "cpc3d")
    ]
    versions = json.loads(notes[0].read_text(encoding="utf-8"))["versions"]
    edit_json(notes[0], versions={**versions, "code": "beef" * 16})
    notes[1].unlink()
    silent, mixed = collect(folder).problems
    assert silent == "the scores of 1 run do not say by which code they were made: finetune-cpc3d-4-seed0"
    assert mixed.startswith("the scores were made by 2 versions of medvol's code: c0dec0dec0de (")
    assert mixed.endswith("; beefbeefbeef (finetune-scratch-4-seed0)")
