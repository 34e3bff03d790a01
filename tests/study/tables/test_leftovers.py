"""What a run left behind: its state, passport, scores and curves, or why they cannot be used."""

from __future__ import annotations

import json

import pytest
from studies import write_study_folder

from medvol.study.planning.plan import read_plan
from medvol.study.tables.leftovers import read_leftover

KEY = "finetune-scratch-4-seed0"
RUN = "runs/unet_hippocampus/scratch-4-seed0-lr0.002"


@pytest.fixture
def folder(tmp_path):
    robustness = {"corruptions": ["noise"], "severities": [1, 3], "counts": [4]}
    return write_study_folder(tmp_path, arms=["scratch"], counts=(4,), seeds=(0,), patients=2, robustness=robustness)


def read(folder, key=KEY):
    plan = read_plan(folder)
    return read_leftover(folder, next(run for run in plan.runs if run.key == key), plan.study)


def edit_state(folder, **changes):
    path = folder / "state" / f"{KEY}.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_finished_run_has_everything(folder):
    left = read(folder)
    assert (left.state, left.error, left.problems, left.run_dir) == ("done", "", [], RUN)
    assert (left.learning_rate, left.seconds, left.versions["torch"]) == (0.002, 120.0, "2.14.1")
    assert (left.data[:4], len(left.hash)) == ("da7a", 64)
    assert (len(left.scores.values), len(left.curves), set(left.corrupted)) == (6, 32, {("noise", 1), ("noise", 3)})


def test_a_run_without_a_state_has_not_finished(folder):
    (folder / "state" / f"{KEY}.json").unlink()
    assert read(folder).state == "unfinished"
    assert read(folder).scores is None  # its files are there, but nobody has said that they are whole


@pytest.mark.parametrize(
    "content", ["", '{"state": "do', "[]", '{"state": "almost"}', "{}", '{"state": "done", "seconds": "x"}']
)
def test_a_damaged_state_is_refused(folder, content):
    (folder / "state" / f"{KEY}.json").write_text(content, encoding="utf-8")
    left = read(folder)
    assert left.state == "refused"
    assert left.error.startswith(f"state/{KEY}.json cannot be read")
    assert left.error.endswith("remove it and run the study again")


def test_a_failed_run_keeps_the_first_line_of_its_error(folder):
    edit_state(folder, state="failed", error="ValueError: no space\nTraceback ...", run_dir=None)
    left = read(folder)
    assert (left.state, left.error, left.run_dir, left.scores) == ("failed", "ValueError: no space", "", None)


@pytest.mark.parametrize("name", ["passport.json", "test/metrics.csv"])
def test_a_finished_run_without_passport_or_scores_is_refused(folder, name):
    (folder / RUN / name).unlink()
    left = read(folder)
    assert (left.state, left.scores, left.curves, left.corrupted) == ("refused", None, None, {})
    assert "found none; run the study again" in left.error


def test_a_folder_that_was_moved_away_is_refused(folder):
    (folder / "runs").rename(folder / "elsewhere")
    assert read(folder).state == "refused"


def test_a_cut_log_costs_the_curve_alone(folder):
    path = folder / RUN / "log.csv"
    path.write_text(path.read_text(encoding="utf-8")[:-3], encoding="utf-8")
    left = read(folder)
    assert (left.state, left.curves, len(left.problems)) == ("done", None, 1)
    assert left.problems[0].startswith(f"its curve is left out: {RUN}/log.csv must be whole")


def test_missing_corrupted_scores_are_said(folder):
    (folder / RUN / "test-noise-3" / "metrics.csv").unlink()
    left = read(folder)
    assert set(left.corrupted) == {("noise", 1)}
    assert left.problems[0].startswith("its scores under noise, severity 3, are left out")


def test_another_run_in_its_folder_is_said(folder):
    edit_state(folder, hash="0" * 64)
    assert "holds another run" in read(folder).problems[0]


def test_a_tuning_run_that_diverged_is_an_answer(tmp_path):
    folder = write_study_folder(tmp_path, arms=["scratch"], counts=(4,), seeds=(0,), patients=2, tune=True)
    key = "tune-scratch-lr0.006"
    path = folder / "state" / f"{key}.json"
    state = {"key": key, "state": "failed", "diverged": True, "error": "GradientError: not finite", "hash": "1"}
    path.write_text(json.dumps(state), encoding="utf-8")
    left = read(folder, key)
    assert (left.state, left.curves) == ("done", [])
    assert left.problems == ["its training diverged, so this learning rate is not chosen"]
