"""One value per patient for a metric that exists only for a whole set, such as kappa or the area under a ROC curve."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["pseudo_values"]


def pseudo_values(statistic: Callable[..., float], *arrays: ArrayLike, patients: ArrayLike | None = None) -> np.ndarray:
    """Return the jackknife pseudo-values of a set metric, one per patient.

    ``n * theta - (n - 1) * theta_without_p`` (Quenouille, Biometrika 43, 1956; Tukey, Annals of Mathematical
    Statistics 29, 1958, p. 614), where ``theta_without_p`` leaves out every image of patient ``p``. Their mean is the
    bias-corrected metric, and they can be treated like scores of patients; for a mean they are the values themselves.
    A single pseudo-value may lie outside of the range of the metric.

    Args:
        statistic: called as ``statistic(*arrays)``; returns one number.
        arrays: each ``(N, ...)``, one row per image: targets, predictions.
        patients: ``(N,)``, the patient of each image; without it every image is its own patient.

    Returns:
        ``(P,)``, in the order of the sorted patients (of the images where none are given), in the unit of the metric.

    Raises:
        ValueError: arrays of different lengths, fewer than two patients, or a metric that is undefined without one of
            the patients.

    Example:
        >>> pseudo_values(np.mean, [1.0, 2.0, 6.0])
        array([1., 2., 6.])
    """
    rows, names, index = by_patient(arrays, patients)
    whole, n = _defined(statistic, rows, "on all patients"), len(names)
    left = [
        _defined(statistic, [row[index != k] for row in rows], f"without patient {names[k]}") for k in range(n)
    ]  # fmt: skip
    return n * whole - (n - 1) * np.array(left)


def by_patient(
    arrays: tuple[ArrayLike, ...], patients: ArrayLike | None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the arrays, the sorted names of patients and the index ``(N,)`` of each image's patient.

    Raises:
        ValueError: no arrays, different lengths, or fewer than two patients.

    Example:
        >>> by_patient(([1, 2, 3],), ["b", "a", "b"])[2].tolist()
        [1, 0, 1]
    """
    rows = [np.asarray(array) for array in arrays]
    lengths = [row.shape[0] if row.ndim else 0 for row in rows]
    given = np.arange(lengths[0] if rows else 0) if patients is None else np.asarray(patients)
    if given.ndim != 1 or {*lengths, len(given)} != {len(given)}:
        raise ValueError(
            f"targets, predictions and patients must have one row per image; found lengths {lengths} and patients of "
            f"shape {given.shape}; pass all of the same images"
        )
    names, index = np.unique(given, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"a set metric must have at least 2 patients; found {len(names)}; score more patients")
    return rows, names, index


def _defined(statistic: Callable[..., float], rows: list[np.ndarray], where: str) -> float:
    value = float(statistic(*rows))
    if not np.isfinite(value):
        raise ValueError(
            f"the metric must be defined; found {value} {where}; a rank or agreement metric needs at least two "
            "patients of every class"
        )
    return value
