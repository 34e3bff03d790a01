# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Tokens and voxels: which token holds which voxel.

Everything that turns one into the other stands here, once: a network that numbers its tokens in one order and its mask
in another hides other voxels than it is scored on, and no error tells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .masks import check_hidden

__all__ = ["TokenGrid", "as_slices", "as_volumes", "come_as_volumes", "hidden_tokens", "to_patches", "to_voxels"]


@dataclass(frozen=True)
class TokenGrid:
    """How a transformer cuts an image into a sequence of tokens, the last axis running fastest.

    Attributes:
        size: voxels of a token along each axis.
        count: number of tokens for which there are position embeddings.
        grid: tokens along each axis, if the network knows; MONAI's ``ViT`` keeps their number only.

    Example:
        >>> tokens = TokenGrid(size=(8, 4), count=6)
        >>> tokens.of((16, 12))
        (2, 3)
        >>> tokens.to_map(torch.arange(6.0).reshape(1, 6, 1), (16, 12)).tolist()
        [[[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]]]
    """

    size: tuple[int, ...]
    count: int
    grid: tuple[int, ...] | None = None

    def of(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """The grid of an image of the size ``spatial``; voxels beyond the last whole token belong to none.

        Raises:
            ValueError: if the image has another number of tokens, or another grid, than there are positions.
        """
        found = tuple(n // s for n, s in zip(spatial, self.size, strict=True))
        if math.prod(found) == self.count and self.grid in (None, found):
            return found
        made = f"{self.count} tokens" if self.grid is None else f"{_by(self.grid)} tokens"
        raise ValueError(
            f"the image must have {made} of {_by(self.size)} voxels, one for each position embedding; found "
            f"{_by(found)} in an image of {_by(spatial)}; build the network with this img_size, or crop to its own"
        )

    def to_map(self, tokens: Tensor, spatial: Sequence[int]) -> Tensor:
        """The map ``(B, C, *grid)`` of the tokens ``(B, N, C)`` of an image of the size ``spatial``."""
        return tokens.transpose(1, 2).unflatten(2, self.of(spatial))


def hidden_tokens(mask: Tensor, image: Tensor, size: Sequence[int]) -> Tensor:
    """Reads off a mask of voxels which tokens are hidden.

    Args:
        mask: ``(B, 1, *spatial)``, 1 = hidden, 0 = visible.
        image: ``(B, C, *spatial)``.
        size: voxels of a token along each axis.

    Returns:
        Booleans ``(B, *grid)``, true = hidden.

    Raises:
        ValueError: if the mask has another shape or other values, hides part of a token, or leaves a sample nothing
            to see; or the image is no whole number of tokens.

    Example:
        >>> mask = torch.zeros(1, 1, 4, 6)
        >>> mask[..., 2:, :3] = 1
        >>> hidden_tokens(mask, torch.rand(1, 2, 4, 6), (2, 3)).tolist()
        [[[False, False], [True, False]]]
    """
    mask, spatial = mask.as_subclass(Tensor), image.shape[2:]
    check_hidden(mask, image)
    if any(n % s for n, s in zip(spatial, size, strict=True)):
        raise ValueError(
            f"the image must be whole tokens of {_by(size)} voxels; found {_by(spatial)}; crop it to multiples of these"
        )
    hidden = mask[(slice(None), 0, *(slice(None, None, s) for s in size))]
    spread = hidden.unsqueeze(1)
    for axis, s in enumerate(size, start=2):
        spread = spread.repeat_interleave(s, axis)
    if not torch.equal(spread, mask):
        raise ValueError(
            f"the mask must hide whole tokens of {_by(size)} voxels; found tokens that are hidden in part; give "
            "RandBlockMaskd blocks that are multiples of these"
        )
    return hidden == 1


def to_voxels(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Spreads the features of each token over its voxels (a pixel shuffle with a factor for each axis).

    Args:
        maps: ``(B, C * prod(size), *grid)``; the features of a token are those of its first channel, the last axis
            running fastest, then those of its second.
        size: voxels of a token along each axis.

    Returns:
        ``(B, C, *spatial)`` with spatial = grid * size.

    Example:
        >>> to_voxels(torch.arange(4.0).reshape(1, 4, 1, 1), (2, 2)).tolist()
        [[[[0.0, 1.0], [2.0, 3.0]]]]
    """
    axes = len(size)
    split = maps.unflatten(1, (-1, *size))  # (B, C, *size, *grid)
    order = [axis for n in range(axes) for axis in (2 + axes + n, 2 + n)]
    spatial = [n * s for n, s in zip(maps.shape[2:], size, strict=True)]
    return split.permute(0, 1, *order).reshape(*split.shape[:2], *spatial)


def to_patches(image: Tensor, size: Sequence[int]) -> Tensor:
    """Cuts images into the voxels of their tokens: :func:`to_voxels` undone, with the tokens in a row.

    Args:
        image: ``(B, C, *spatial)``, a whole number of tokens.
        size: voxels of a token along each axis.

    Returns:
        ``(B, N, C * prod(size))``; the last axis of the grid runs fastest, and of the voxels of a token as in
        :func:`to_voxels`, which is the order of a convolution's weights.

    Example:
        >>> to_patches(torch.arange(8.0).reshape(1, 1, 2, 4), (2, 2)).tolist()
        [[[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]]
    """
    axes = len(size)
    split = image.reshape(
        *image.shape[:2], *(n for a, s in zip(image.shape[2:], size, strict=True) for n in (a // s, s))
    )
    grid, inside = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
    return split.permute(0, *grid, 1, *inside).flatten(1, axes).flatten(2)


def come_as_volumes(image: Tensor, spatial_dims: int, training: bool) -> bool:
    """Whether images are volumes that a network of two axes takes slice by slice.

    In training those of one slice only: views that were not folded into the batch have as many axes.
    """
    return spatial_dims == 2 and image.ndim == 5 and (image.shape[-1] == 1 or not training)


def as_slices(x: Tensor) -> Tensor:
    """The slices ``(B * Z, C, X, Y)`` of volumes ``(B, C, X, Y, Z)``."""
    return x.movedim(-1, 1).flatten(0, 1)


def as_volumes(slices: Tensor, batch: int) -> Tensor:
    """The volumes ``(batch, C, X, Y, Z)`` of slices ``(batch * Z, C, X, Y)``: :func:`as_slices` undone."""
    return slices.unflatten(0, (batch, -1)).movedim(1, -1)


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(str(int(n)) for n in sizes)
