"""Near-duplicates: images that are copies of one another up to flip, resampling, crop, noise and brightness.

How well it separates, measured with 50 copies injected into each set: flips, resampling by 0.7 to 1.5, crops of up to a
fifth of each axis, noise of a tenth of the 99th percentile, other scales or 8 bits, and two of these (2026-11-22).

====================================  ======  ==========  ====================  =======================================
set                                   found   least copy  best pair of strangers  false pairs
====================================  ======  ==========  ====================  =======================================
150 fields, smoothed over 2 voxels    50      0.99        0.19                  0
the same over 3, 4 and 6              50      0.99        0.46                  0
24 phantoms, each of 4 modalities     50      0.97        0.77                  0
194 hippocampi of 127 subjects        50      0.92        0.67                  0; the two sides of a subject 0.71
600 chests of 224 pixels              50      0.92        0.71                  0
782 chests of 64 pixels               33      -           0.64                  0; 34 pairs are of one patient
====================================  ======  ==========  ====================  =======================================

Fields and hippocampi with three seeds or more, the others with one. The constants were chosen on these sets.

It reaches its limits where noise hides the texture (64 pixels). Free rotations and elastic deformations are not found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

from .fingerprint import Fingerprint
from .lookalikes import SCALE_STEP, Candidate, candidates, mirrors

# Scores from which a pair is a near-duplicate, see `find_duplicates`.
THRESHOLD = {3: 0.9, 2: 0.82}
_HOPEFUL = 0.6  # below it, no other scale of a radiograph is tried
_OVERLAP = 0.5  # least common part, as a share of the smaller image


def find_duplicates(prints: Sequence[Fingerprint]) -> list[tuple[int, int, float]]:
    """Return the pairs of images that are copies of one another.

    Args:
        prints: fingerprints in any order; volumes are compared with volumes, radiographs with radiographs.

    Returns:
        ``(i, j, score)`` with ``i < j``, sorted.

    Example:
        >>> from medvol.data.checks.fingerprint import fingerprint
        >>> from medvol.data.reading import Header
        >>> header, draw = Header((24, 24, 24), 1, (1.0, 1.0, 1.0), None, "float64", {}), np.random.default_rng(0)
        >>> one, other = draw.normal(size=(2, 24, 24, 24))
        >>> prints = [fingerprint(image, header) for image in (one, other, one[::-1])]
        >>> [pair[:2] for pair in find_duplicates(prints)]
        [(0, 2)]
    """
    scored = ((pair, similarity(prints, pair)) for pair in candidates(prints))
    return [
        (pair.first, pair.second, score)
        for pair, score in scored
        if score >= THRESHOLD[2 if prints[pair.first].is_radiograph else 3]
    ]


def similarity(prints: Sequence[Fingerprint], pair: Candidate) -> float:
    """Return how well one image of the pair lies on the other at the best shift, 0 to 1."""
    first, second = (prints[i].levels[pair.level].astype(np.float32) for i in (pair.first, pair.second))
    every = range(first.ndim)
    ways = mirrors(first.ndim) if pair.flips is None else [pair.flips]
    # A spectrum does not tell a flip from the flip of all the other axes.
    ways = [way for flips in ways for way in (flips, tuple(axis for axis in every if axis not in flips))]
    flipped = np.stack([np.flip(second, way) for way in ways])
    score = _match_at(first, flipped, pair.scale)
    if first.ndim == 2 and score >= _HOPEFUL:  # the scale is known to one step only
        score = max(score, *(_match_at(first, flipped, pair.scale * factor) for factor in (1 / SCALE_STEP, SCALE_STEP)))
    return score


def _match_at(first: np.ndarray, flipped: np.ndarray, scale: float) -> float:
    return _best_match(_scaled(first, max(1.0, scale)), _scaled(flipped, max(1.0, 1 / scale)))


def _scaled(image: np.ndarray, factor: float) -> np.ndarray:
    """Return a print's image, its last two axes enlarged by linear interpolation."""
    if factor == 1.0:
        return image
    for axis in (image.ndim - 2, image.ndim - 1):
        length = image.shape[axis]
        samples = round(length * factor)
        places = (np.arange(samples) - (samples - 1) / 2) / factor + (length - 1) / 2
        weights = np.clip(1 - np.abs(places.clip(0, length - 1)[:, None] - np.arange(length)), 0, None)
        image = np.moveaxis(np.tensordot(weights.astype(np.float32), image, (1, axis)), 0, axis)
    return image


