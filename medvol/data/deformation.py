"""Smooth random fields and the deformations that turn the average brain into one patient's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .anatomy import EXTENT, Array

_SPLINE_STD = (151 / 315) ** 1.5  # standard deviation of a 3D cubic B-spline field with white coefficients


def smooth_noise(
    rng: np.random.Generator, axes: Sequence[Array], scales: Sequence[float], stds: Sequence[float]
) -> Array:
    """Draw a smooth random field: cubic B-splines with white coefficients, summed over octaves.

    Coarse octaves are evaluated at the control points of the finest one, so the full grid is visited once. Only sums
    and products of single numbers are used (no BLAS), so the field has the same bits for any number of threads. The
    number of draws depends on `scales` alone, not on the grid.

    Args:
        rng: source of the coefficients.
        axes: three arrays of positions in mm, `(X,)`, `(Y,)`, `(Z,)`.
        scales: distance between control points in mm, coarse to fine.
        stds: standard deviation of each octave.

    Returns:
        `(X, Y, Z)` float32.
    """
    coefficients: Array | None = None
    for number, (scale, std) in enumerate(zip(scales, stds, strict=True)):
        counts = [int(np.ceil(length / scale)) + 3 for length in EXTENT]
        fresh = rng.standard_normal(counts, dtype=np.float32) * np.float32(std / _SPLINE_STD)
        if coefficients is not None:
            controls = [(np.arange(n, dtype=np.float32) - 1) * np.float32(scale) for n in counts]
            fresh += _spline(coefficients, controls, scales[number - 1])
        coefficients = fresh
    assert coefficients is not None
    return _spline(coefficients, axes, scales[-1])


def _spline(coefficients: Array, axes: Sequence[Array], scale: float) -> Array:
    """Evaluate a uniform cubic B-spline with control points at `(k - 1) * scale` mm on a grid: four taps per axis."""
    field = coefficients
    for axis in (2, 1, 0):  # the last axis first: the arrays are small then, and the big ones are copied in whole slabs
        position = np.clip(axes[axis] / np.float32(scale), 0, field.shape[axis] - 3 - 1e-3).astype(np.float32)
        cell = position.astype(np.int64)
        t = position - cell
        taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        shape = [-1 if a == axis else 1 for a in range(3)]
        field = sum(
            field.take(cell + number, axis) * (tap / 6).astype(np.float32).reshape(shape)
            for number, tap in enumerate(taps)
        )
    return field


def warp(rng: np.random.Generator, axes: Sequence[Array]) -> Array:
    """Draw a patient's shape: for each voxel, the template point that is seen there.

    A small affine map plus smooth displacements at three scales, all far from folding.

    Args:
        rng: source of the shape.
        axes: voxel centers in mm, `(X,)`, `(Y,)`, `(Z,)`.

    Returns:
        `(3, X, Y, Z)` float32, points of the template in mm.
    """
    matrix = np.eye(3) + np.clip(rng.normal(0, 0.03, (3, 3)), -0.06, 0.06)
    middle = np.array(EXTENT) / 2
    offset = middle - matrix @ middle + rng.normal(0, 1, 3)
    points = np.empty((3, *(len(a) for a in axes)), np.float32)
    for row, out in enumerate(points):
        out[:] = smooth_noise(rng, axes, (50, 25, 12.5), (3.0, 2.0, 0.9))
        for axis, positions in enumerate(axes):
            shape = [-1 if a == axis else 1 for a in range(3)]
            out += (positions * np.float32(matrix[row, axis])).reshape(shape)
        out += np.float32(offset[row])
    return points


def swell(points: Array, center: Sequence[float], scale: float, strength: float, weight: Array | float = 1.0) -> Array:
    """Push tissue outward from a center, as a growing mass does, and say which tissue has arrived at `points`.

    At distance `d`, the tissue comes from `d - strength * d / (1 + (d / scale)^2)^1.5`: a magnification by
    `1 / (1 - strength)` at the center, and far away the inverse-square decay of an incompressible medium. Monotone,
    hence without folds, for `strength < 1`.

    Args:
        points: `(3, *)` in mm.
        center: three coordinates in mm.
        scale: mm; the displacement is largest at 0.7 `scale`.
        strength: below 1; negative values pull.
        weight: factor of the displacement, broadcast to `(*)`; 0 where bone holds the tissue.

    Returns:
        `(3, *)` float32.

    Example:
        >>> source = swell(np.float32([[10.0], [0.0], [0.0]]), (0, 0, 0), scale=10, strength=0.5)
        >>> round(float(source[0, 0]), 2)
        8.23
    """
    away = points - np.asarray(center, np.float32).reshape(3, *[1] * (points.ndim - 1))
    squared = (away * away).sum(0) / np.float32(scale**2) + 1
    away *= np.float32(strength) * weight / (squared * np.sqrt(squared))
    return points - away
