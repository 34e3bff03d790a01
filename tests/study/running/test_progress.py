"""Lines and the time that is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medvol.study.planning.plan import PlannedRun
from medvol.study.running.ledger import Ledger, State, machine
from medvol.study.running.progress import progress_line, time_left

HERE = {"processor": "p", "cores": 2, "torch_threads": 1}
RUN = PlannedRun("", "finetune", "a", "", 2, 0, "unet", "run", {}, None, None, (), None, 100, 200, "")


def runs(**arms: str) -> list[PlannedRun]:
    """Fine-tunings by key, each of an arm."""
    return [replace(RUN, key=key, arm=arm) for key, arm in arms.items()]


def done(key: str, seconds: float | None) -> State:
    return State(key, "done", seconds=seconds, machine=HERE)


def test_a_run_counts_as_its_like() -> None:
    plan = runs(a="one", b="one", c="two", d="two", e="new")
    states = {"a": done("a", 10.0), "c": done("c", 30.0)}
    assert time_left(plan, states, HERE) == pytest.approx(10 + 30 + 20)
    assert time_left(plan, states, HERE, processes=2) == pytest.approx(30)


def test_the_steps_count() -> None:
    plan = [*runs(a="one"), replace(RUN, key="b", arm="long", steps=300)]
    assert time_left(plan, {"a": done("a", 10.0)}, HERE) == pytest.approx(30)


def test_another_kind_counts_only_where_nothing_nearer_ran() -> None:
    plan = [replace(RUN, key="p", kind="pretrain"), *runs(a="one", b="two")]
    assert time_left(plan, {"p": done("p", 50.0)}, HERE) == pytest.approx(100)
    assert time_left(plan, {"p": done("p", 50.0), "a": done("a", 7.0)}, HERE) == pytest.approx(7)


def test_what_was_not_measured_here_does_not_count() -> None:
    plan = runs(a="one", b="one", c="one")
    states = {"a": replace(done("a", 10.0), machine={**HERE, "cores": 64}), "b": done("b", None)}
    assert time_left(plan, states, HERE) is None
    assert time_left(plan, {"a": State("a", "failed", seconds=5.0, machine=HERE)}, HERE) is None
    assert time_left(plan, {key: done(key, 1.0) for key in "abc"}, HERE) == 0


def test_the_lines(tmp_path: Path) -> None:
    ledger, lines = Ledger(tmp_path), []
    plan = runs(a="one", b="one", c="one", d="one")
    states = [
        State("a", "done", seconds=100.0, machine=machine()),
        State("b", "failed", error="no images\n  at line 3", machine=machine()),
        State("c", "failed", error="expected a finite loss", diverged=True),
        State("d", "done"),
    ]
    for state in states:
        ledger.write(state)
        lines.append(progress_line(plan, ledger.states(run.key for run in plan), state, processes=2))
    assert lines == [
        "[1/4] a: 1 min 40 s; about 2 min 30 s left",
        "[2/4] b: FAILED: no images (see logs/b.log); about 1 min 40 s left",
        "[3/4] c: diverged; this learning rate will not be chosen (expected a finite loss); about 50 s left",
        "[4/4] d: kept as it was found",
    ]
