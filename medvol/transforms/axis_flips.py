"""Mirroring along random axes, the image and what is to be restored alike."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from numbers import Integral
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Flip, MapTransform, RandomizableTransform
from torch import Tensor

from .distortion import as_image, check_count, check_probability
from .partial import with_whole

__all__ = ["RandAxisFlipsd"]


class RandAxisFlipsd(RandomizableTransform, MapTransform):
    """Mirror images along axes drawn one after another, up to three.

    The augmentation of Models Genesis (Zhou et al. 2021, https://arxiv.org/abs/2004.07882): with probability ``prob``
    an axis is drawn and mirrored, with the same probability another, and so on up to ``most``; the same axis twice
    leaves things as they were. It is no task: image and label are mirrored alike, so put both among the keys, or copy
    the label afterwards.

    Axes are spatial, the channels never count, and the last axis is as likely as the first. A slice draws among three
    axes, too: ``(C, X, Y)`` and ``(C, X, Y, 1)`` with the same seed give the same. Left and right are swapped by
    axis 0 of a volume in RAS orientation; leave it out of ``spatial_axes`` if side matters.

    The record ``pretext`` is left alone, because it tells what there is to restore.

    Args:
        keys: images ``(C, *spatial)``, two or three axes, all mirrored alike.
        prob: probability of every further axis.
        most: largest number of draws.
        spatial_axes: axes to draw from, 0 for the first after the channels.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if an option is out of range; when called, if an image has other axes.

    Example:
        >>> flip = RandAxisFlipsd(["image", "label"], prob=1, most=1, spatial_axes=(1,))
        >>> sample = flip({"image": torch.tensor([[[1, 2]]]), "label": torch.tensor([[[3, 4]]])})
        >>> sample["image"].tolist(), sample["label"].tolist()
        ([[[2, 1]]], [[[4, 3]]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.4,
        most: int = 3,
        spatial_axes: Sequence[int] = (0, 1, 2),
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=check_probability("prob", prob))
        self.most = check_count("most", most)
        try:
            axes = tuple(spatial_axes)
        except TypeError:
            axes = ()
        if not axes or not all(map(_is_axis, axes)):
            raise ValueError(
                f"spatial_axes must list axes out of 0, 1 and 2, the first after the channels being 0; found "
                f"{spatial_axes!r}; (0, 1, 2) is usual"
            )
        self.spatial_axes = tuple(map(int, axes))
        self.axes: tuple[int, ...] = ()  # mirrored in the last sample, in order

    def randomize(self, data: Any = None) -> None:
        """Draw the axes that are mirrored in the end."""
        flipped: set[int] = set()
        for _ in range(self.most):
            if self.R.uniform() >= self.prob:
                break
            flipped ^= {self.spatial_axes[self.R.randint(len(self.spatial_axes))]}
        self.axes = tuple(sorted(flipped))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with mirrored images."""
        d = with_whole(data)
        self.randomize()
        for key in self.key_iterator(d):
            d[key] = self._mirrored(d[key], as_image(d[key], key))
        return d

    def _mirrored(self, value: Any, image: Tensor) -> Any:
        axes = [axis for axis in self.axes if axis < image.ndim - 1 and image.shape[axis + 1] > 1]
        if not axes:
            return value
        # MONAI's own transform also mirrors what the metadata say of the orientation.
        return Flip(axes)(value) if isinstance(value, MetaTensor) else torch.flip(image, [axis + 1 for axis in axes])


def _is_axis(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 <= value <= 2
