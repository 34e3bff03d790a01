"""Long tables out of what the runs left behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..planning.design import Study
from .leftovers import Leftover
from .rows import Scores

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["curves_frame", "runs_frame", "scores_frame", "tuning_frame"]

_RUN_COLUMNS = (
    "key kind arm variant count replicate state run_dir hash code data steps examples budget learning_rate seconds "
    "error"
).split()
_NUMBERS = {
    "replicate": "int64", "steps": "int64", "step": "int64", "examples": "int64", "severity": "int64",
    "value": "float64", "learning_rate": "float64", "seconds": "float64", "chosen": "bool",
}  # fmt: skip
Part = tuple[Leftover, tuple[Any, ...], Scores]
"""A run, the values of further columns such as corruption and severity, and its scores."""


def runs_frame(leftovers: Sequence[Leftover]) -> pd.DataFrame:
    """A row per planned run; see :class:`medvol.study.tables.table.Collected` for the columns of all tables."""
    rows = [
        (
            left.run.key, left.run.kind, left.run.arm, left.run.variant, _text(left.run.count), left.run.replicate,
            left.state, left.run_dir, left.hash, left.versions.get("code", ""), left.data, left.run.steps,
            left.run.examples, left.run.budget, left.learning_rate, left.seconds, left.error,
        )
        for left in leftovers
    ]  # fmt: skip
    return _frame(_RUN_COLUMNS, list(zip(*rows, strict=True)))


def scores_frame(parts: Sequence[Part], names: Sequence[str], problems: list[str]) -> pd.DataFrame:
    """The scores of all runs with those of the region ``mean``, without patients that have no finite value somewhere.

    Args:
        parts: what to put together.
        names: further columns, such as ``corruption`` and ``severity``.
        problems: gets a sentence for what is left out.
    """
    import pandas as pd

    labels = ["variant", "arm", "count", "replicate", *names]
    columns = ["variant", "arm", "count", "replicate", "patient", "case", "region", "metric", "value", *names]
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        groups.setdefault((part[0].run.variant, part[2].identity), []).append(part)
    tables = []
    for (variant, _), group in groups.items():
        identity, values = _with_means(group[0][2], np.stack([scores.values for *_, scores in group]))
        kept = _kept(identity, values)
        problems += _told(variant, group, identity, values)
        identity = pd.DataFrame({name: np.array(column, dtype=object)[kept] for name, column in identity.items()})
        runs = [(left.run, more) for left, more, _ in group]
        rows = pd.DataFrame(
            [(run.variant, run.arm, _text(run.count), run.replicate, *more) for run, more in runs], columns=labels
        )
        # Every column is text once, and then only taken from: a study has millions of rows and few names.
        long = {name: rows[name].repeat(len(identity)).reset_index(drop=True) for name in labels}
        again = np.tile(np.arange(len(identity)), len(group))
        long |= {name: identity[name].astype("str").take(again).reset_index(drop=True) for name in identity}
        tables.append(pd.DataFrame({**long, "value": values[:, kept].ravel()})[columns])
    return pd.concat(tables, ignore_index=True) if tables else _frame(columns, [])


def curves_frame(leftovers: Iterable[Leftover]) -> pd.DataFrame:
    """The validations of all runs that have some."""
    rows = [
        (left.run.variant, left.run.arm, _text(left.run.count), left.run.replicate, *point)
        for left in leftovers
        for point in left.curves or ()
    ]
    columns = "variant arm count replicate step examples name value".split()
    return _frame(columns, list(zip(*rows, strict=True)))


def tuning_frame(leftovers: Sequence[Leftover], study: Study) -> pd.DataFrame:
    """The last validation score of every learning rate that was tried."""
    used = {
        (left.run.arm, left.learning_rate)
        for left in leftovers
        if left.run.kind == "finetune" and left.run.tuned_by and left.state == "done"
    }
    curve, rows = study.scores[0].curve, []
    for left in leftovers:
        if left.run.kind == "tune":
            values = [value for *_, name, value in left.curves or () if name == curve]
            arm, rate = left.run.arm, left.run.learning_rate
            rows.append((arm, rate, values[-1] if values else np.nan, (arm, rate) in used))
    return _frame("arm learning_rate value chosen".split(), list(zip(*rows, strict=True)))


def _frame(columns: Sequence[str], values: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """A table with the right type in every column, also without any rows."""
    import pandas as pd

    values = values or [()] * len(columns)
    return pd.DataFrame(
        {name: pd.Series(v, dtype=_NUMBERS.get(name, "str")) for name, v in zip(columns, values, strict=True)}
    )


def _with_means(scores: Scores, values: np.ndarray) -> tuple[dict[str, list[str]], np.ndarray]:
    """Names and values ``(R, N)`` of R runs, followed by the mean over the regions of every case and metric."""
    places: dict[tuple[str, str], list[int]] = {}
    given = {metric for region, metric in zip(scores.regions, scores.metrics, strict=True) if region == "mean"}
    for place, (case, metric) in enumerate(zip(scores.cases, scores.metrics, strict=True)):
        if metric not in given:
            places.setdefault((case, metric), []).append(place)
    owner = dict(zip(scores.cases, scores.patients, strict=True))
    identity = {
        "patient": [*scores.patients, *(owner[case] for case, _ in places)],
        "case": [*scores.cases, *(case for case, _ in places)],
        "region": [*scores.regions, *["mean"] * len(places)],
        "metric": [*scores.metrics, *(metric for _, metric in places)],
    }
    # Not a number where one region has none: a mean over fewer regions would be another score.
    sizes: dict[int, list[int]] = {}
    for number, members in enumerate(places.values()):
        sizes.setdefault(len(members), []).append(number)
    means, members = np.empty((len(values), len(places))), list(places.values())
    for numbers in sizes.values():
        means[:, numbers] = values[:, np.array([members[n] for n in numbers])].mean(axis=-1)
    return identity, np.concatenate([values, means], axis=1)


def _kept(identity: dict[str, list[str]], values: np.ndarray) -> np.ndarray:
    """Which columns of ``values`` stay: a patient goes with all its cases, for its mean would be one over fewer."""
    finite = np.isfinite(values).all(axis=0)
    if finite.all():
        return finite
    rows = list(zip(identity["patient"], identity["region"], identity["metric"], strict=True))
    wrong = {row for row, good in zip(rows, finite, strict=True) if not good}
    return np.array([row not in wrong for row in rows])


def _told(variant: str, group: Sequence[Part], identity: dict[str, list[str]], values: np.ndarray) -> list[str]:
    """A sentence per region and metric with values that are no finite numbers."""
    wrong: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for row, place in np.argwhere(~np.isfinite(values)):
        patients, where = wrong.setdefault((identity["region"][place], identity["metric"][place]), (set(), set()))
        patients.add(identity["patient"][place])
        where.add(group[row][0].run.key)
    of = f" of {variant}" if variant else ""
    return [
        f"{region} {metric}: patients left out of all runs{of}, for they have no finite value in {_listed(where)}: "
        f"{_listed(patients)}"
        for (region, metric), (patients, where) in sorted(wrong.items())
    ]


def _listed(names: set[str]) -> str:
    known = sorted(names)
    return ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")


def _text(count: int | str | None) -> str:
    return "" if count is None else str(count)
