"""What must hold of a mask that hides voxels, whoever takes it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_binary", "check_hidden", "check_seen"]


def check_hidden(mask: Tensor, image: Tensor) -> None:
    """Refuse masks that do not say of every voxel of an image whether it is hidden.

    Args:
        mask: hidden voxels, ``(B, 1, *spatial)``, 1 = hidden, 0 = visible; any type.
        image: ``(B, C, *spatial)``.

    Raises:
        ValueError: if the mask has another shape or other values, or hides a sample altogether.

    Example:
        >>> check_hidden(torch.eye(4).reshape(1, 1, 4, 4), torch.zeros(1, 3, 4, 4))
    """
    want = (image.shape[0], 1, *image.shape[2:])
    if tuple(mask.shape) != want:
        raise ValueError(
            f"mask must have the shape {want}, one value per voxel; found {tuple(mask.shape)}; draw it from the image "
            "that the network gets, by medvol.transforms.RandBlockMaskd"
        )
    check_binary(mask, "1 (hidden) or 0 (visible)")
    check_seen(mask == 0)


def check_binary(mask: Tensor, words: str) -> None:
    """Refuse masks with other values than 0 and 1; booleans are not looked at.

    Args:
        mask: of any shape and type.
        words: what the two values mean.

    Raises:
        ValueError: if there is another value.

    Example:
        >>> check_binary(torch.eye(2), "1 (hidden) or 0 (visible)")
    """
    if mask.dtype == torch.bool:
        return
    known = (mask == 0) | (mask == 1)
    if not known.all():
        raise ValueError(
            f"mask must be {words} in every voxel; found {mask[~known].flatten()[0].item():g}; leave it out of "
            "resampling and of intensity transforms"
        )


def check_seen(visible: Tensor) -> None:
    """Refuse masks that leave nothing to see of a sample.

    Args:
        visible: booleans ``(B, 1, *spatial)``, true = visible.

    Raises:
        ValueError: if there is such a sample; the message names its place in the batch.

    Example:
        >>> check_seen(torch.eye(2, dtype=torch.bool).reshape(2, 1, 2))
    """
    empty = (~visible.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"mask must leave a visible voxel in every sample; found none in {empty}; lower the ratio of hidden blocks"
        )
