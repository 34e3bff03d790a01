"""Intervals for a paired difference whose seeds and patients are both a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval.

    Attributes:
        mean: grand mean of the differences, in the unit of the score.
        low: lower end.
        high: upper end.
        df: degrees of freedom of the t distribution.
    """

    mean: float
    low: float
    high: float
    df: float


def crossed_interval(differences: ArrayLike, level: float = 0.95) -> Interval:
    """Confidence interval of a mean difference with random seeds crossed with random patients.

    The variance of the grand mean of ``D[s, p]`` in the two-way random model without replication is estimated by
    ``v = (MS_seed + MS_patient - MS_residual) / (S P)`` with Satterthwaite's degrees of freedom,
    ``v^2 / sum((MS_i / (S P))^2 / df_i)`` (Satterthwaite, Biometrics Bulletin 2, 1946). A ``v`` that is not positive is
    replaced by the larger of the first two terms alone, with its own degrees of freedom.

    Args:
        differences: ``(S, P)``, score of the arm minus score of scratch, of replicate ``s`` on patient ``p``.
        level: coverage of the interval.

    Raises:
        ValueError: for fewer than two seeds or patients, or values that are not finite.

    Example:
        >>> crossed_interval([[1.0, 1.0], [1.0, 1.0]]).mean
        1.0
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or min(d.shape) < 2 or not np.isfinite(d).all():
        found = f"shape {d.shape}, {int((~np.isfinite(d)).sum())} values not finite"
        raise ValueError(f"expected finite differences of at least 2 seeds x 2 patients; found {found}; add replicates")
    seeds, patients = d.shape
    mean, rows, columns = d.mean(), d.mean(1, keepdims=True), d.mean(0, keepdims=True)
    squares = np.array(
        [
            patients * ((rows - mean) ** 2).sum() / (seeds - 1),
            seeds * ((columns - mean) ** 2).sum() / (patients - 1),
            ((d - rows - columns + mean) ** 2).sum() / ((seeds - 1) * (patients - 1)),
        ]
    )
    parts = squares / d.size
    dfs = np.array([seeds - 1, patients - 1, (seeds - 1) * (patients - 1)], dtype=np.float64)
    variance = parts[0] + parts[1] - parts[2]
    if variance > 0:
        df = float(variance**2 / (parts**2 / dfs).sum())
    else:
        larger = int(parts[1] > parts[0])
        variance, df = parts[larger], float(dfs[larger])
    half = float(stats.t.ppf(0.5 + level / 2, df) * np.sqrt(variance)) if variance > 0 else 0.0
    return Interval(float(mean), float(mean) - half, float(mean) + half, df)
