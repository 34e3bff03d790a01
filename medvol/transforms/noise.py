"""Random white noise, drawn for each view alone."""

from __future__ import annotations

import numpy as np
import torch
from monai.config import KeysCollection
from torch import Tensor

from .centering import centered
from .each_view import RandEachViewd

__all__ = ["RandPatchNoised"]


class RandPatchNoised(RandEachViewd):
    """Add white Gaussian noise of a strength of its own to every view.

    Two views of one place share the noise of the scan, voxel by voxel, and a network that learns it has matched them
    without any anatomy. The strength is counted in standard deviations of the view and channel, so that it means the
    same in raw and in normalized intensities; a constant channel stays as it is.

    MONAI's ``RandGaussianNoised`` draws one strength for an image; here it would be the same for all views.

    Args:
        keys: views ``(V, C, *spatial)``; each image draws for itself.
        strength: largest standard deviation of the noise, in standard deviations of the view and channel; that of a
            view is drawn uniformly between 0 and this.
        prob: probability that a view is changed.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if ``strength`` is negative or not finite, ``prob`` is no probability, or an image has no view axis.

    Example:
        >>> noisy = RandPatchNoised("image", prob=1.0).set_random_state(0)({"image": torch.eye(8)[None, None]})["image"]
        >>> noisy.shape, bool((noisy != torch.eye(8)).all()), bool((noisy - torch.eye(8)).abs().max() < 0.2)
        (torch.Size([1, 1, 8, 8]), True, True)
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        strength: float = 0.1,
        prob: float = 0.25,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, allow_missing_keys)
        if not 0 <= strength < float("inf"):
            raise ValueError(f"strength must be 0 or more; found {strength}; 0.1 of a view's deviation is usual")
        self.strength = float(strength)
        self.drawn = np.zeros(0)  # (V,) strength of each view, 0 where it is left alone
        self._seeds = np.zeros(0, dtype=np.int64)

    def randomize(self, views: int, channels: int = 1) -> None:
        """Draw the strength of each view and the seed of its noise.

        Args:
            views: number of views V.
            channels: not used; all channels of a view are changed alike.
        """
        strengths = self.R.uniform(0.0, self.strength, size=views)
        self.drawn = np.where(self.R.uniform(size=views) < self.share, strengths, 0.0)
        self._seeds = self.R.randint(2**62, size=views, dtype=np.int64)

    def change(self, view: Tensor, number: int) -> Tensor:
        """Return the noisy view ``(C, *spatial)``, or the view itself."""
        strength = self.drawn[number]
        return _noisy(view, strength, int(self._seeds[number])) if strength > 0 else view


def _noisy(view: Tensor, strength: float, seed: int) -> Tensor:
    """Add noise to a view ``(C, *spatial)``, ``strength`` in deviations of each channel."""
    # self.R makes float64 numbers by an older method, at three times the time
    noise = np.random.Generator(np.random.SFC64(seed)).standard_normal(view.numel(), dtype=np.float32)
    x = view.flatten(1)
    deviation = centered(x)[1]
    scaled = torch.from_numpy(noise).to(view.dtype).reshape(x.shape).mul_(deviation * strength)
    return scaled.add_(x).reshape(view.shape)
