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


def test_another_run_in_its_folder_is_refused(folder):
    edit_state(folder, hash="0" * 64)
    left = read(folder)
    assert (left.state, left.scores) == ("refused", None)
    assert "holds another run than the one the study made" in left.error


@pytest.mark.parametrize("key", ["steps", "seed", "num_patients", "arm"])
def test_a_study_that_was_edited_after_its_runs_is_not_reported_with_them(folder, key):
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    (run,) = (run for run in plan["runs"] if run["key"] == KEY)
    run["overrides"][key] = 6
    (folder / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    left = read(folder)
    assert (left.state, left.scores, left.curves) == ("refused", None, None)
    assert f"{RUN} was made with {key} " in left.error
    assert "the plan asks for 6; take another --out" in left.error


def test_a_start_that_was_trained_anew_is_refused(tmp_path):
    folder = write_study_folder(tmp_path, arms=["scratch", "cpc3d"], counts=(4,), seeds=(0,), patients=2)
    key = "finetune-cpc3d-4-seed0"
    assert read(folder, key).state == "done"
    path = folder / "runs" / "cpc3d" / "cpc3d-seed0" / "passport.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "hash": "0" * 64}), encoding="utf-8")
    assert "starting weights of the run" in read(folder, key).error


def test_a_log_that_is_cut_between_two_lines_costs_the_curve(folder):
    path = folder / RUN / "log.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-4]) + "\n", encoding="utf-8")
    left = read(folder)
    assert (left.state, left.curves, len(left.problems)) == ("done", None, 1)
    assert "at the end of val_" in left.problems[0]


def test_a_cut_log_of_a_tuning_run_refuses_it(tmp_path):
    folder = write_study_folder(tmp_path, arms=["scratch"], counts=(4,), seeds=(0,), patients=2, tune=True)
    path = folder / "runs/unet_hippocampus/scratch-4-seed0-lr0.006/log.csv"
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-4]) + "\n", encoding="utf-8")
    assert read(folder, "tune-scratch-lr0.006").state == "refused"


def test_scores_of_other_weights_are_refused(folder):
    for name in ("test-noise-1", "test"):
        path = folder / RUN / name / "scoring.json"
        note = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**note, "weights": "0" * 64}), encoding="utf-8")
        left = read(folder)
        if name == "test":
            assert f"{RUN}/test holds scores of other weights" in left.error
        else:
            assert set(left.corrupted) == {("noise", 3)}


def test_scores_that_do_not_say_what_made_them_are_kept_and_known(folder):
    assert set(read(folder).scorers) == {"test", "test-noise-1", "test-noise-3"}
    (folder / RUN / "test" / "scoring.json").unlink()
    left = read(folder)
    assert (left.state, left.scorers["test"]) == ("done", None)


def test_a_tuning_run_that_diverged_is_an_answer(tmp_path):
    folder = write_study_folder(tmp_path, arms=["scratch"], counts=(4,), seeds=(0,), patients=2, tune=True)
    key = "tune-scratch-lr0.006"
    path = folder / "state" / f"{key}.json"
    state = {"key": key, "state": "failed", "diverged": True, "error": "GradientError: not finite", "hash": "1"}
    path.write_text(json.dumps(state), encoding="utf-8")
    left = read(folder, key)
    assert (left.state, left.curves) == ("done", [])
    assert left.problems == ["its training diverged, so this learning rate is not chosen"]
