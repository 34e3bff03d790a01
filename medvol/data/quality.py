"""How noisy and how sharp an image is, by its values alone: numbers to sort by, never a diagnostic quality.

They see neither artifacts of motion nor wrong contrast, and compare only images of one kind: another modality, voxel
size or reconstruction has other numbers for the same care.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its documented short name)
from scipy import ndimage

_BLOCK = 96  # voxels along each axis of the block in the middle that is looked at
_BINS = 256
_SAMPLES = 1 << 16
_TAILS = (0.5, 99.5)  # percent; a single bright voxel would otherwise be a class of its own


def otsu_threshold(values: np.ndarray) -> float | None:
    """Return the value that best parts an image in two classes (Otsu 1979, doi:10.1109/TSMC.1979.4310076).

    Args:
        values: any shape. Those not finite do not count, the outer 0.5 % on both sides count as their limit, and
            of more than 65,536 every k-th counts.

    Returns:
        The threshold, or None of an image without two different finite values.

    Example:
        >>> 0 <= otsu_threshold(np.array([0.0, 0, 0, 5, 5, 5])) < 5
        True
    """
    finite = values[np.isfinite(values)].astype(np.float32)
    finite = finite[:: -(-finite.size // _SAMPLES) or 1]
    if finite.size == 0 or finite.min() == finite.max():
        return None
    low, high = np.percentile(finite, _TAILS)
    if low == high:
        low, high = finite.min(), finite.max()
    chooser = sitk.OtsuThresholdImageFilter()
    chooser.SetNumberOfHistogramBins(_BINS)
    chooser.SetNumberOfThreads(1)  # many images are measured at once instead
    chooser.Execute(sitk.GetImageFromArray(np.clip(finite, low, high)[None]))
    return float(chooser.GetThreshold())


def noise_level(values: np.ndarray, mask: np.ndarray | None = None) -> float | None:
    """Estimate the standard deviation of white Gaussian noise by second differences along all axes.

    Immerkaer 1996 (Computer Vision and Image Understanding 64(2), doi:10.1006/cviu.1996.0060): on a plane the operator
    N is the outer product of (1, -2, 1) with itself, blind to what changes linearly along either axis, and sigma =
    sqrt(pi / 2) mean|I * N| / 6. With n axes N is the n-fold outer product; white noise leaves it with a standard
    deviation of sigma sqrt(6^n), since 1 + 4 + 1 = 6, and the mean absolute value of a Gaussian is sqrt(2 / pi) of
    that: sigma = sqrt(pi / 2) mean|I * N| / 6^(n/2). Structure finer than three voxels counts as noise.

    Args:
        values: finite values, any number of axes; those shorter than three do not count.
        mask: voxels to estimate from, the same shape; None for all.

    Returns:
        sigma in the unit of the values; None if no voxel of the mask has all its neighbors.

    Example:
        >>> noise = np.random.default_rng(0).normal(0, 5, (32, 32, 32))
        >>> abs(noise_level(noise) - 5) < 0.15
        True
    """
    axes = [axis for axis, size in enumerate(values.shape) if size >= 3]
    response = np.asarray(values, np.float32)
    for axis in axes:
        response = np.diff(response, n=2, axis=axis)
    magnitude = np.abs(response)
    if mask is not None:
        inner = tuple(slice(1, -1) if axis in axes else slice(None) for axis in range(values.ndim))
        magnitude = magnitude[mask[inner]]
    if not axes or magnitude.size == 0:
        return None
    return float(np.sqrt(np.pi / 2) * magnitude.mean(dtype=np.float64) / 6 ** (len(axes) / 2))


def image_quality(values: np.ndarray) -> float | None:
    """Return the signal-to-noise ratio of an image's foreground in decibel.

    10 log10(v / sigma^2): v is the variance of the smoothed (Gaussian of one voxel) foreground, sigma the noise of
    :func:`noise_level` in it. The foreground is what lies over Otsu's threshold of the smoothed image. Noise that was
    interpolated or filtered is no longer white and is underestimated. Slices far apart raise the noise.

    Args:
        values: (X, Y, Z) or (rows, columns); of more than 96 along an axis the middle 96 count.

    Returns:
        Decibel, up to 120; None for an image without two finite values or too small to say.

    Example:
        >>> image = np.add.outer(np.arange(32.0), np.arange(32.0)) ** 2
        >>> noisy = image + np.random.default_rng(0).normal(0, 50, image.shape)
        >>> image_quality(noisy) < image_quality(image)
        True
    """
    values = _block(values)
    smooth = ndimage.gaussian_filter(values, 1.0, truncate=3.0) if values.size else values
    threshold = otsu_threshold(smooth)
    if threshold is None:
        return None
    foreground = smooth > threshold
    # Neighbors in the background would add the outline to the noise.
    sigma = noise_level(values, ndimage.binary_erosion(foreground, np.ones([3] * values.ndim), border_value=1))
    sigma = noise_level(values) if sigma is None else sigma
    variance = float(smooth[foreground].var(dtype=np.float64))
    if sigma is None or variance == 0:
        return None
    return min(10 * float(np.log10(variance / max(sigma**2, 1e-12 * variance))), 120.0)


def sharpness(values: np.ndarray) -> float | None:
    """Return the energy of the differences of neighbors over that at half resolution, both without the noise's share.

    Half resolution is the mean over blocks of two. What is smooth has differences half as large as there, hence 0.25;
    a straight edge one voxel wide has about 0.6, and texture finer than a voxel up to 2^n on n axes. White noise of
    :func:`noise_level` sigma adds 2 sigma^2 to the one and 2 sigma^2 / 2^n to the other, which is taken away.

    Args:
        values: (X, Y, Z) or (rows, columns); of more than 96 along an axis the middle 96 count.

    Returns:
        A number without unit; None for an image without differences at half resolution.

    Example:
        >>> edges = np.kron(np.random.default_rng(0).random((6, 6)), np.ones((9, 9)))
        >>> sharpness(ndimage.gaussian_filter(edges, 2)) < sharpness(edges)
        True
    """
    values = _block(values)
    sigma = noise_level(values)
    if sigma is None:
        return None
    even = values[tuple(slice(size - size % 2 or None) for size in values.shape)]
    steps = [2 if size > 1 else 1 for size in even.shape]
    parts = [even[tuple(map(slice, start, even.shape, steps))] for start in product(*map(range, steps))]
    full = _energy(even) - 2 * sigma**2
    half = _energy(sum(parts) / np.float32(len(parts))) - 2 * sigma**2 / len(parts)
    return max(full, 0.0) / half if half > 0 else None


def _energy(values: np.ndarray) -> float:
    """Return the mean square of the differences of neighbors, over all axes."""
    axes = [axis for axis, size in enumerate(values.shape) if size > 1]
    energies = [float(np.square(np.diff(values, axis=axis)).mean(dtype=np.float64)) for axis in axes]
    return sum(energies) / max(len(energies), 1)


def _block(values: np.ndarray) -> np.ndarray:
    """Return the middle in single precision; what is not finite becomes the smallest finite value."""
    starts = [max((size - _BLOCK) // 2, 0) for size in values.shape]
    block = values[tuple(slice(start, start + _BLOCK) for start in starts)].astype(np.float32)
    finite = np.isfinite(block)
    if finite.all():
        return block - block.min() if block.size else block  # large offsets cost digits
    low = block[finite].min() if finite.any() else np.float32(0)
    return np.where(finite, block - low, np.float32(0))
