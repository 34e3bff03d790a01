"""Where the spread of paired differences comes from: seeds, patients, or both together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Components", "crossed_components"]


@dataclass(frozen=True)
class Components:
    """Mean squares of the two-way random model without replication, ``D[s, p] = m + a_s + b_p + e_sp``.

    Attributes:
        mean: grand mean, in the unit of the score.
        seeds: number S of replicates.
        patients: number P of patients.
        mean_squares: those of seeds, patients and residual, in the squared unit of the score.
    """

    mean: float
    seeds: int
    patients: int
    mean_squares: tuple[float, float, float]

    @property
    def degrees(self) -> tuple[int, int, int]:
        """Degrees of freedom of the three mean squares."""
        return self.seeds - 1, self.patients - 1, (self.seeds - 1) * (self.patients - 1)

    @property
    def variances(self) -> tuple[float, float, float]:
        """Estimated variances of seeds, patients and residual; the first two may come out negative.

        ``(MS_seed - MS_residual) / P``, ``(MS_patient - MS_residual) / S``, ``MS_residual`` (Searle, Casella,
        McCulloch, Variance Components, 1992, chapter 4).
        """
        seed, patient, residual = self.mean_squares
        return (seed - residual) / self.patients, (patient - residual) / self.seeds, residual

    def variance_of_mean(self) -> tuple[float, float]:
        """Return the variance of the grand mean and its degrees of freedom (Satterthwaite).

        ``v = (MS_seed + MS_patient - MS_residual) / (S P)``, ``df = v^2 / sum((MS_i / (S P))^2 / df_i)``
        (Satterthwaite, Biometrics Bulletin 2, 1946). A ``v`` that is not positive, or that has fewer degrees of
        freedom than the smaller of the first two terms, is a small rest of large terms that cancel: it is replaced by
        the larger of the first two terms alone, with the fewer of their two degrees of freedom.
        """
        variance, df = mean_variance(np.array(self.mean_squares)[:, None], *np.atleast_1d(self.seeds, self.patients))
        return float(variance[0]), float(df[0])


def mean_variance(squares: np.ndarray, seeds: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of the grand mean and its degrees of freedom, of many designs at once.

    Args:
        squares: ``(3, N)``, mean squares of seeds, patients and residual, in the squared unit of the score.
        seeds: ``(N,)``, S of each design.
        patients: ``(N,)``, P of each design.

    Returns:
        Variances and degrees of freedom, each ``(N,)``; see :meth:`Components.variance_of_mean`.

    Example:
        >>> variance, df = mean_variance(np.array([[2.0], [1.0], [1.0]]), np.array([3]), np.array([5]))
        >>> round(float(variance[0]), 4), round(float(df[0]), 2)
        (0.1333, 2.0)
    """
    degrees = np.stack([seeds - 1, patients - 1, (seeds - 1) * (patients - 1)]).astype(np.float64)
    parts = squares / (seeds * patients)
    variance, fewest = parts[0] + parts[1] - parts[2], degrees[:2].min(0)
    terms = (parts**2 / degrees).sum(0)
    df = np.divide(variance**2, terms, out=np.zeros(len(variance)), where=variance > 0)
    # A sum of mean squares has at least the degrees of freedom of one of them; fewer come only from the minus sign.
    kept = df >= fewest
    return np.where(kept, variance, parts[:2].max(0)), np.where(kept, df, fewest)


def crossed_components(differences: ArrayLike) -> Components:
    """Return the mean squares of paired differences.

    Args:
        differences: ``(S, P)``, score of the arm minus score of scratch, of replicate ``s`` on patient ``p``.

    Raises:
        ValueError: for fewer than two seeds or patients, or values that are not finite.

    Example:
        >>> crossed_components([[0.0, 2.0], [2.0, 4.0]]).variances
        (2.0, 2.0, 0.0)
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 2 or min(d.shape) < 2 or not np.isfinite(d).all():
        found = f"shape {d.shape}, {int((~np.isfinite(d)).sum())} values not finite"
        raise ValueError(f"expected finite differences of at least 2 seeds x 2 patients; found {found}; add replicates")
    seeds, patients = d.shape
    mean, rows, columns = d.mean(), d.mean(1, keepdims=True), d.mean(0, keepdims=True)
    squares = (
        patients * ((rows - mean) ** 2).sum() / (seeds - 1),
        seeds * ((columns - mean) ** 2).sum() / (patients - 1),
        ((d - rows - columns + mean) ** 2).sum() / ((seeds - 1) * (patients - 1)),
    )
    return Components(float(mean), seeds, patients, tuple(float(square) for square in squares))
