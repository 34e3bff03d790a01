"""Where the patches of a grid lie, and the fast cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["PatchLayout", "cell_layout", "cut_patches", "per_axis", "stride_layout"]


class PatchLayout(NamedTuple):
    """Per spatial axis, in voxels of the crop: cell ``i`` starts at ``i * step``, its patch ``low..high`` later.

    Example:
        >>> PatchLayout(step=(20,), low=(1,), high=(3,)).step
        (20,)
    """

    step: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]


def per_axis(name: str, value: int | Sequence[int], num_axes: int, least: int = 1) -> tuple[int, ...]:
    """Write a number or one number per axis as one number per axis.

    Raises:
        ValueError: if there is another number of numbers than of axes, or one is below ``least``.

    Example:
        >>> per_axis("grid", 4, 3)
        (4, 4, 4)
    """
    values = (value,) * num_axes if isinstance(value, int) else tuple(int(v) for v in value)
    if len(values) != num_axes:
        raise ValueError(
            f"expected {name} with one number for each of the {num_axes} spatial axes, found {list(values)}; "
            "give one number per axis of the image (1 on an axis of size one)"
        )
    for axis, number in enumerate(values):
        if number < least:
            raise ValueError(f"expected {name} of at least {least}, found {number} on axis {axis}; raise it")
    return values


def cell_layout(
    crop: Sequence[int], grid: Sequence[int], patch: Sequence[int], min_gap: Sequence[int], jitter: bool
) -> PatchLayout:
    """Cut a crop into cells and say where in its cell a patch may start.

    A cell has ``c = floor(S / g)`` voxels. An offset lies in ``[ceil(m/2), c - p - ceil(m/2)]``, so that neighbors are
    always at least ``m`` voxels apart; without jitter it is ``(c - p) // 2``. An axis with one cell has no neighbors
    and needs no gap: there the patch may lie anywhere.

    Raises:
        ValueError: if a patch with its gap does not fit its cell, naming the axis.

    Example:
        >>> cell_layout((80,), (4,), (16,), (2,), jitter=True)
        PatchLayout(step=(20,), low=(1,), high=(3,))
    """
    step, low, high = [], [], []
    for axis, (size, cells, p, gap) in enumerate(zip(crop, grid, patch, min_gap, strict=True)):
        cell = size // cells
        half = math.ceil(gap / 2) if cells > 1 else 0
        needed = (2 * half if jitter else gap) if cells > 1 else 0
        if cell - p < needed:
            raise ValueError(
                f"axis {axis}: expected a cell of at least {p + needed} voxels (patch {p} and gap {needed}), found "
                f"{cell} ({size} voxels in {cells} cells); use a smaller patch_size or min_gap, a coarser grid or a "
                "larger crop"
            )
        step.append(cell)
        low.append(half if jitter else (cell - p) // 2)
        high.append(cell - p - half if jitter else (cell - p) // 2)
    return PatchLayout(tuple(step), tuple(low), tuple(high))


def stride_layout(crop: Sequence[int], grid: Sequence[int], patch: Sequence[int], stride: Sequence[int]) -> PatchLayout:
    """Place patches at a fixed stride, overlapping where it is below the patch size, in the middle of the crop.

    Raises:
        ValueError: if the grid is larger than the crop, naming the axis.

    Example:
        >>> stride_layout((98,), (5,), (32,), (16,))
        PatchLayout(step=(16,), low=(1,), high=(1,))
    """
    low = []
    for axis, (size, cells, p, s) in enumerate(zip(crop, grid, patch, stride, strict=True)):
        extent = (cells - 1) * s + p
        if extent > size:
            raise ValueError(
                f"axis {axis}: expected at least {extent} voxels for {cells} patches of {p} at stride {s}, found "
                f"{size}; use a smaller grid, patch_size or stride, or a larger crop"
            )
        low.append((size - extent) // 2)
    return PatchLayout(tuple(stride), tuple(low), tuple(low))


def cut_patches(image: Tensor, starts: np.ndarray, patch: Sequence[int]) -> Tensor:
    """Copy boxes of one size out of an image.

    Args:
        image: ``(C, *spatial)``.
        starts: first voxels ``(P, D)``, integers; every box must lie inside the image.
        patch: size of a box, ``D`` numbers.

    Returns:
        ``(P, C, *patch)``, newly allocated, of the image's type.

    Example:
        >>> cut_patches(torch.arange(12.0).reshape(1, 3, 4), np.array([[1, 2]]), (2, 2))
        tensor([[[[ 6.,  7.],
                  [10., 11.]]]])
    """
    source = np.ascontiguousarray(image.numpy())  # without a copy for the usual contiguous image
    out = np.empty((len(starts), source.shape[0], *patch), source.dtype)
    # A whole run along the last axis is treated as one opaque element: half the time of slicing single voxels.
    run = np.dtype((np.void, source.itemsize * patch[-1]))
    shape = (*source.shape[:-1], source.shape[-1] - patch[-1] + 1)
    runs = np.ndarray(shape, run, source.data, 0, source.strides)
    out_runs = out.view(run)[..., 0]
    for index, (*head, last) in enumerate(starts.tolist()):
        window = (slice(start, start + size) for start, size in zip(head, patch, strict=False))
        out_runs[index] = runs[(slice(None), *window, last)]
    return torch.from_numpy(out)
