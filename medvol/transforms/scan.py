"""An image as corruptions see it: its values, the range of its intensities, its background and voxel size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ["Scan", "read_scan"]


@dataclass(frozen=True)
class Scan:
    """An image without axes of one voxel, and what a strength is relative to.

    Attributes:
        values: ``(C, *spatial)``, 32 or 64 bit floating point.
        low: ``(C, 1, ...)``, 1st percentile of the foreground.
        span: ``(C, 1, ...)``, 99th minus 1st percentile of the foreground; 0 for a channel without contrast.
        floor: ``(C, 1, ...)``, what counts as no signal: 0, or the smallest value if that is negative, as in CT.
        background: ``(C, *spatial)``, true where a channel without negative values is exactly 0.
        spacing: voxel size in mm, one number per spatial axis.
    """

    values: Tensor
    low: Tensor
    span: Tensor
    floor: Tensor
    background: Tensor
    spacing: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels per spatial axis."""
        return tuple(self.values.shape[1:])


def read_scan(values: Tensor, spacing: tuple[float, ...]) -> Scan:
    """Measure an image.

    The range goes from the 1st to the 99th percentile of the foreground, so that it does not depend on the unit of the
    intensities, on how much background there is, or on a few bright vessels.

    Args:
        values: ``(C, *spatial)``, floating point, finite.
        spacing: voxel size in mm, one number per spatial axis.

    Example:
        >>> scan = read_scan(torch.arange(101.0).reshape(1, 1, 101) + 1, (1.0, 1.0))
        >>> float(scan.low), float(scan.span), int(scan.background.sum())
        (2.0, 98.0, 0)
    """
    flat = values.flatten(1)
    smallest = flat.min(dim=1).values
    background = (values == 0) & (smallest >= 0).reshape(-1, *[1] * (values.ndim - 1))
    ends = []
    for channel, empty in zip(flat.numpy(), background.flatten(1).numpy(), strict=True):
        kept = channel[~empty]
        ends.append(np.percentile(kept, (1, 99)) if kept.size else (0.0, 0.0))
    low, high = torch.as_tensor(np.array(ends), dtype=values.dtype).T
    shape = (-1, *[1] * (values.ndim - 1))
    floor = smallest.clamp_max(0)
    return Scan(values, low.reshape(shape), (high - low).reshape(shape), floor.reshape(shape), background, spacing)
