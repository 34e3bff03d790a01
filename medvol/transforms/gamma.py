"""Random gamma correction, drawn for each view alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from torch import Tensor

from .each_view import RandEachViewd

__all__ = ["RandPatchGammad"]


class RandPatchGammad(RandEachViewd):
    """Raise the intensities of every view and channel, 0 to 1 over their range, to a power of their own.

    Views of one patient share their histogram, which matches them without a look at the anatomy; an affine change of
    the intensities leaves its form, and a z-score undoes it. ``lowest + range * ((x - lowest) / range) ** gamma``
    changes the form and keeps the range, as in the augmentation of nnU-Net (Isensee et al. 2021,
    https://doi.org/10.1038/s41592-020-01008-z).

    MONAI's ``RandAdjustContrastd`` draws one power for an image; here it would be the same for all views.

    Args:
        keys: views ``(V, C, *spatial)``; each image draws for itself.
        gamma: range of the power, drawn log-uniformly.
        prob: probability that a view is changed, all of its channels together.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if the range is reversed, not positive or not finite, ``prob`` is no probability, or an image has no
            view axis.

    Example:
        >>> gamma = RandPatchGammad("image", gamma=(2.0, 2.0), prob=1.0)
        >>> gamma({"image": torch.tensor([[[0.0, 2.0, 4.0]]])})["image"]
        tensor([[[0., 1., 4.]]])
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        gamma: Sequence[float] = (0.7, 1.5),
        prob: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, allow_missing_keys)
        if np.shape(gamma) != (2,) or not 0 < gamma[0] <= gamma[1] < float("inf"):
            raise ValueError(f"gamma must be (lowest, highest), above 0; found {gamma}; (0.7, 1.5) is usual")
        self.gamma = tuple(gamma)
        self.drawn = np.zeros((0, 0))  # (V, C) power of each view and channel, 1 where it is left alone

    def randomize(self, views: int, channels: int) -> None:
        """Draw the power of each view and channel.

        Args:
            views: number of views V.
            channels: number of channels C.
        """
        powers = np.exp(self.R.uniform(*np.log(self.gamma), size=(views, channels)))
        self.drawn = np.where(self.R.uniform(size=(views, 1)) < self.share, powers, 1.0)

    def change(self, view: Tensor, number: int) -> Tensor:
        """Return the view ``(C, *spatial)`` with its powers, or the view itself."""
        powers = self.drawn[number]
        return _powered(view, torch.from_numpy(powers)) if (powers != 1).any() else view


def _powered(view: Tensor, powers: Tensor) -> Tensor:
    """Raise each channel of a view ``(C, *spatial)``, 0 to 1 over its range, to its power ``(C,)``."""
    x = view.flatten(1)
    lowest = x.amin(dim=1, keepdim=True)
    extent = x.amax(dim=1, keepdim=True) - lowest
    unit = (x - lowest).div_(torch.where(extent > 0, extent, torch.ones_like(extent)))  # a constant channel stays
    # half the time of a power; the logarithm of 0 is minus infinity, which the exponential makes 0 again
    unit.log_().mul_(powers[:, None].to(x.dtype)).exp_()
    return unit.mul_(extent).add_(lowest).reshape(view.shape)
