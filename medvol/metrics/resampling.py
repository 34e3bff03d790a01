"""Intervals and p-values over patients with the trained models taken as given: bootstrap and sign permutation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

__all__ = ["bootstrap_interval", "patient_means", "permutation_p"]


def patient_means(values: ArrayLike, patients: ArrayLike) -> np.ndarray:
    """Return the mean of each patient, in the order of the sorted names, for a patient is the unit and not an image.

    Args:
        values: ``(..., N)``, one value per image on the last axis.
        patients: ``(N,)``, the patient of each image.

    Returns:
        ``(..., P)``.

    Raises:
        ValueError: the numbers of images differ.

    Example:
        >>> patient_means([1.0, 3.0, 5.0], ["b", "b", "a"])
        array([5., 2.])
    """
    values, names = np.asarray(values, dtype=np.float64), np.asarray(patients)
    if names.ndim != 1 or values.shape[-1:] != names.shape:
        raise ValueError(f"every value needs its patient; found {values.shape} values and {names.shape} patients")
    known, index = np.unique(names, return_inverse=True)
    sums = np.zeros((*values.shape[:-1], len(known)))
    np.add.at(sums, (..., index), values)
    return sums / np.bincount(index)


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over patients (Efron, Tibshirani 1993, chapter 13).

    It says how the result would differ on other patients with *these* trained models; training again is not in it.

    Args:
        values: ``(P,)``, one value per patient, such as the mean difference over seeds.
        level: coverage.
        resamples: number of resamples.
        seed: of the resampling.

    Raises:
        ValueError: no finite values.

    Example:
        >>> bootstrap_interval([1.0, 1.0, 1.0])
        (1.0, 1.0)
    """
    x = _finite(values)
    if len(x) == 1 or np.ptp(x) == 0:
        return float(x[0]), float(x[0])
    found = stats.bootstrap(
        (x,), np.mean, confidence_level=level, n_resamples=resamples, method="percentile",
        rng=np.random.default_rng(seed), batch=1000,
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def permutation_p(values: ArrayLike, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of a mean difference of zero by random sign flips, patient by patient.

    ``(1 + #{|d*| >= |d|}) / (R + 1)``; all ``2^P`` flips are tried where they are fewer than ``resamples``.

    Args:
        values: ``(P,)``, one paired difference per patient.
        resamples: number R of flips.
        seed: of the flips.

    Raises:
        ValueError: no finite values.

    Example:
        >>> permutation_p([0.0, 0.0, 0.0])
        1.0
    """
    x = _finite(values)
    if not x.any():
        return 1.0
    found = stats.permutation_test(
        (x,), np.mean, permutation_type="samples", vectorized=True, n_resamples=resamples,
        rng=np.random.default_rng(seed), batch=1000,
    )  # fmt: skip
    return float(min(1.0, found.pvalue))


def _finite(values: ArrayLike) -> np.ndarray:
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(
            f"one finite value per patient is expected; found shape {x.shape} of {x}; leave out no patient"
        )
    return x
