"""Say how far a study is and how long the rest will take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..formatting import duration_text
from ..planning.plan import PlannedRun
from .ledger import State, machine

__all__ = ["progress_line", "time_left"]


def progress_line(runs: Sequence[PlannedRun], states: Mapping[str, State], state: State, processes: int = 1) -> str:
    """Return the line of a run that has ended.

    Args:
        runs: all runs of the plan.
        states: how those ended that ended, by key.
        state: how this one ended.
        processes: how many work on the study, for the time that is left.

    Example:
        >>> progress_line((), {}, State("tune-cpc3d-lr0.002", "failed", error="disk full"))
        '[0/0] tune-cpc3d-lr0.002: FAILED: disk full'
    """
    count = f"[{len(states):{len(str(len(runs)))}}/{len(runs)}]"
    if state.diverged:
        text = f"diverged; this learning rate will not be chosen ({state.sentence})"
    elif state.state == "failed":
        where = f" (see logs/{state.key}.log)" if "\n" in (state.error or "") else ""
        text = f"FAILED: {state.sentence}{where}"
    elif state.seconds is None:
        text = "kept as it was found"
    else:
        text = duration_text(state.seconds)
    left = time_left(runs, states, machine(), processes)
    ends = "" if left is None or len(states) == len(runs) else f"; about {duration_text(left)} left"
    return f"{count} {state.key}: {text}{ends}"


def time_left(
    runs: Sequence[PlannedRun], states: Mapping[str, State], here: Mapping[str, Any], processes: int = 1
) -> float | None:
    """Return the seconds until all runs have ended, from the seconds per step of those that ended on this machine.

    A run counts as its like: same kind, arm and variant; else same kind and variant; else same kind; else any.

    Args:
        runs: all runs of the plan.
        states: how those ended that ended, by key.
        here: this machine, as :func:`medvol.study.running.ledger.machine` returns it; what ran on another one does
            not count.
        processes: how many work at the same time.

    Returns:
        Seconds, or None as long as nothing has been measured.

    Example:
        >>> time_left((), {}, {}) is None
        True
    """
    sums: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for run in runs:
        state = states.get(run.key)
        if state is None or state.state != "done" or not state.seconds or dict(state.machine) != dict(here):
            continue
        for group in _groups(run):
            sums[group][0] += state.seconds
            sums[group][1] += run.steps
    if not sums:
        return None
    total = 0.0
    for run in runs:
        if run.key not in states:
            seconds, steps = next(sums[group] for group in _groups(run) if group in sums)
            total += run.steps * seconds / max(1.0, steps)
    return total / max(1, processes)


def _groups(run: PlannedRun) -> Iterator[tuple[str, ...]]:
    yield run.kind, run.arm, run.variant
    yield run.kind, run.variant
    yield (run.kind,)
    yield ()
