"""Several processes at work, here without the work."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_study import start, write_tiny_study

from medvol.study.running import workers
from medvol.study.running.workers import run_workers

PLAN = SimpleNamespace(runs=[SimpleNamespace(key=key) for key in "abc"])


class Worker:
    """A process that has said what it says and ended."""

    def __init__(self, exitcode: int) -> None:
        self.exitcode, self.pid, self.alive, self.joined = exitcode, None, False, 0

    def join(self, timeout: float | None = None) -> None:
        self.joined += 1

    def is_alive(self) -> bool:
        return self.alive


def team(*members: tuple[int, list[tuple[str, str, str, str]]]) -> dict[Connection, Worker]:
    made = {}
    for code, messages in members:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        for message in messages:
            theirs.send(message)
        theirs.close()
        made[ours] = Worker(code)
    return made


def watched(monkeypatch: pytest.MonkeyPatch, made: dict[Connection, Worker]) -> tuple[list[tuple], list[str]]:
    monkeypatch.setattr(workers, "_start", lambda *given: made)
    told: list[tuple] = []
    lines: list[str] = []
    run_workers(PLAN, Path(), 2, False, lambda *message: told.append(message), lines.append)
    return told, lines


def test_what_workers_say_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    one = [("done", "a", "", "a done"), ("skipped", "b", "", "")]
    two = [("done", "b", "", "b done"), ("failed", "c", "no", "c failed")]
    told, lines = watched(monkeypatch, team((0, one), (0, two)))
    assert sorted(told) == sorted(one + two)
    assert lines == []


def test_a_worker_that_dies_is_reported_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told, lines = watched(monkeypatch, team((-9, []), (0, [("done", key, "", "") for key in "abc"])))
    assert [message[:2] for message in told] == [("done", key) for key in "abc"]
    assert lines == ["a worker ended early (exit code -9); others take up its run, if any"]


def test_what_nobody_could_finish_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    told, _ = watched(monkeypatch, team((-9, [("done", "a", "", "")]), (1, [])))
    assert [message[:2] for message in told] == [("done", "a"), ("failed", "b"), ("failed", "c")]
    assert "every worker ended early (exit codes [" in told[1][2]


def test_stopping_waits_for_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    made = team((0, []), (0, []))

    def stop(connections: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "wait", stop)
    with pytest.raises(KeyboardInterrupt):
        watched(monkeypatch, made)
    assert all(worker.joined for worker in made.values())


def test_workers_that_do_not_end_are_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, sent = Worker(0), []
    worker.pid, worker.alive = 99999999, True

    def kill(pid: int, number: int) -> None:
        sent.append(number)
        worker.alive = number != signal.SIGTERM

    monkeypatch.setattr(os, "kill", kill)
    workers._end([worker])
    assert sent == [signal.SIGINT, signal.SIGTERM]


def test_each_worker_gets_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Context:
        def Pipe(self, duplex: bool) -> tuple[Connection, Connection]:  # noqa: N802 - multiprocessing's name
            return multiprocessing.Pipe(duplex)

        def Process(self, target: object, args: tuple, daemon: bool) -> SimpleNamespace:  # noqa: N802
            assert not daemon
            return SimpleNamespace(start=lambda: seen.append(os.environ["OMP_NUM_THREADS"]))

    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda kind: Context())
    monkeypatch.setattr(workers, "cores", lambda: 16)
    for before in ("7", None):
        if before is None:
            monkeypatch.delenv("OMP_NUM_THREADS")
        else:
            monkeypatch.setenv("OMP_NUM_THREADS", before)
        for connection in workers._start(PLAN, Path(), 3, False):
            connection.close()
        assert os.environ.get("OMP_NUM_THREADS") == before
    assert seen == ["5"] * 6


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_workers_end_with_their_command(tmp_path: Path, write_tiny_dataset: Callable[..., Path]) -> None:
    write_tiny_study(tmp_path, write_tiny_dataset, seeds=[0])
    process = start(tmp_path / "out", jobs=2)
    process.stdout.readline()
    process.stdout.readline()  # a worker has done its first run
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)  # ends when the workers, which hold the same pipes, have ended
    before = sorted((tmp_path / "out").rglob("*"))
    time.sleep(3)
    assert sorted((tmp_path / "out").rglob("*")) == before
    again = start(tmp_path / "out")
    output, errors = again.communicate(timeout=400)
    assert again.returncode == 0, errors[-3000:]
    assert json.loads(output.splitlines()[-1])["failed"] == {}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
@pytest.mark.parametrize(("jobs", "number"), [(1, signal.SIGTERM), (2, signal.SIGTERM), (2, signal.SIGINT)])
def test_a_stop_leaves_nothing_behind(
    jobs: int, number: int, tmp_path: Path, write_tiny_dataset: Callable[..., Path]
) -> None:
    write_tiny_study(tmp_path, write_tiny_dataset, seeds=[0, 1, 2])  # enough for not to end by itself
    process = start(tmp_path / "out", jobs=jobs)
    process.stdout.readline()
    process.stdout.readline()  # the first run has ended
    time.sleep(1)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "stopped; the same command goes on" in output
    assert "leaked" not in errors
    assert "KeyboardInterrupt" in errors  # of the parent alone, which hands it on
    # One error, that of the command; in this process the stopped training may stand in its chain.
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors[-3000:]
    assert jobs == 1 or errors.count("Traceback") == 1, errors[-3000:]
