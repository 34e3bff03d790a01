"""How many directions a set of vectors uses: the scale of its features, its rank, and the signs of a collapse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Spectrum", "scaled", "spectrum", "spectrum_sentences"]


@dataclass(frozen=True)
class Spectrum:
    """How many directions a set of vectors uses.

    Attributes:
        dimensions: number of features F.
        constant: how many of them have the same value in every case.
        effective_rank: Roy and Vetterli's, between 1 and ``most``; 0 if all vectors are equal.
        most: the largest rank that so many cases and features can have, min(N - 1, F).
        spread: root mean square distance from the mean vector, over the length of the mean vector.
    """

    dimensions: int
    constant: int
    effective_rank: float
    most: int
    spread: float


def scaled(features: ArrayLike) -> np.ndarray:
    """Return ``(N, F)`` features with mean 0 and variance 1 each, in float64; constant ones are left out.

    The scale of a channel before the next layer's weights carries no meaning, and unscaled a single loud channel
    decides every distance.

    Example:
        >>> scaled([[1.0, 5.0], [3.0, 5.0]]).tolist()
        [[-1.0], [1.0]]
    """
    values = np.asarray(features, dtype=np.float64)
    varying = ~_constant(values)
    values = values[:, varying] - values[:, varying].mean(0)
    return values / values.std(0)


def spectrum(features: ArrayLike) -> Spectrum:
    """Measure how far vectors have collapsed.

    The effective rank is the exponential of the entropy of the singular values of the centered features, divided by
    their sum (Roy and Vetterli, "The effective rank", EUSIPCO 2007, definition 1).

    Args:
        features: ``(N, F)``.

    Example:
        >>> found = spectrum([[1.0, 0.0, 7.0], [-1.0, 0.0, 7.0], [0.0, 1.0, 7.0], [0.0, -1.0, 7.0]])
        >>> found.constant, round(found.effective_rank, 3), found.most
        (1, 2.0, 3)
    """
    values = np.asarray(features, dtype=np.float64)
    count, dimensions = values.shape
    constant = _constant(values)
    centered = (values - values.mean(0))[:, ~constant]
    length = float(np.linalg.norm(values.mean(0)))
    spread = float(np.sqrt((centered**2).sum(1).mean())) / length if length else float("inf")
    singular = np.linalg.svd(centered, compute_uv=False) if centered.size else np.zeros(1)
    shares = singular[singular > 1e-9 * max(singular.max(), 1e-300)]
    shares = shares / shares.sum() if shares.size else shares
    rank = float(np.exp(-(shares * np.log(shares)).sum())) if shares.size else 0.0
    return Spectrum(dimensions, int(constant.sum()), rank, min(count - 1, dimensions), spread)


def spectrum_sentences(found: Spectrum) -> tuple[str, str]:
    """Say in words how many directions the vectors use, and warn of a collapse; the warning is "" without one.

    Example:
        >>> spectrum_sentences(Spectrum(8, 8, 0.0, 3, 0.0))[1][:23]
        'The vectors collapsed: '
    """
    said = (
        f"The vectors have an effective rank of {found.effective_rank:.1f} of at most {found.most}; "
        f"{found.constant} of {found.dimensions} features are the same in every case."
    )
    if found.most < 2:  # one or two cases always lie on a line
        return said, ""
    if found.constant == found.dimensions:
        return said, "The vectors collapsed: all cases have the same one."
    signs = [
        f"{found.constant} of {found.dimensions} features are constant" * (2 * found.constant > found.dimensions),
        "nearly all variation lies along one line" * (found.effective_rank < 1.5),
        f"vectors differ from their mean by {found.spread:.2%} of its length" * (found.spread < 0.01),
    ]
    signs = [sign for sign in signs if sign]
    return said, f"The vectors may have collapsed: {'; '.join(signs)}." if signs else ""


def _constant(values: np.ndarray) -> np.ndarray:
    # What float32 sums leave of equal numbers is no variation.
    return values.std(0) <= 1e-6 * np.maximum(np.abs(values).max(0), 1e-30)
