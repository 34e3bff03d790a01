"""Several processes at work on one study, and what they say on one screen."""

from __future__ import annotations

import _thread
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path

from medvol.distributed import cores

from ..planning.plan import Plan
from .stopping import stopped_by_sigterm

__all__ = ["run_workers"]

_THREADS = "OMP_NUM_THREADS"
_PATIENCE = 10.0  # seconds that a worker gets to end


def run_workers(
    plan: Plan,
    folder: Path,
    jobs: int,
    accept_other_code: bool,
    tell: Callable[[str, str, str, str], None],
    report: Callable[[str], None],
) -> None:
    """Work on a plan with several new processes, each with its share of the cores.

    A worker that dies leaves its run to the others; runs that nobody could finish are told as failed.

    Args:
        plan: the plan.
        folder: the study's folder.
        jobs: how many processes.
        accept_other_code: keep finished runs that other versions made.
        tell: takes what happens to runs.
        report: takes other lines.

    Raises:
        KeyboardInterrupt: the user stops; the workers have ended.
    """
    told: set[str] = set()
    team: dict[Connection, multiprocessing.process.BaseProcess] = {}
    codes: list[int | None] = []
    try:
        team = _start(plan, folder, jobs, accept_other_code)
        while team:
            for connection in wait(list(team)):
                try:
                    message = connection.recv()
                except (EOFError, OSError):  # it has ended, in whatever way
                    worker = team.pop(connection)
                    worker.join()
                    connection.close()
                    if worker.exitcode != 0:
                        codes.append(worker.exitcode)
                        report(f"a worker ended early (exit code {worker.exitcode}); others take up its run, if any")
                    continue
                told.add(message[1])
                tell(*message)
    finally:
        _end(list(team.values()))
    for run in plan.runs:
        if run.key not in told:
            sentence = f"not done: every worker ended early (exit codes {codes}); the same command goes on"
            tell("failed", run.key, sentence, "")


def _start(
    plan: Plan, folder: Path, jobs: int, accept_other_code: bool
) -> dict[Connection, multiprocessing.process.BaseProcess]:
    context = multiprocessing.get_context("spawn")
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = str(max(1, cores() // jobs))  # it counts when torch is imported, there
    team: dict[Connection, multiprocessing.process.BaseProcess] = {}
    try:
        for _ in range(jobs):
            ours, theirs = context.Pipe(duplex=False)
            # Not a daemon: those may not have processes of their own, which data loaders need.
            worker = context.Process(target=_work, args=(plan, folder, accept_other_code, jobs, theirs), daemon=False)
            worker.start()
            theirs.close()  # so that the end of the worker is the end of the pipe
            team[ours] = worker
    except BaseException:
        _end(list(team.values()))
        raise
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
    return team


def _work(plan: Plan, folder: Path, accept_other_code: bool, jobs: int, connection: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from .run import work

    try:
        with stopped_by_sigterm():
            work(plan, folder, accept_other_code, lambda *message: connection.send(message), jobs)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # asked twice, it would leave what data loaders share behind
        sys.exit(130)
    finally:
        connection.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        _thread.interrupt_main()
        time.sleep(_PATIENCE)
        os._exit(1)  # as if killed: the runs go on at their last checkpoints


def _end(workers: list[multiprocessing.process.BaseProcess]) -> None:
    """End workers: on Ctrl-C they end by themselves, since the terminal tells them, too."""
    for ask in (None, signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        for worker in workers:
            if ask is not None and worker.is_alive() and worker.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, ask)
        for worker in workers:
            worker.join(_PATIENCE if ask is not None else 2.0)
        if not any(worker.is_alive() for worker in workers):
            return
