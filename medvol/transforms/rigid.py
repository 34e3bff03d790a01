"""Turn, shift and scale an image on its own grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from monai.data import MetaTensor
from monai.transforms import Affine
from numpy.random import RandomState
from scipy.spatial.transform import Rotation
from torch import Tensor

__all__ = ["direction", "turn", "warp"]


def direction(draw: RandomState, num_axes: int) -> np.ndarray:
    """Draw a direction, uniform over the circle or sphere.

    Args:
        draw: source of randomness.
        num_axes: 2 or 3.

    Returns:
        ``(num_axes,)``, of length 1.

    Example:
        >>> float(np.round(np.linalg.norm(direction(RandomState(0), 3)), 9))
        1.0
    """
    vector = draw.normal(size=num_axes)
    return vector / np.linalg.norm(vector)


def turn(degrees: float, draw: RandomState, spacing: Sequence[float]) -> np.ndarray:
    """Return a rotation by a fixed angle: of a volume about a random axis, of a plane to a random side.

    Args:
        degrees: the angle.
        draw: source of the axis or side.
        spacing: voxel size in mm, 2 or 3 numbers; the rotation is rigid in mm, whatever the voxels' form.

    Returns:
        ``(N, N)`` in voxels, N the number of axes.

    Example:
        >>> np.round(turn(90, RandomState(0), (1.0, 2.0)), 6).tolist()
        [[0.0, 2.0], [-0.5, 0.0]]
    """
    num_axes = len(spacing)
    vector = np.array([0.0, 0.0, draw.choice((-1.0, 1.0))]) if num_axes == 2 else direction(draw, 3)
    matrix = Rotation.from_rotvec(np.deg2rad(degrees) * vector).as_matrix()[:num_axes, :num_axes]
    return matrix * np.asarray(spacing) / np.asarray(spacing)[:, None]


def warp(
    image: Tensor,
    matrix: np.ndarray,
    shift: Sequence[float] | None = None,
    mode: str = "bilinear",
    padding: str = "border",
) -> Tensor:
    """Resample an image on its own grid: the voxel at ``p`` takes the value at ``matrix @ p + shift``.

    Args:
        image: ``(C, *spatial)``, floating point, with 2 or 3 spatial axes.
        matrix: ``(N, N)``, in voxels about the middle of the grid.
        shift: ``(N,)`` in voxels; none, if not given.
        mode: interpolation, ``bilinear`` (in a volume trilinear) or ``nearest``.
        padding: value from outside the image, ``border`` (that of its edge) or ``zeros``.

    Returns:
        Like ``image``.

    Example:
        >>> from torch import tensor
        >>> warp(tensor([[[1.0, 2.0], [3.0, 4.0]]]), -np.eye(2)).tolist()
        [[[4.0, 3.0], [2.0, 1.0]]]
    """
    affine = np.eye(len(matrix) + 1)
    affine[:-1, :-1] = matrix
    affine[:-1, -1] = 0.0 if shift is None else shift
    resample = Affine(affine=affine, mode=mode, padding_mode=padding, image_only=True, dtype=image.dtype)
    moved = resample(image)
    return (moved.as_tensor() if isinstance(moved, MetaTensor) else moved).to(image.dtype)