def _best_match(one: np.ndarray, others: np.ndarray) -> float:
    """Return the best agreement of an image, (*spatial), with any of several, (N, *spatial), at any shift."""
    axes, shape = range(1, others.ndim), others.shape[1:]
    # Shifts beyond 0.3 of the size wrap around; the least overlap forbids them anyway.
    size = [fft.next_fast_len(int(1.3 * max(pair)) + 1, real=True) for pair in zip(one.shape, shape, strict=True)]
    spectrum = fft.rfftn(one, size) * fft.rfftn(others, size, axes=axes).conj()
    product = fft.irfftn(spectrum, size, axes=axes)
    common, shifts = 1.0, []
    for axis, (n, m, period) in enumerate(zip(one.shape, shape, size, strict=True)):
        shift = np.arange(period)
        shift = np.where(shift >= n, shift - period, shift)
        overlap = np.clip(np.minimum(n, shift + m) - np.maximum(0, shift), 0, None).astype(np.float32)
        common = common * overlap.reshape([-1 if a == axis else 1 for a in range(one.ndim)])
        shifts.append(shift)
    enough = common >= _OVERLAP * min(one.size, others[0].size)
    # A radiograph may be a negative of the other.
    product = np.abs(product) if one.ndim == 2 else product
    mean = np.where(enough, product / np.maximum(common, 1), -np.inf).reshape(len(others), -1)
    best = 0.0
    for other, peak in zip(others, mean.argmax(1), strict=True):
        shift = [int(line[i]) for line, i in zip(shifts, np.unravel_index(peak, size), strict=True)]
        best = max(best, _agreement(*_common_part(one, other, shift)))
    return best


def _common_part(one: np.ndarray, other: np.ndarray, shift: list[int]) -> tuple[np.ndarray, np.ndarray]:
    here, there = [], []
    for n, m, t in zip(one.shape, other.shape, shift, strict=True):
        start, stop = max(0, t), min(n, t + m)
        here.append(slice(start, stop))
        there.append(slice(start - t, stop - t))
    return one[tuple(here)], other[tuple(there)]


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Return the multiple correlation of an image with another and what a shift below one voxel adds to it.

    To first order, an image moved by a fraction of a voxel is the image and its gradients in a weighted sum, and one
    enlarged a little adds the gradients times their place: a grid that starts elsewhere costs no agreement.
    """
    axes = [axis for axis, length in enumerate(other.shape) if length > 2]
    slopes = [np.gradient(other, axis=axis) for axis in axes]
    terms = [other, *slopes]
    if other.ndim == 2:
        for axis, slope in zip(axes, slopes, strict=True):
            line = np.linspace(-4, 4, other.shape[axis], dtype=np.float32)
            terms.append(slope * (line[:, None] if axis == 0 else line))
    inner = tuple(slice(1, -1) if length > 4 else slice(None) for length in other.shape)  # one-sided at the edge
    columns, target = np.stack([term[inner].ravel() for term in terms]), one[inner].ravel()
    gram, moment = columns @ columns.T, columns @ target
    strength = float(target @ target)
    if not strength or not gram[0, 0]:
        return 0.0
    weights = np.linalg.solve(gram + 1e-6 * np.trace(gram) * np.eye(len(gram), dtype=gram.dtype), moment)
    if weights[0] <= 0 and one.ndim == 3:
        return 0.0
    return float(np.sqrt(np.clip(weights @ moment / strength, 0, 1)))
