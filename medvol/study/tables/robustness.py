"""How much the arms lose on corrupted images, and whether one loses less than the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..planning.design import Score
from ..rules import too_little
from .budgets import another_budget, budget_tags
from .cubes import Cube, corrupted_cube, cube
from .pairing import pair

if TYPE_CHECKING:
    import pandas as pd

    from .table import Collected

__all__ = ["COLUMNS", "robustness"]

COLUMNS = (
    "variant count arm budget metric region corruption severity clean corrupted drop low high against against_low "
    "against_high seeds patients note"
).split()


@dataclass(frozen=True)
class _Drop:
    """Losses of one arm under one corruption."""

    cube: Cube  # (S, P), positive is worse
    clean: float
    corrupted: float
    problem: str = ""


def robustness(collected: Collected) -> pd.DataFrame:
    """Describe what corruptions of the test images cost every arm.

    The drop of a replicate on a patient is clean minus corrupted, or corrupted minus clean where lower is better, so
    that more is worse.

    Args:
        collected: the tables.

    Returns:
        A row per variant, label count, score, arm, corruption and severity; ``corruption`` is ``mean`` and ``severity``
        0 for the mean drop over all that were planned. ``budget`` is the tag of the arm's budget; one that has another
        than the reference is not compared with it. ``clean`` and ``corrupted`` are mean scores; ``drop`` is the
        mean with its 95 % interval ``low`` to ``high``; ``against`` is the drop minus that of the reference arm,
        negative where the arm is more robust, with ``against_low`` and ``against_high``. All in the unit of the score,
        intervals with seeds and patients random (:func:`medvol.metrics.crossed_interval`), not a number under three
        seeds, two patients, or without any spread; ``note`` says what is missing. No rows for a study without
        corruptions.
    """
    import pandas as pd

    study, rows = collected.study, []
    if study.robustness is not None:
        for variant in study.variants:
            for count in study.robustness.counts:
                for score in study.scores:
                    rows += [(variant, str(count), *row) for row in _rows(collected, variant, count, score)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(collected: Collected, variant: str, count: int | str, score: Score) -> list[tuple[Any, ...]]:
    study = collected.study
    wanted = [(name, level) for name in study.robustness.corruptions for level in study.robustness.severities]
    tags = budget_tags(collected.plan, variant, count)
    drops: dict[str, dict[tuple[str, int], _Drop]] = {}
    for arm in study.arms:
        clean = cube(collected, score, arm, count, variant)
        found = {
            what: _drop(clean, corrupted_cube(collected, score, arm, count, *what, variant=variant), score)
            for what in wanted
        }
        drops[arm] = {**found, ("mean", 0): _mean(list(found.values()))}
    rows = []
    for arm, mine in drops.items():
        why = another_budget(study, tags, arm)
        for what, drop in mine.items():
            other = None if arm == study.reference else why or drops[study.reference][what]
            rows.append((arm, tags.get(arm, ""), score.metric, score.region, *what, *_numbers(drop, other)))
    return rows


def _drop(clean: Cube, corrupted: Cube, score: Score) -> _Drop:
    both = pair(_of_patients(corrupted, clean.patients), _of_patients(clean, corrupted.patients))
    if both.problem:
        return _Drop(Cube(np.zeros((0, 0)), (), ()), np.nan, np.nan, both.problem)
    loss = both.against - both.arm if score.higher_is_better else both.arm - both.against
    return _Drop(Cube(loss, both.replicates, both.patients), float(both.against.mean()), float(both.arm.mean()))


def _of_patients(cube: Cube, patients: tuple[str, ...]) -> Cube:
    """Without patients that have no value under some corruption; the tables say which."""
    kept = [place for place, name in enumerate(cube.patients) if name in set(patients)]
    return Cube(cube.values[:, kept], cube.replicates, tuple(cube.patients[place] for place in kept))


def _mean(drops: list[_Drop]) -> _Drop:
    """The mean over corruptions and severities, of the replicates that have all of them."""
    problems = [drop.problem for drop in drops if drop.problem]
    shared = sorted(set.intersection(*(set(drop.cube.replicates) for drop in drops))) if drops else []
    if problems or not shared or len({drop.cube.patients for drop in drops}) > 1:
        reason = problems[0] if problems else "no replicate has all corruptions"
        return _Drop(Cube(np.zeros((0, 0)), (), ()), np.nan, np.nan, reason)
    values = [drop.cube.values[[drop.cube.replicates.index(s) for s in shared]] for drop in drops]
    whole = Cube(np.mean(values, axis=0), tuple(shared), drops[0].cube.patients)
    return _Drop(whole, float(np.mean([d.clean for d in drops])), float(np.mean([d.corrupted for d in drops])))


def _numbers(drop: _Drop, reference: _Drop | str | None) -> tuple[Any, ...]:
    """Numbers of an arm beside the reference's; None for the reference itself, a text is why they are not compared."""
    if drop.problem:
        return (*(np.nan,) * 8, 0, 0, drop.problem)
    mean, low, high, note = _interval(drop.cube.values)
    against = (np.nan,) * 3
    if reference is not None:
        why = reference
        if isinstance(reference, _Drop):
            both = pair(drop.cube, reference.cube)
            *against, why = _interval(both.arm - both.against) if not both.problem else (*(np.nan,) * 3, both.problem)
        note = note or (f"not compared with the reference: {why}" if why else "")
    seeds, patients = drop.cube.values.shape
    return drop.clean, drop.corrupted, mean, low, high, *against, seeds, patients, note


def _interval(values: np.ndarray) -> tuple[float, float, float, str]:
    """Mean and interval; without one, why."""
    from medvol.metrics import crossed_interval

    if why := too_little(values):
        return float(values.mean()), np.nan, np.nan, f"no interval: {why}"
    found = crossed_interval(values)
    return found.mean, found.low, found.high, ""
