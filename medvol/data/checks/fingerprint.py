"""Fingerprints: a small picture of an image's texture on a physical grid, by which copies of it are found."""

from __future__ import annotations

import math
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from ..reading import Header

# Samples per axis of a cube, and of a square: what a grid's step is chosen for.
SAMPLES = {3: 36, 2: 64}
# Steps of volumes lie on a ladder of half octaves, so that a copy with another field of view meets the same steps.
_RUNG = math.sqrt(2)
# Voxels per step that are read at most: enough to average, few enough for a volume of any size.
_OVERSAMPLING = 3
# Widths in grid steps of the two Gaussians of the band and of the local strength, and the least strength as a share of
# the whole image's: the band in which patients differ and copies do not (docs of `duplicates`).
_BAND = {3: (0.6, 1.2, 4.0, 0.3), 2: (0.8, 1.6, 4.0, 1.0)}
_INT8_PER_UNIT = 32


@dataclass(frozen=True)
class Fingerprint:
    """What :func:`medvol.data.checks.duplicates.find_duplicates` compares.

    Attributes:
        levels: number of the grid (its step is ``sqrt(2) ** number`` millimeters; always 0 for a radiograph, whose
            step is a 64th of the root of its area) to the band-passed image on it, int8, (X, Y, Z) or (rows, columns).
        extent: edge of the cube of the same volume in millimeters; 1 for a radiograph.
    """

    levels: dict[int, np.ndarray]
    extent: float

    @property
    def is_radiograph(self) -> bool:
        """Whether the image lies on a plane."""
        return next(iter(self.levels.values())).ndim == 2


def fingerprint(values: np.ndarray, header: Header) -> Fingerprint:
    """Return the fingerprint of an image, 10 to 50 kB.

    The image is brought to a grid that depends on its physical size only, with a Gaussian as wide as the grid is
    coarse (resampling); the difference of two Gaussians is divided by its own local root mean square (brightness,
    contrast, shading). Of several channels the first one counts, of a color picture the mean. Pictures seldom state
    a spacing, and where they do it is often wrong: radiographs are measured in units of their own size.

    Args:
        values: (X, Y, Z) or (rows, columns), or with channels behind, of any type; as :func:`medvol.data.reading.
            read_image` returns it.
        header: the header that came with it.

    Raises:
        ValueError: the values have not the header's shape, or an axis of length zero.

    Example:
        >>> header = Header((16, 20), 1, (1.0, 1.0), None, "float32", {})
        >>> print_ = fingerprint(np.random.default_rng(0).normal(size=(16, 20)), header)
        >>> print_.levels[0].shape, print_.is_radiograph
        ((57, 72), True)
    """
    values, spacing = _prepared(values, header)
    size = [n * step for n, step in zip(values.shape, spacing, strict=True)]
    extent = math.prod(size) ** (1 / len(size))
    if values.ndim == 2:
        return Fingerprint({0: _texture(_resampled(values, spacing, extent / SAMPLES[2]))}, 1.0)
    first = math.ceil(math.log(extent / SAMPLES[3], _RUNG))
    levels = {rung: _texture(_resampled(values, spacing, _RUNG**rung)) for rung in (first, first + 1)}
    return Fingerprint(levels, extent)


def _prepared(values: np.ndarray, header: Header) -> tuple[np.ndarray, list[float]]:
    axes = len(header.shape)
    if values.shape[:axes] != tuple(header.shape) or 0 in values.shape or values.ndim > axes + 1:
        raise ValueError(
            f"values must have the header's shape {tuple(header.shape)}, with at most one axis of channels behind; "
            f"found {values.shape}; take both from one call of read_image"
        )
    if values.ndim > axes:
        values = values.mean(-1) if axes == 2 else values[..., 0]
    if axes == 2:
        return values, [1.0, 1.0]
    spacing = [step if math.isfinite(step) and step > 0 else 1.0 for step in header.spacing]
    if header.affine is not None and abs(np.linalg.det(header.affine[:3, :3])) > 0:
        # The patient's axes in one order: a copy that was stored with its axes swapped and says so is a copy.
        order = [int(axis) for axis in nib.io_orientation(header.affine)[:, 0]]
        values, spacing = values.transpose(np.argsort(order)), [spacing[axis] for axis in np.argsort(order)]
    return values, spacing


def _resampled(values: np.ndarray, spacing: list[float], step: float) -> np.ndarray:
    """Return the image, (X, Y[, Z]), on a centered grid of that step, clipped to its inner 99 %."""
    pace = [max(1, int(step / (_OVERSAMPLING * own))) for own in spacing]
    values = np.nan_to_num(values[tuple(slice(None, None, p) for p in pace)].astype(np.float32), posinf=0, neginf=0)
    weights = [_kernel(n, own * p, step) for n, own, p in zip(values.shape, spacing, pace, strict=True)]
    for axis, matrix in enumerate(weights):
        values = np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip(values, low, high)


def _kernel(length: int, spacing: float, step: float) -> np.ndarray:
    """Return the Gaussian weights of one axis, (samples, length)."""
    samples = max(1, round(length * spacing / step))
    centers = (np.arange(samples) - (samples - 1) / 2) * step
    places = (np.arange(length) - (length - 1) / 2) * spacing
    width = max(0.5 * step, 0.4 * spacing)
    weights = np.exp(-0.5 * ((centers[:, None] - places) / width) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _texture(image: np.ndarray) -> np.ndarray:
    """Return the band-passed image over its local strength, int8."""
    fine, coarse, local, floor = _BAND[image.ndim]
    band = gaussian_filter(image, fine, mode="nearest") - gaussian_filter(image, coarse, mode="nearest")
    strength = np.sqrt(gaussian_filter(band**2, local, mode="nearest") + (floor * band.std()) ** 2 + 1e-20)
    return np.round(np.clip(_INT8_PER_UNIT * band / strength, -127, 127)).astype(np.int8)
