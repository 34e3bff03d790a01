"""Run a plan, restartably and by several processes at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..planning.plan import Plan, PlannedRun
from .executing import Executor
from .ledger import Ledger, State
from .preparing import check_finished, check_name, check_needs, needs, prepare
from .progress import progress_line
from .stopping import stopped_by_sigterm

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
        ValueError: ``jobs`` is smaller than 1, the folder holds another study, another command is at work in it with
            another plan, or a run needs one that is not planned.
        OtherCodeError: finished runs were made by other code; nothing has been changed.
        OtherRecipeError: finished runs were made with other settings; nothing has been changed.
        OSError: the folder cannot be written.
        KeyboardInterrupt: the user stops, or the system does (SIGTERM); the same command goes on.
    """
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"jobs must be a whole number of at least 1; found {jobs!r}; give for instance --jobs 2")
    check_needs(plan.runs)
    folder = Path(folder).absolute()
    check_name(plan, folder)
    check_finished(plan, folder, accept_other_code)
    tally, ledger = Tally(report), Ledger(folder)
    with stopped_by_sigterm(), ledger.at_work(lambda alone: prepare(plan, folder, ledger, alone)):
        done = sum(state.state == "done" for state in ledger.states(run.key for run in plan.runs).values())
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
        self.runs = plan.runs

    def work(self) -> None:
        while self.pending:
            self.busy.clear()
            if not any(self._try(run) for run in tuple(self.pending)):
                time.sleep(_PAUSE)  # what is left is being done by others, or needs what they do

    def _try(self, run: PlannedRun) -> bool:
        """Bring a run to its end, if it can be begun and nobody else is at it."""
        lacking = [key for key in needs(run) if key in self.failed]
        if not lacking and not self.ended.issuperset(needs(run)):
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
        line = ""
        if event != "skipped":
            states = self.ledger.states(run.key for run in self.runs)
            line = progress_line(self.runs, states, state, max(self.jobs, 1 + len(self.busy)))
        self.tell(event, run.key, state.sentence, line)
