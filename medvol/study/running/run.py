"""Run a plan, restartably and by several processes at once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medvol.writing import write_whole

from ..planning.plan import Plan, PlannedRun
from .executing import Executor
from .ledger import Ledger, State
from .progress import Progress

__all__ = ["Outcome", "Tally", "run_study", "work"]

_PAUSE = 1.0  # seconds between two looks at what another process is doing

Tell = Callable[[str, str, str, str], None]
"""Takes what happened to a run (``done``, ``failed`` or ``skipped``), its key, the error's sentence, and a line."""


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        done: runs that it carried out.
        failed: what went wrong, by key.
        skipped: runs that had been done before, or were done by another command meanwhile.
    """

    done: int
    failed: dict[str, str]
    skipped: int


@dataclass
class Tally:
    """Counts what happened to the runs, and hands on each line once, whoever sent it.

    Args:
        report: takes a line.
    """

    report: Callable[[str], None]
    events: dict[str, tuple[str, str]] = field(default_factory=dict)

    def tell(self, event: str, key: str, sentence: str = "", line: str = "") -> None:
        """Take note of an event; what was done counts more than that others found it done."""
        before = self.events.get(key, ("skipped", ""))[0]
        if event == "skipped" and key in self.events:
            return
        if line and (key not in self.events or before != event):
            self.report(line)
        self.events[key] = (event, sentence)

    def outcome(self) -> Outcome:
        """Return the counts."""
        counts = [event for event, _ in self.events.values()]
        failed = {key: sentence for key, (event, sentence) in self.events.items() if event == "failed"}
        return Outcome(counts.count("done"), failed, counts.count("skipped"))


def run_study(
    plan: Plan,
    folder: str | os.PathLike[str],
    jobs: int = 1,
    accept_other_code: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Carry out the runs of a plan that have not been done.

    Every process that is given the same folder takes the next run that nobody is at. A run that has been done is
    skipped, if it still is what would be run now; a run whose process died goes on at its last checkpoint; one that
    failed is tried again, and what needs it fails with it. What runs print stands in ``logs`` inside of the folder.

    Args:
        plan: the plan.
        folder: the study's folder.
        jobs: processes to work with; each gets its share of the processor's cores.
        accept_other_code: keep finished runs that other versions of medvol, torch or MONAI made.
        report: takes the lines that a person reads.

    Returns:
        What was done.

    Raises:
        ValueError: ``jobs`` is smaller than 1, the folder holds another study, or a run needs one that is not planned.
        OSError: the folder cannot be written.
        KeyboardInterrupt: the user stops; the same command goes on.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"jobs must be a whole number of at least 1; found {jobs!r}; give for instance --jobs 2")
    _check_needs(plan.runs)
    folder = Path(folder).absolute()
    _prepare(plan, folder)
    tally = Tally(report)
    done = sum(state.state == "done" for state in Ledger(folder).states(run.key for run in plan.runs).values())
    report(f"study '{plan.study.name}': {len(plan.runs)} runs, {done} of them done before; folder {folder}")
    try:
        if jobs == 1:
            work(plan, folder, accept_other_code, tally.tell)
        else:
            from .workers import run_workers

            run_workers(plan, folder, jobs, accept_other_code, tally.tell, report)
    except KeyboardInterrupt:
        report("stopped; the same command goes on where the runs stand")
        raise
    return tally.outcome()


def work(plan: Plan, folder: Path, accept_other_code: bool, tell: Tell, jobs: int = 1) -> None:
    """Carry out runs in this process, until every run of the plan has ended.

    Args:
        plan: the plan.
        folder: the study's folder.
        accept_other_code: keep finished runs that other versions made.
        tell: takes what happens.
        jobs: processes of this command, for the time that is left.
    """
    _Shift(plan, folder, accept_other_code, tell, jobs).work()


class _Shift:
    """One process at work on a plan."""

    def __init__(self, plan: Plan, folder: Path, accept_other_code: bool, tell: Tell, jobs: int) -> None:
        self.executor = Executor(plan, folder, accept_other_code)
        self.ledger = self.executor.ledger
        self.tell, self.jobs = tell, jobs
        self.pending = list(plan.runs)
        self.failed: set[str] = set()
        self.ended: set[str] = set()
        self.busy: set[str] = set()
        self.lines: list[str] = []
        self.progress = Progress(plan.runs, self.ledger, self.lines.append)

    def work(self) -> None:
        while self.pending:
            self.busy.clear()
            if not any(self._try(run) for run in tuple(self.pending)):
                time.sleep(_PAUSE)  # what is left is being done by others, or needs what they do

    def _try(self, run: PlannedRun) -> bool:
        """Bring a run to its end, if it can be begun and nobody else is at it."""
        lacking = [key for key in _needs(run) if key in self.failed]
        if not lacking and not self.ended.issuperset(_needs(run)):
            return False
        with self.ledger.lock(run.key) as mine:
            if not mine:
                self.busy.add(run.key)
                return False
            if lacking:
                self._end(run, "failed", self.executor.fail(run, f"needs {lacking[0]}"))
            else:
                self._end(run, *self._settle(run))
        return True

    def _settle(self, run: PlannedRun) -> tuple[str, State]:
        state = self.ledger.read(run.key)
        if state is not None and state.state == "failed" and not state.diverged:
            return "failed", state  # by another process of this command; older failures have been taken away
        try:
            state = self.executor.settled(run)
        except (Exception, SystemExit):
            state = None  # it is said below, with a log
        if state is not None:
            return "skipped", state
        state = self.executor.carry_out(run)
        return ("failed" if state.state == "failed" and not state.diverged else "done"), state

    def _end(self, run: PlannedRun, event: str, state: State) -> None:
        self.pending.remove(run)
        (self.failed if event == "failed" else self.ended).add(run.key)
        if event != "skipped":
            self.progress.ended(state, max(self.jobs, 1 + len(self.busy)))
        self.tell(event, run.key, state.sentence, self.lines.pop() if self.lines else "")


def _needs(run: PlannedRun) -> tuple[str, ...]:
    return (*run.tuned_by, *(() if run.start is None else (run.start,)))


def _check_needs(runs: Sequence[PlannedRun]) -> None:
    before: set[str] = set()
    for run in runs:
        missing = [key for key in _needs(run) if key not in before]
        if missing:
            raise ValueError(
                f"a plan must hold what its runs need, before them; found '{run.key}', which needs '{missing[0]}'; "
                "make the plan anew"
            )
        if run.key in before:
            raise ValueError(f"the keys of a plan must be unique; found '{run.key}' twice; make the plan anew")
        before.add(run.key)


def _prepare(plan: Plan, folder: Path) -> None:
    """Write down what is to be run, and take away the failures of earlier commands, which are tried again."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "study.json"
    try:
        name = json.loads(file.read_text(encoding="utf-8")).get("name") if file.is_file() else plan.study.name
    except (ValueError, AttributeError):
        name = "unreadable"
    if name != plan.study.name:
        raise ValueError(
            f"the folder must be new or hold the study '{plan.study.name}'; found the study '{name}' in {folder}; "
            "choose another --out"
        )
    write_whole(file, json.dumps(dict(plan.study.raw), indent=1) + "\n")
    write_whole(folder / "plan.json", json.dumps(plan.as_dict(), indent=1) + "\n")
    ledger = Ledger(folder)
    for run in plan.runs:
        with ledger.lock(run.key) as mine:
            if mine:
                ledger.forget_failure(run.key)
