"""What the nearest vectors say: do they share a value more often than chance would have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse, stats

from .colors import is_number
from .spectrum import scaled

__all__ = ["Agreement", "agreement", "agreement_sentence", "hits_interval", "nearest"]

_FEWEST = 10  # patients, below which they say too little about others
_PIECE = 256  # rows of the distance matrix at once


@dataclass(frozen=True)
class Agreement:
    """How often the nearest vector of another patient has the same value, or how far it is off.

    Attributes:
        rate: share of the cases, 0 to 1.
        chance: the same for a neighbor drawn at random from the same candidates.
        low: lower end of the 95% interval of the rate; None where there are too few patients for one.
        high: upper end.
        cases: number of cases with a value and a neighbor.
        patients: number of their patients.
        is_number: the values are numbers; ``rate``, ``chance`` and the interval are then mean absolute differences, of
            which a small one is good.
    """

    rate: float
    chance: float
    low: float | None
    high: float | None
    cases: int
    patients: int
    is_number: bool = False


def agreement(
    features: ArrayLike, patients: Sequence[Any], values: Sequence[Any], same_patient: bool = False
) -> Agreement | None:
    """Compare the value of every case with that of its nearest neighbor among the *other* patients.

    Distances are Euclidean between :func:`scaled` features. Neighbors at one distance share the vote. The interval
    is Wilson's with the effective number of cases (for numbers, Student's): cases of one patient depend on each other,
    and so do patients of whom one is the other's neighbor, or who have the same neighbor. A plain bootstrap over
    patients takes the latter for independent; in simulations with 10 to 120 patients its 95% intervals held the true
    rate in 80% to 86% of the draws, and in half of them near a rate of 1, these in 90% to 98%. For numbers they are
    rougher (81% to 97%).

    Args:
        features: ``(N, F)``.
        patients: who each case is of.
        values: a class or a number per case (:func:`medvol.bundles.embedding.colors.is_number`); None where it is
            unknown: such cases neither ask nor answer.
        same_patient: look among all other cases instead, those of the same patient included; for ``values`` that *are*
            the patients. Patients with a single case do not ask then.

    Returns:
        The agreement, or None where there is nothing to compare: one value only, none that two share, or no candidate.

    Example:
        >>> found = agreement([[0.0], [0.1], [1.0], [1.1]], ["a", "b", "c", "d"], ["x", "x", "y", "y"])
        >>> found.rate, round(found.chance, 3), found.low
        (1.0, 0.333, None)
    """
    known = [i for i, value in enumerate(values) if value is not None]
    found = [values[i] for i in known]
    if len(set(found)) < 2:
        return None
    numeric = is_number(found)
    value = np.asarray(found, float) if numeric else np.unique([str(one) for one in found], return_inverse=True)[1]
    _, patient = np.unique([str(patients[i]) for i in known], return_inverse=True)
    hits, chances, asks = _votes(scaled(np.asarray(features)[known]), patient, value, same_patient, numeric)
    asked = ~np.isnan(hits)
    if same_patient:
        asked &= np.bincount(patient)[patient] > 1
    if not asked.any() or (not numeric and not chances[asked].any()):
        return None
    hits, chances, patient, asks = hits[asked], chances[asked], patient[asked], patient[asks[asked]]
    low, high = hits_interval(hits, patient, asks, numeric)
    rate, chance, people = float(hits.mean()), float(chances.mean()), len(np.unique(patient))
    return Agreement(rate, chance, low, high, len(hits), people, numeric)


def nearest(features: ArrayLike, count: int = 5) -> np.ndarray:
    """Return the places of the nearest other cases of every case by the distance above, ``(N, <= count)``.

    Example:
        >>> nearest([[0.0], [1.0], [5.0]], 1).ravel().tolist()
        [1, 0, 1]
    """
    points = scaled(features)
    count = min(count, len(points) - 1)
    rows = []
    for start in range(0, len(points), _PIECE):
        distance = _distances(points, start)
        distance[np.arange(len(distance)), np.arange(start, start + len(distance))] = np.inf
        rows.append(np.argsort(distance, axis=1, kind="stable")[:, :count])
    return np.concatenate(rows)


def agreement_sentence(found: Agreement | None, color: str) -> str:
    """Say in words what an agreement means.

    Example:
        >>> agreement_sentence(None, "group")
        "Nearest neighbors say nothing about 'group' here: there is one value, or no two patients share one."
    """
    if found is None:
        return f"Nearest neighbors say nothing about '{color}' here: there is one value, or no two patients share one."
    show = "{:.4g}".format if found.is_number else "{:.0%}".format
    who = f"{found.cases} cases of {found.patients} patients"
    if color == "patient":
        text = f"For {show(found.rate)} of {who} with several cases the nearest other case is of the same patient"
    elif found.is_number:
        text = f"Over {who}, '{color}' differs by {show(found.rate)} from that of the nearest case of another patient"
    else:
        text = f"For {show(found.rate)} of {who} the nearest case of another patient has the same '{color}'"
    text += f"; a neighbor drawn at random gives {show(found.chance)}. "
    if found.low is None or found.high is None:
        return text + f"There are fewer than {_FEWEST} patients: too few to say how certain that is."
    text += f"The 95% interval is {show(found.low)} to {show(found.high)}"
    if found.low <= found.chance <= found.high:
        return text + ": not told apart from chance."
    better = (found.rate < found.chance) == found.is_number
    return text + f": {'better' if better else 'worse'} than chance."


def _distances(points: np.ndarray, start: int) -> np.ndarray:
    """Squared distances of the next few cases to all, ``(<= _PIECE, N)``."""
    squares, some = (points**2).sum(1), points[start : start + _PIECE]
    return np.maximum((some**2).sum(1)[:, None] + squares[None] - 2 * some @ points.T, 0)


def _votes(points: np.ndarray, patient: np.ndarray, value: np.ndarray, same_patient: bool, is_number: bool) -> Any:
    """For each case the mean score of its nearest candidates and of all, NaN without any, and where the nearest is."""
    hits, chances = np.full(len(points), np.nan), np.full(len(points), np.nan)
    asks = np.zeros(len(points), int)
    nothing = 1e-9 * max(float((points**2).sum(1).max()), 1e-30)
    for start in range(0, len(points), _PIECE):
        distance = _distances(points, start)
        rows = np.arange(start, start + len(distance))
        allowed = np.arange(len(points))[None] != rows[:, None]
        if not same_patient:
            allowed &= patient[rows, None] != patient[None]
        pairs = value[rows, None], value[None]
        score = np.abs(pairs[0] - pairs[1]) if is_number else pairs[0] == pairs[1]
        distance[~allowed] = np.inf
        near = allowed & (distance <= distance.min(1, keepdims=True) + nothing)
        some = allowed.any(1)
        asks[rows] = distance.argmin(1)
        hits[rows[some]] = (score * near)[some].sum(1) / near[some].sum(1)
        chances[rows[some]] = (score * allowed)[some].sum(1) / allowed[some].sum(1)
    return hits, chances, asks


def hits_interval(hits: np.ndarray, patient: np.ndarray, asks: np.ndarray, is_number: bool) -> tuple[Any, Any]:
    """Ends of the 95% interval of the mean of ``hits``; None for fewer than 10 patients."""
    people = np.unique(patient)
    if len(people) < _FEWEST:
        return None, None
    mean, count = hits.mean(), len(hits)
    variance = _variance(hits - mean, patient, asks)
    z = float(stats.t.ppf(0.975, len(people) - 1))
    if is_number:
        half = z * np.sqrt(variance)
        return float(max(mean - half, 0.0)), float(mean + half)
    # Wilson's interval for as many independent cases as would vary as much; a rate of 0 or 1 does not vary at all.
    size = min(count, mean * (1 - mean) / variance) if variance > 0 else len(people) / 2
    center = (mean + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z / (1 + z**2 / size) * np.sqrt(mean * (1 - mean) / size + z**2 / (4 * size**2))
    return float(max(center - half, 0.0)), float(min(center + half, 1.0))


def _variance(off: np.ndarray, patient: np.ndarray, asks: np.ndarray) -> float:
    """Variance of a mean over cases that depend on each other.

    Patients are linked if one asks the other, or if both ask a third one; only linked ones count together.
    """
    size = int(max(patient.max(), asks.max())) + 1
    sums = np.bincount(patient, weights=off, minlength=size)
    asked = sparse.csr_array((np.ones(len(asks)), (patient, asks)), shape=(size, size))
    asked.data[:] = 1
    asked.sum_duplicates()
    asked.data[:] = 1
    linked = asked.maximum(asked.T)
    linked.setdiag(0)
    several = np.maximum(np.asarray(asked.sum(1)).ravel() - 1, 0)
    total = float(((asked.T @ sums) ** 2).sum() - (several * sums**2).sum() + sums @ (linked @ sums))
    return max(total, float((sums**2).sum())) / len(off) ** 2
