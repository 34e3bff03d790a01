"""Claims that a difference is small: an interval of it held against a margin."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from .statistics import crossed_interval

__all__ = ["equivalent", "non_inferior"]


def non_inferior(differences: ArrayLike, margin: float, level: float = 0.95) -> bool:
    """Whether the arm is worse than the reference by less than the margin, seeds and patients random.

    The lower end of the two-sided interval lies above ``-margin`` (International Council for Harmonisation, guideline
    E9, 1998, section 3.3.2). That nothing was shown to differ is no such claim.

    Args:
        differences: ``(S, P)``, arm minus reference, oriented so that more is better, in the unit of the score.
        margin: the smallest loss that matters, in the unit of the score.
        level: coverage of the interval.

    Raises:
        ValueError: a margin that is negative or not finite; differences that
            :func:`medvol.metrics.statistics.crossed_interval` refuses.

    Example:
        >>> non_inferior([[0.0, 0.0], [0.0, 0.0]], margin=0.01)
        True
    """
    return bool(crossed_interval(differences, level).low > -_checked(margin))


def equivalent(differences: ArrayLike, margin: float, alpha: float = 0.05) -> bool:
    """Whether the arm differs from the reference by less than the margin in either direction.

    Two one-sided tests (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987): the interval of level
    ``1 - 2 alpha`` lies inside of ``-margin`` to ``+margin``.

    Args:
        differences: ``(S, P)``, arm minus reference, in the unit of the score.
        margin: the smallest difference that matters, in the unit of the score.
        alpha: level of each of the two tests.

    Raises:
        ValueError: see :func:`non_inferior`.

    Example:
        >>> equivalent([[0.02, 0.02], [0.02, 0.02]], margin=0.01)
        False
    """
    margin = _checked(margin)
    interval = crossed_interval(differences, 1 - 2 * alpha)
    return bool(-margin < interval.low and interval.high < margin)


def _checked(margin: float) -> float:
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(
            f"the margin must be a number of 0 or more in the unit of the score; found {margin}; state the smallest "
            "difference that matters"
        )
    return margin
