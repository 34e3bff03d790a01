"""The rule that turns paired differences into one of four words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medvol.metrics import Interval, crossed_interval, holm

from ..rules import ALPHA, too_little

__all__ = ["WORDS", "Decision", "decide"]

WORDS = ("helps", "harms", "no evidence", "not judged")


@dataclass(frozen=True)
class Decision:
    """What one comparison of a family shows.

    Attributes:
        word: one of :data:`WORDS`.
        interval: 95 % interval of the mean difference with seeds and patients random; None where it is not judged.
        p: Holm's adjusted p-value in the family; None where it is not judged.
        reason: why it is not judged, or ``""``.
    """

    word: str
    interval: Interval | None
    p: float | None
    reason: str = ""


def decide(family: Sequence[np.ndarray]) -> list[Decision]:
    """Decide the comparisons of one family together.

    "Helps" and "harms" need an adjusted p-value below 0.05; the sign of the mean difference says which. A comparison
    that cannot be judged stays in the family with a p-value of 1, so that a failed run makes no other claim easier.

    Args:
        family: of every comparison ``(S, P)``, arm minus reference by replicate and patient, more is better. An array
            without values stands for an arm that has no scores.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> [decision.word for decision in decide([0.1 + 0.01 * rng.normal(size=(5, 20)), np.zeros((5, 20))])]
        ['helps', 'no evidence']
    """
    differences = [np.asarray(d, dtype=np.float64) for d in family]
    reasons = [too_little(d) for d in differences]
    intervals = [None if why else crossed_interval(d) for d, why in zip(differences, reasons, strict=True)]
    adjusted = holm([1.0 if interval is None else interval.p for interval in intervals])
    return [
        Decision("not judged", None, None, why) if found is None else Decision(_word(found, p), found, float(p))
        for found, p, why in zip(intervals, adjusted, reasons, strict=True)
    ]


def _word(interval: Interval, p: float) -> str:
    if p >= ALPHA:
        return "no evidence"
    return "helps" if interval.mean > 0 else "harms"
