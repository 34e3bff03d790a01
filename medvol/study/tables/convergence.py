"""How fast the arms of a study learn: steps to the reference's level, area under the validation curve, final value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..planning.design import Score
from ..rules import LEVEL, too_little
from .budgets import another_budget, budget_tags
from .survival import median_time

if TYPE_CHECKING:
    import pandas as pd

    from .table import Collected

__all__ = ["COLUMNS", "convergence"]

COLUMNS = (
    "variant count arm metric region budget seeds target steps examples reached censored area area_sd area_difference "
    "area_low area_high area_p area_seeds first final final_sd note"
).split()
_SHARE = 0.95
Curve = tuple[np.ndarray, np.ndarray, np.ndarray]


def convergence(collected: Collected) -> pd.DataFrame:
    """Describe the validation curves of every arm, label count and score.

    All values are those of evaluations at fixed numbers of examples; nothing is smoothed. Per run:

    * **steps to the target**: optimizer steps at the first evaluation at or beyond the target, without interpolation
      between evaluations. The target is 95 % of the reference arm's final value at this label count, the mean over its
      seeds; where lower is better it is 95 % of the way from the reference's first evaluation to its final one, for
      95 % of a distance would be a target beyond the final value. A run that never gets there is censored at its last
      evaluation.
    * **area**: trapezoids over examples, divided by the span, so that it is a mean score; the span is that which all
      runs of this variant and label count share. Of an arm that trains longer, this is its first part.
    * **final**: the last value.

    Args:
        collected: the tables.

    Returns:
        A row per variant, label count, score and arm that has finished runs: ``steps`` and ``examples`` are medians
        over seeds by Kaplan and Meier (:func:`medvol.study.tables.survival.median_time`), not a number where fewer
        than half of the runs reach the target; ``reached`` and ``censored`` count runs; ``area``, ``first`` and
        ``final`` are means over seeds, ``area_sd`` and ``final_sd`` standard deviations; ``area_difference`` is
        the mean paired difference to the reference (arm minus reference, in the unit of the score) with its 95 % t
        interval over ``area_seeds`` pairs (``area_low``, ``area_high``, ``area_p``; not a number under three, without
        any spread, or where the arm has another budget than the reference); ``note`` says what a reader must know.

    Example:
        >>> from types import SimpleNamespace as Some
        >>> import pandas as pd
        >>> study = Some(variants={"": {}}, counts=(4,), arms={"scratch": None}, reference="scratch", scores=(Score(),))
        >>> run = {"variant": "", "arm": "scratch", "count": "4", "replicate": 0, "name": "val_mean_dice"}
        >>> values = [{**run, "step": step, "examples": 2 * step, "value": value}
        ...           for step, value in ((50, 0.4), (100, 0.78), (150, 0.8))]
        >>> found = convergence(Some(study=study, curves=pd.DataFrame(values), plan=Some(runs=())))
        >>> float(found["steps"][0]), round(float(found["area"][0]), 3), float(found["final"][0])
        (100.0, 0.69, 0.8)
    """
    import pandas as pd

    study, rows = collected.study, []
    cells = _cells(collected.curves)
    for variant in study.variants:
        for count in map(str, study.counts):
            tags = budget_tags(collected.plan, variant, count)
            others = {arm: another_budget(study, tags, arm) for arm in study.arms}
            for score in study.scores:
                arms = {arm: cells.get((variant, arm, count, score.curve), {}) for arm in study.arms}
                rows += [
                    (variant, count, arm, score.metric, score.region, tags.get(arm, ""), *measured)
                    for arm, measured in _measures(arms, study.reference, others, score)
                ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _cells(curves: pd.DataFrame) -> dict[tuple[str, ...], dict[int, Curve]]:
    """(steps, examples, values) by (variant, arm, count, name) and replicate."""
    names = ["variant", "arm", "count", "name", "replicate"]
    columns = [curves[name].to_numpy() for name in ("step", "examples", "value")]
    found: dict[tuple[str, ...], dict[int, Curve]] = {}
    for (*cell, replicate), rows in sorted(curves.groupby(names, sort=False).indices.items()):
        rows = rows[np.argsort(columns[1][rows], kind="stable")]
        found.setdefault(tuple(cell), {})[int(replicate)] = tuple(column[rows] for column in columns)
    return found


def _measures(
    arms: Mapping[str, Mapping[int, Curve]], reference: str, others: Mapping[str, str], score: Score
) -> list[tuple[str, tuple[Any, ...]]]:
    runs = [curve for curves in arms.values() for curve in curves.values()]
    if not runs:
        return []
    span = max(examples[0] for _, examples, _ in runs), min(examples[-1] for _, examples, _ in runs)
    target, why = _target(list(arms[reference].values()), score)
    areas = {arm: {s: _area(curve, span) for s, curve in curves.items()} for arm, curves in arms.items()}
    rows = []
    for arm, curves in arms.items():
        if curves:
            note = [why] if why else []
            longest = max(examples[-1] for _, examples, _ in curves.values())
            if longest > span[1] > span[0]:
                note.append(
                    f"its area is that of its first {span[1]} of {longest} examples, with the learning rate still "
                    "following the longer schedule"
                )
            if span[1] <= span[0]:
                note.append("no area: the runs share fewer than two evaluations")
            broken = sum(not np.isfinite(values).all() for *_, values in curves.values())
            if broken:
                note.append(f"{broken} of {len(curves)} curves have values that are not finite")
            if others[arm]:
                note.append(f"its area is not compared with that of {reference}: {others[arm]}")
            alone = arm == reference or bool(others[arm])
            difference = _NO_DIFFERENCE if alone else _difference(areas[arm], areas[reference])
            rows.append((arm, (len(curves), target, *_times(curves, target, score), *_spread(areas[arm].values()),
                               *difference, *_ends(curves), "; ".join(note))))  # fmt: skip
    return rows


def _target(reference: Sequence[Curve], score: Score) -> tuple[float, str]:
    """The value to reach, or not a number and why."""
    if not reference:
        return np.nan, "no target: the reference arm has no finished curve"
    first, final = (float(np.mean([values[place] for *_, values in reference])) for place in (0, -1))
    if not score.higher_is_better:
        target = first + _SHARE * (final - first)
        return (target, "") if final < first else (np.nan, "no target: the reference arm's curve does not fall")
    if np.isfinite(final) and final > 0:
        return _SHARE * final, ""
    return np.nan, "no target: the final value of the reference arm is not above zero"


def _times(curves: Mapping[int, Curve], target: float, score: Score) -> tuple[float, float, int, int]:
    """Median steps and examples to the target, runs that reached it, runs that did not."""
    if not np.isfinite(target):
        return np.nan, np.nan, 0, 0
    ends, reached = [], []
    for steps, examples, values in curves.values():
        there = values >= target if score.higher_is_better else values <= target
        place = int(np.argmax(there)) if there.any() else -1
        ends.append((steps[place], examples[place]))
        reached.append(bool(there.any()))
    steps, examples = (median_time(times, reached) for times in zip(*ends, strict=True))
    return steps, examples, sum(reached), len(reached) - sum(reached)


def _area(curve: Curve, span: tuple[int, int]) -> float:
    low, high = span
    if high <= low:
        return np.nan
    from scipy.integrate import trapezoid

    _, examples, values = curve
    inside = (examples > low) & (examples < high)
    x = np.concatenate([[low], examples[inside], [high]]).astype(np.float64)
    return float(trapezoid(np.interp(x, examples, values), x) / (high - low))


_NO_DIFFERENCE = (np.nan, np.nan, np.nan, np.nan, 0)


def _difference(own: Mapping[int, float], other: Mapping[int, float]) -> tuple[float, float, float, float, int]:
    """Mean paired difference, its t interval and p-value, and the number of pairs."""
    from scipy import stats

    gaps = np.array([own[s] - other[s] for s in sorted(set(own) & set(other))])
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return _NO_DIFFERENCE
    mean = float(gaps.mean())
    if too_little(gaps):
        return mean, np.nan, np.nan, np.nan, len(gaps)
    error = float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(gaps) - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, len(gaps) - 1)) if error > 0 else float(mean == 0)
    return mean, mean - half, mean + half, p, len(gaps)


def _ends(curves: Mapping[int, Curve]) -> tuple[float, float, float]:
    """Mean first value, mean final value and its s.d. over seeds."""
    first = float(np.mean([values[0] for *_, values in curves.values()]))
    return first, *_spread([float(values[-1]) for *_, values in curves.values()])


def _spread(values: Any) -> tuple[float, float]:
    """Mean and s.d. of what is finite; not a number where there is too little."""
    kept = np.array([value for value in values if np.isfinite(value)])
    mean = float(kept.mean()) if len(kept) else np.nan
    return mean, float(kept.std(ddof=1)) if len(kept) > 1 else np.nan
