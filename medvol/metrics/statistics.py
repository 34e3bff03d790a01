"""Intervals for a paired difference whose seeds and patients are both a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .components import crossed_components


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean: grand mean of the differences, in the unit of the score.
        low: lower end.
        high: upper end.
        df: degrees of freedom of the t distribution.
        p: two-sided p-value of a mean of zero.
    """

    mean: float
    low: float
    high: float
    df: float
    p: float


def crossed_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Confidence interval of a mean difference with random seeds crossed with random patients.

    The variance of the grand mean and its degrees of freedom are those of
    :meth:`medvol.metrics.components.Components.variance_of_mean`. Differences that are all equal give an interval of
    width zero: there is nothing to estimate a spread from.

    Args:
        differences: ``(S, P)``, score of the arm minus score of scratch, of replicate ``s`` on patient ``p``.
        level: coverage of the interval.

    Raises:
        ValueError: for fewer than two seeds or patients, or values that are not finite.

    Example:
        >>> crossed_interval([[1.0, 1.0], [1.0, 1.0]]).mean
        1.0
        >>> crossed_interval([[0.0, 0.0], [0.0, 0.0]]).p
        1.0
    """
    parts = crossed_components(differences)
    variance, df = parts.variance_of_mean()
    if variance > 0:
        half = float(stats.t.ppf(0.5 + level / 2, df) * np.sqrt(variance))
        p = float(2 * stats.t.sf(abs(parts.mean) / np.sqrt(variance), df))
    else:
        half, p = 0.0, float(parts.mean == 0)
    return Interval(parts.mean, parts.mean - half, parts.mean + half, df, p)
