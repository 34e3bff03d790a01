"""A whole study: order, skipping, failures, several processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from tiny_study import FakeBundles, quick_identity, tiny_plan, write_tiny_study

from medvol.study import run_study
from medvol.study.planning.plan import Plan
from medvol.study.running.ledger import Ledger
from medvol.study.running.run import Outcome, Tally
from medvol.study.running.sameness import Identity, OtherCodeError, OtherRecipeError


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBundles:
    fake = FakeBundles({0.001: 0.4, 0.01: 0.6})
    monkeypatch.setattr("medvol.bundles.run", fake.run)
    monkeypatch.setattr("medvol.study.running.executing.identity_of", fake.identity)

    monkeypatch.setattr("medvol.study.running.run._PAUSE", 0.01)
    return fake


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> Plan:
    return tiny_plan(write_tiny_study(tmp_path_factory.mktemp("study"), write_tiny_dataset))


def test_everything_once_and_then_nothing(plan: Plan, fake: FakeBundles, tmp_path: Path) -> None:
    lines: list[str] = []
    assert run_study(plan, tmp_path / "out", report=lines.append) == Outcome(10, {}, 0)
    # The winners of the tuning are the grid's runs at their count and seed: eight trainings for ten runs.
    assert fake.trained == [
        "cpc3d-seed0", "scratch-2-seed0-lr0.001", "scratch-2-seed0-lr0.01", "cpc3d-2-seed0-lr0.001",
        "cpc3d-2-seed0-lr0.01", "cpc3d-seed1", "scratch-2-seed1-lr0.01", "cpc3d-2-seed1-lr0.01",
    ]  # fmt: skip
    assert fake.scored == [f"{arm}-2-seed{seed}-lr0.01/test" for seed in (0, 1) for arm in ("scratch", "cpc3d")]
    assert len(lines) == 11
    assert lines[0].startswith("study 'tiny': 10 runs, 0 of them done before; folder ")
    assert lines[-1].startswith("[10/10] finetune-cpc3d-2-seed1: ")
    content = {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert json.loads(content[tmp_path / "out/study.json"]) == plan.study.raw
    assert json.loads(content[tmp_path / "out/plan.json"]) == plan.as_dict()

    lines.clear()
    assert run_study(plan, tmp_path / "out", report=lines.append) == Outcome(0, {}, 10)
    assert lines == [f"study 'tiny': 10 runs, 10 of them done before; folder {tmp_path / 'out'}"]
    assert {file: file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file()} == content


def test_a_failure_stops_what_needs_it_and_nothing_else_and_is_tried_again(
    plan: Plan, fake: FakeBundles, tmp_path: Path
) -> None:
    fake.broken["cpc3d-seed1"] = SystemExit("no images")
    outcome = run_study(plan, tmp_path)
    assert outcome == Outcome(
        8, {"pretrain-cpc3d-seed1": "no images", "finetune-cpc3d-2-seed1": "needs pretrain-cpc3d-seed1"}, 0
    )
    assert Ledger(tmp_path).read("finetune-cpc3d-2-seed1").error == "needs pretrain-cpc3d-seed1"
    fake.broken.clear()
    assert run_study(plan, tmp_path) == Outcome(2, {}, 8)


def test_a_failed_tuning_run_stops_its_arm_and_a_diverged_one_does_not(
    plan: Plan, fake: FakeBundles, tmp_path: Path
) -> None:
    fake.broken = {"scratch-2-seed0-lr0.01": FloatingPointError("expected a finite loss")}
    fake.broken["cpc3d-2-seed0-lr0.01"] = OSError("disk full")
    lines: list[str] = []
    outcome = run_study(plan, tmp_path, report=lines.append)
    assert outcome.failed == {
        "tune-cpc3d-lr0.01": "disk full",
        "finetune-cpc3d-2-seed0": "needs tune-cpc3d-lr0.01",
        "finetune-cpc3d-2-seed1": "needs tune-cpc3d-lr0.01",
    }
    assert "scratch-2-seed1-lr0.001" in fake.trained
    assert any("tune-scratch-lr0.01: diverged; this learning rate will not be chosen" in line for line in lines)
    fake.broken.pop("cpc3d-2-seed0-lr0.01")
    asked = len(fake.asked)
    fake.asked.clear()
    assert run_study(plan, tmp_path) == Outcome(3, {}, 7)
    assert asked > 3
    assert "scratch-2-seed0-lr0.01" not in fake.asked  # it would only diverge again


def test_what_another_process_is_at_is_left_to_it(plan: Plan, fake: FakeBundles, tmp_path: Path) -> None:
    """The first run is held by somebody else: the others go first, what needs it waits, and nobody does it twice."""
    (tmp_path / "state").mkdir()
    held = FileLock(tmp_path / "state" / "pretrain-cpc3d-seed0.lock", thread_local=False)
    held.acquire()
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(run_study(plan, tmp_path)))
    thread.start()
    for _ in range(2000):
        if len(fake.scored) == 2:
            break
        thread.join(0.01)
    assert fake.trained == [
        "scratch-2-seed0-lr0.001", "scratch-2-seed0-lr0.01", "cpc3d-seed1", "scratch-2-seed1-lr0.01",
    ]  # fmt: skip
    assert thread.is_alive()
    held.release()
    thread.join(30)
    assert outcomes == [Outcome(10, {}, 0)]
    assert len(fake.trained) == len(set(fake.trained)) == 8


def test_stopping_says_so_and_leaves_no_lock(plan: Plan, fake: FakeBundles, tmp_path: Path) -> None:
    fake.broken["scratch-2-seed0-lr0.001"] = KeyboardInterrupt()
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_study(plan, tmp_path, report=lines.append)
    assert lines[-1] == "stopped; the same command goes on where the runs stand"
    fake.broken.clear()
    assert run_study(plan, tmp_path) == Outcome(9, {}, 1)


def test_a_damaged_state_is_looked_at_again(plan: Plan, fake: FakeBundles, tmp_path: Path) -> None:
    run_study(plan, tmp_path)
    (tmp_path / "state" / "finetune-scratch-2-seed1.json").write_text("{", encoding="utf-8")
    fake.trained.clear()
    with pytest.raises(ValueError, match="must be a JSON object"):
        Ledger(tmp_path).read("finetune-scratch-2-seed1")
    assert run_study(plan, tmp_path) == Outcome(1, {}, 9)
    assert fake.trained == []


@pytest.mark.parametrize("jobs", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_processes_is_refused(jobs: object, plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jobs must be a whole number of at least 1; found"):
        run_study(plan, tmp_path / "out", jobs=jobs)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_study_and_a_file_are_refused(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"name": "other"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"hold the study 'tiny'; found the study 'other' in .*; choose another --out"):
        run_study(plan, tmp_path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "study.json"]
    with pytest.raises(OSError, match=r"study\.json"):
        run_study(plan, tmp_path / "study.json")


def test_a_plan_out_of_order_is_refused(plan: Plan, tmp_path: Path) -> None:
    for runs in (plan.runs[::-1], plan.runs[1:], (*plan.runs, plan.runs[0])):
        with pytest.raises(ValueError, match="make the plan anew"):
            run_study(replace(plan, runs=runs), tmp_path / "out")


def test_a_tally_hands_on_each_line_once() -> None:
    lines: list[str] = []
    tally = Tally(lines.append)
    for event in (
        ("skipped", "a"), ("done", "a", "", "a is done"), ("skipped", "a"), ("failed", "b", "no", "b failed"),
        ("failed", "b", "no", "b failed"), ("skipped", "c"),
    ):  # fmt: skip
        tally.tell(*event)
    assert lines == ["a is done", "b failed"]
    assert tally.outcome() == Outcome(1, {"b": "no"}, 1)


def test_a_study_that_was_edited_stops_before_anything_is_written(
    plan: Plan, fake: FakeBundles, tmp_path: Path
) -> None:
    run_study(plan, tmp_path)
    content = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    runs = tuple(replace(run, overrides={**run.overrides, "steps": 6}, steps=6) for run in plan.runs)
    study = replace(plan.study, raw={**plan.study.raw, "margin": 0.5})
    for accept in (False, True):
        with pytest.raises(OtherRecipeError, match=r"with steps 2 and not 6.*the same goes for tune-.* and 4 more$"):
            run_study(replace(plan, study=study, runs=runs), tmp_path, accept_other_code=accept)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == content
    assert len(fake.trained) == 8


def test_after_an_update_nothing_is_trained_before_the_finished_runs_are_accepted(
    plan: Plan, fake: FakeBundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(plan, runs=tuple(run for run in plan.runs if run.replicate == 0))
    run_study(first, tmp_path)
    trained = len(fake.trained)

    def newer(bundle: str, overrides: dict) -> Identity:
        identity = quick_identity(bundle, overrides)
        return Identity(f"{identity.hash[:-1]}-", identity.recipe, {"code": "newer"})

    fake.identity = newer
    monkeypatch.setattr("medvol.study.running.executing.identity_of", newer)
    lines: list[str] = []
    with pytest.raises(OtherCodeError, match='made by code "now" and not "newer"; keep it with --accept_other_code'):
        run_study(plan, tmp_path, report=lines.append)
    assert (len(fake.trained), lines) == (trained, [])
    assert run_study(plan, tmp_path, accept_other_code=True) == Outcome(3, {}, 7)


def test_two_commands_with_two_plans_do_not_share_a_folder(plan: Plan, fake: FakeBundles, tmp_path: Path) -> None:
    small = replace(plan, runs=plan.runs[:1])
    with Ledger(tmp_path).at_work(lambda alone: None):
        run_study(small, tmp_path / "new")
        with pytest.raises(ValueError, match=r"found another one at work on .* with another study\.json; wait"):
            run_study(plan, tmp_path)
    assert not (tmp_path / "plan.json").exists()
    run_study(small, tmp_path)
    with Ledger(tmp_path).at_work(lambda alone: None):
        assert run_study(small, tmp_path) == Outcome(0, {}, 1)
        with pytest.raises(ValueError, match=r"with another plan\.json"):
            run_study(plan, tmp_path)
    assert run_study(plan, tmp_path).failed == {}
