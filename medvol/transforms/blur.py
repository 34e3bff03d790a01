"""Random isotropic blur, drawn for each view alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from .each_view import RandEachViewd

__all__ = ["RandPatchBlurd"]


class RandPatchBlurd(RandEachViewd):
    """Blur every view with a Gaussian of its own, against shortcuts by sharpness.

    How sharp a view is tells how far it was enlarged, and which scanner it comes from. Each view takes the Gaussian
    filter of ``scipy.ndimage.gaussian_filter`` with borders mirrored about the outermost voxels, equally wide on all
    axes, the same for all channels. Axes of size one stay as they are, so that depth one and two axes agree.

    A line of n voxels is filtered by one product with an n x n matrix, which for views of up to about 100 voxels is
    several times as fast on a CPU as sliding a kernel along it.

    Args:
        keys: views ``(V, C, *spatial)``; each image draws for itself.
        sigma: range of the standard deviation, voxels of the view.
        prob: probability that a view is blurred.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if the range is reversed, negative or not finite, ``prob`` is no probability, or an image has no
            view axis.

    Example:
        >>> blur = RandPatchBlurd("image", sigma=(1.0, 1.0), prob=1.0)
        >>> view = torch.zeros(1, 1, 5, 5)
        >>> view[..., 2, 2] = 1
        >>> round(float(blur({"image": view})["image"].max()), 3)
        0.159
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        sigma: Sequence[float] = (0.0, 1.0),
        prob: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, allow_missing_keys)
        if np.shape(sigma) != (2,) or not 0 <= sigma[0] <= sigma[1] < float("inf"):
            raise ValueError(
                f"sigma must be (lowest, highest), 0 or more; found {sigma}; it is counted in voxels, (0, 1) is usual"
            )
        self.sigma = tuple(sigma)
        self.drawn = np.zeros(0)  # (V,) standard deviation of each view, 0 where it is left alone

    def randomize(self, views: int, channels: int = 1) -> None:
        """Draw the standard deviation of each view.

        Args:
            views: number of views V.
            channels: not used; all channels of a view are changed alike.
        """
        low, high = self.sigma
        widths = np.full(views, low) if low == high else self.R.uniform(low, high, size=views)
        chosen = np.full(views, self.share >= 1) if self.share in (0, 1) else self.R.uniform(size=views) < self.share
        self.drawn = np.where(chosen, widths, 0.0)

    def change(self, view: Tensor, number: int) -> Tensor:
        """Return the blurred view ``(C, *spatial)``, or the view itself."""
        return _blurred(view, self.drawn[number]) if self.drawn[number] > 0 else view


def _blurred(view: Tensor, sigma: float) -> Tensor:
    """Filter a view ``(C, *spatial)`` along every axis longer than one."""
    # what the filter makes of every unit line: column i is where voxel i goes; most views have one length for all axes
    matrices = {
        size: torch.from_numpy(gaussian_filter1d(np.eye(size), sigma, axis=0, mode="mirror")).to(view.dtype)
        for size in set(view.shape[1:])
    }
    for axis in range(1, view.ndim):
        size = view.shape[axis]
        if size > 1:
            matrix = matrices[size]
            after = view.shape[axis + 1 :].numel()
            lines = view.reshape(-1, size, after)
            # one product of large matrices instead of one with every single line
            changed = lines[..., 0] @ matrix.T if after == 1 else torch.matmul(matrix, lines)
            view = changed.reshape(view.shape)
    return view
