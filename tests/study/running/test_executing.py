"""One run: trained, scored, kept, refused or failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import FakeBundles, tiny_plan, write_tiny_study

from medvol.bundles.refusal import GuardError
from medvol.study.planning.plan import Plan, PlannedRun
from medvol.study.running.executing import Executor
from medvol.study.running.sameness import OtherCodeError, OtherRecipeError, identity_of


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBundles:
    fake = FakeBundles()
    monkeypatch.setattr("medvol.bundles.run", fake.run)
    monkeypatch.setattr("medvol.study.running.executing.identity_of", fake.identity)

    return fake


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> Plan:
    folder = tmp_path_factory.mktemp("study")
    plan = tiny_plan(write_tiny_study(folder, write_tiny_dataset, tune=None, seeds=[0]))
    return replace(plan, runs=tuple(run for run in plan.runs if run.arm == "scratch"))


@pytest.fixture
def run(plan: Plan) -> PlannedRun:
    return plan.runs[0]


NAME = "scratch-2-seed0-lr0.002"


def passport_of(folder: Path) -> Path:
    return folder / "runs" / "unet_hippocampus" / NAME / "passport.json"


def change(path: Path, **values: object) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, **values}), encoding="utf-8")


def test_trained_scored_and_then_settled(
    plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    executor = Executor(plan, tmp_path / "out")
    assert executor.settled(run) is None
    state = executor.carry_out(run)
    assert (state.state, state.error, state.run_dir) == ("done", None, f"runs/unet_hippocampus/{NAME}")
    assert (state.learning_rate, state.hash) == (0.002, fake.identity(run.bundle, fake.asked[NAME]).hash)
    assert state.seconds > 0
    assert state.versions["code"]
    assert state.machine["cores"] >= 1
    assert executor.settled(run) == executor.ledger.read(run.key) == state
    assert (fake.trained, fake.scored) == ([NAME], [f"{NAME}/test"])
    assert fake.asked[f"{NAME}/test"]["section"] == "test"
    assert not list((tmp_path / "out").rglob(".*.part"))
    assert capsys.readouterr().out == ""
    assert "chatter of" in (tmp_path / "out/logs" / f"{run.key}.log").read_text(encoding="utf-8")


def test_the_identity_is_that_of_the_bundles(
    plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medvol.study.running.executing.identity_of", identity_of)
    fake.identity = identity_of
    executor = Executor(plan, tmp_path / "out")
    state = executor.carry_out(run)
    assert state.hash == identity_of(run.bundle, fake.asked[NAME]).hash
    assert executor.settled(run) == state


def test_scores_that_are_gone_are_made_again_without_a_training(
    plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path
) -> None:
    executor = Executor(plan, tmp_path / "out")
    before = executor.carry_out(run)
    passport_of(tmp_path / "out").with_name("test").joinpath("metrics.csv").unlink()
    assert executor.settled(run) is None
    after = executor.carry_out(run)
    assert after.hash == before.hash
    assert after.seconds >= before.seconds
    assert (len(fake.trained), len(fake.scored)) == (1, 2)


@pytest.mark.parametrize("gone", ["model.pt", "passport.json"])
def test_a_run_that_is_gone_is_made_again_with_its_scores(
    gone: str, plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path
) -> None:
    executor = Executor(plan, tmp_path / "out")
    executor.carry_out(run)
    passport_of(tmp_path / "out").with_name(gone).unlink()
    assert executor.settled(run) is None
    assert executor.carry_out(run).state == "done"
    assert (len(fake.trained), len(fake.scored)) == (2, 2)


def test_changed_weights_are_no_result(plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path) -> None:
    executor = Executor(plan, tmp_path / "out")
    executor.carry_out(run)
    passport_of(tmp_path / "out").with_name("model.pt").write_bytes(b"cut")
    with pytest.raises(ValueError, match="found other bytes; remove"):
        executor.settled(run)
    assert "found other bytes; remove" in executor.carry_out(run).sentence


def test_other_code_is_refused_or_kept_and_recorded(
    plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path
) -> None:
    fake.run(run.bundle, **Executor(plan, tmp_path / "out").resolver.overrides(run))  # found there, without a state
    change(passport_of(tmp_path / "out"), hash="0" * 64, versions={"code": "older"})
    executor = Executor(plan, tmp_path / "out")
    state = executor.carry_out(run)
    assert state.state == "failed"
    assert 'made by code "older" and not ' in state.sentence
    accepting = Executor(plan, tmp_path / "out", accept_other_code=True)
    state = accepting.carry_out(run)
    assert (state.state, state.hash, state.versions) == ("done", "0" * 64, {"code": "older"})
    assert state.seconds is None  # nobody measured it
    assert accepting.settled(run) == state
    with pytest.raises(OtherCodeError):
        executor.settled(run)
    assert executor.carry_out(run).state == "failed"
    assert executor.ledger.read(run.key) == state  # what has finished does not become a failure in the tables
    assert (len(fake.trained), len(fake.scored)) == (1, 1)


def test_scores_of_other_weights_are_dropped(plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path) -> None:
    executor = Executor(plan, tmp_path / "out", accept_other_code=True)
    executor.carry_out(run)
    change(passport_of(tmp_path / "out"), hash="0" * 64, versions={"code": "older"})
    assert executor.settled(run) is None
    assert executor.carry_out(run).hash == "0" * 64
    assert (len(fake.trained), len(fake.scored)) == (1, 2)


def test_another_recipe_is_refused(plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path) -> None:
    executor = Executor(plan, tmp_path / "out", accept_other_code=True)
    executor.carry_out(run)
    other = replace(run, overrides={**run.overrides, "steps": 9})
    with pytest.raises(OtherRecipeError, match=r"with steps 2 and not 9; choose another --out"):
        executor.settled(other)
    with pytest.raises(OtherRecipeError):
        executor.check(other)
    state = executor.carry_out(other)
    assert "steps 2 and not 9" in state.sentence
    assert executor.ledger.read(run.key) == state  # what lies there is no result of this study
    executor.ledger.forget_failure(run.key)
    assert executor.carry_out(run).state == "done"
    assert len(fake.trained) == len(fake.scored) == 1


def test_scores_made_otherwise_are_made_again_and_by_other_code_unless_accepted(
    plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path
) -> None:
    executor, accepting = (Executor(plan, tmp_path / "out", accept_other_code=accept) for accept in (False, True))
    state = executor.carry_out(run)
    note = passport_of(tmp_path / "out").with_name("test") / "scoring.json"
    written = json.loads(note.read_text(encoding="utf-8"))
    assert written["weights"] == json.loads(passport_of(tmp_path / "out").read_text(encoding="utf-8"))["weights"]
    assert executor.settled(run) == state
    change(note, versions={"code": "older"})
    assert executor.settled(run) is None
    assert accepting.settled(run) == state
    note.unlink()
    assert executor.settled(run) is None
    assert accepting.settled(run) == state
    note.write_text(json.dumps({**written, "recipe": "0" * 64}), encoding="utf-8")
    assert accepting.settled(run) is None
    assert accepting.carry_out(run).state == "done"
    assert (len(fake.trained), len(fake.scored)) == (1, 2)
    assert json.loads(note.read_text(encoding="utf-8")) == written


def test_what_was_begun_by_other_code_starts_anew(
    plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path
) -> None:
    executor = Executor(plan, tmp_path / "out")
    overrides = executor.resolver.overrides(run)
    wanted, folder = fake.identity(run.bundle, overrides), executor.resolver.run_dir(overrides)
    folder.mkdir(parents=True)
    note = {"hash": "0" * 64, "recipe": wanted.recipe, "versions": {"code": "older"}}
    (folder / "run.json").write_text(json.dumps(note), encoding="utf-8")
    assert executor.carry_out(run).state == "done"
    assert fake.asked[NAME]["restart"] is True


def test_what_this_code_began_goes_on(plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path) -> None:
    executor = Executor(plan, tmp_path / "out")
    overrides = executor.resolver.overrides(run)
    wanted, folder = fake.identity(run.bundle, overrides), executor.resolver.run_dir(overrides)
    folder.mkdir(parents=True)
    note = {"hash": wanted.hash, "recipe": wanted.recipe, "versions": dict(wanted.versions)}
    (folder / "run.json").write_text(json.dumps(note), encoding="utf-8")
    executor.carry_out(run)
    assert "restart" not in fake.asked[NAME]


def test_a_failure_is_kept_in_one_sentence(plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path) -> None:
    executor = Executor(plan, tmp_path / "out")
    for error, sentence in {
        ValueError("no room;\nmake some"): "no room; make some",
        GuardError("cannot start.\n expected: a\n found: b"): "cannot start. expected: a found: b",
        FloatingPointError("expected a finite loss"): "FloatingPointError: expected a finite loss",
    }.items():
        fake.broken[NAME] = error
        state = executor.carry_out(run)
        assert executor.ledger.read(run.key) == state
        assert (state.state, state.sentence, state.diverged) == ("failed", sentence, False)
    fake.broken = {f"{NAME}/test": OSError("disk full")}
    assert executor.carry_out(run).sentence == "disk full"
    fake.broken = {}
    assert executor.carry_out(run).state == "done"
    assert fake.trained == [NAME]  # the scoring failed, and the training need not be done again


def test_a_tuning_that_diverged_is_settled_until_it_changes(
    plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path
) -> None:
    executor, tune = Executor(plan, tmp_path / "out"), replace(run, kind="tune")
    fake.broken[NAME] = FloatingPointError("expected a finite loss")
    state = executor.carry_out(tune)
    assert state.diverged
    assert executor.settled(tune) == state
    assert executor.settled(replace(tune, overrides={**tune.overrides, "steps": 9})) is None


def test_the_user_may_stop(plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path) -> None:
    executor = Executor(plan, tmp_path / "out")
    fake.broken[NAME] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        executor.carry_out(run)
    assert executor.ledger.read(run.key) is None


def test_a_scoring_without_scores_is_a_failure(
    plan: Plan, run: PlannedRun, fake: FakeBundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "_score", lambda overrides: None)
    assert "must leave metrics.csv; found none" in Executor(plan, tmp_path / "out").carry_out(run).sentence
