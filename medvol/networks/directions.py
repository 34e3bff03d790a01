"""What is predicted from what in a grid of patches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["PredictionGroup", "first_steps", "overlapping", "prediction_groups"]


@dataclass(frozen=True)
class PredictionGroup:
    """Directions of one layout, processed together.

    Attributes:
        order: patch indices ``(R, L, *plane)`` for R directions: layer 0 is read first, layer L-1 last. ``plane`` are
            the other axes of the grid that have more than one patch.
        first_step: least number of layers from context to target.

    Example:
        >>> PredictionGroup(torch.arange(4).reshape(1, 2, 2), 1).steps
        (1,)
    """

    order: Tensor
    first_step: int

    @property
    def steps(self) -> tuple[int, ...]:
        """All legal distances from context to target, in layers."""
        return tuple(range(self.first_step, self.order.shape[1]))

    def pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return patch index of the context, patch index of the target, and step, of every prediction in its order.

        Step for step; within a step direction, layer, plane. All three are ``(n,)``.
        """
        layers = self.order.shape[1]
        sources = [self.order[:, : layers - step].flatten() for step in self.steps]
        targets = [self.order[:, step:].flatten() for step in self.steps]
        steps = [torch.full_like(target, step) for step, target in zip(self.steps, targets, strict=True)]
        return torch.cat(sources), torch.cat(targets), torch.cat(steps)


def first_steps(
    grid: Sequence[int],
    patch_size: Sequence[int] | None,
    stride: Sequence[int] | None,
    min_step: int | Sequence[int] | None,
) -> tuple[int, ...]:
    """Return the least step per axis at which context and target share no voxel, ``ceil(patch / stride)``.

    Args:
        grid: patches per axis.
        patch_size: voxels per axis, needed with a stride.
        stride: voxels from patch to patch; None for cells, which never overlap.
        min_step: a larger first step, if wanted.

    Raises:
        ValueError: if ``min_step`` lets context and target overlap, or leaves no target on an axis.

    Example:
        >>> first_steps((5, 5), (32, 32), (16, 16), None)
        (2, 2)
    """
    least = [1] * len(grid) if stride is None else [math.ceil(p / s) for p, s in zip(patch_size, stride, strict=True)]
    wanted = least if min_step is None else [min_step] * len(grid) if isinstance(min_step, int) else list(min_step)
    if len(wanted) != len(grid):
        raise ValueError(
            f"expected min_step with {len(grid)} numbers, one per axis of the grid, found {wanted}; correct it"
        )
    for axis, (cells, low, step) in enumerate(zip(grid, least, wanted, strict=True)):
        if cells == 1:
            continue
        if step < low:
            raise ValueError(
                f"axis {axis}: expected min_step of at least {low} = ceil(patch / stride), found {step}; a smaller one "
                "puts voxels of the target into its context"
            )
        if cells <= step:
            raise ValueError(
                f"axis {axis}: expected a grid of more than {step} patches, so that one is left to predict, found "
                f"{cells}; use a finer grid or a larger stride"
            )
    return tuple(wanted)


def prediction_groups(grid: Sequence[int], steps: Sequence[int]) -> list[PredictionGroup]:
    """List both directions along every axis with more than one patch, grouped by shape so that each group is one call.

    Axes with one patch vanish here: the grids ``(g, g, 1)`` and ``(g, g)`` are the same computation.

    Args:
        grid: patches per axis.
        steps: first legal step per axis.

    Raises:
        ValueError: if no axis has more than one patch.

    Example:
        >>> [tuple(group.order.shape) for group in prediction_groups((4, 4, 1), (1, 1, 1))]
        [(4, 4, 4)]
    """
    if all(cells == 1 for cells in grid):
        raise ValueError(
            f"expected a grid with more than one patch on some axis, found {tuple(grid)}; use a finer grid"
        )
    raster = torch.arange(math.prod(grid)).reshape(tuple(grid))
    found: dict[tuple[tuple[int, ...], int], list[Tensor]] = {}
    for axis in (axis for axis, cells in enumerate(grid) if cells > 1):
        forward = raster.movedim(axis, 0)
        forward = forward.reshape([forward.shape[0], *(cells for cells in forward.shape[1:] if cells > 1)])
        found.setdefault((tuple(forward.shape), steps[axis]), []).extend([forward, forward.flip(0)])
    return [PredictionGroup(torch.stack(orders), step) for (_, step), orders in found.items()]


def overlapping(grid: Sequence[int], patch_size: Sequence[int] | None, stride: Sequence[int] | None) -> Tensor:
    """Return which patches can share voxels, boolean ``(P, P)``; every patch does with itself.

    Args:
        grid: patches per axis.
        patch_size: voxels per axis, needed with a stride.
        stride: voxels from patch to patch; None for cells, which never overlap.

    Example:
        >>> overlapping((3,), (32,), (16,))[0].tolist()
        [True, True, False]
    """
    place = torch.cartesian_prod(*(torch.arange(cells) for cells in grid)).reshape(-1, len(grid))
    apart = (place[:, None] - place[None]).abs()  # (P, P, D), in patches
    if stride is None:
        return (apart == 0).all(dim=-1)
    return (apart * torch.as_tensor(stride) < torch.as_tensor(patch_size)).all(dim=-1)
