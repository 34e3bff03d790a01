"""What random changes of single views have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

__all__ = ["RandEachViewd", "views_of"]


class RandEachViewd(RandomizableTransform, MapTransform):
    """Change every view of a sample by a draw of its own; MONAI's transforms would draw once for all of them.

    A transform of this kind says what it draws (:meth:`randomize`) and what one view becomes (:meth:`change`).

    Args:
        keys: views ``(V, C, *spatial)``; each image draws for itself.
        prob: probability that a view is changed, for :meth:`randomize` to heed.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if ``prob`` is no probability, or an image has no view axis.

    Example:
        >>> class Negatived(RandEachViewd):
        ...     def randomize(self, views, channels):
        ...         self.chosen = self.R.uniform(size=views) < self.share
        ...
        ...     def change(self, view, number):
        ...         return -view if self.chosen[number] else view
        >>> Negatived("image", prob=1.0)({"image": torch.ones(1, 1, 2)})["image"]
        tensor([[[-1., -1.]]])
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.5, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)  # of the sample; that of a view is below
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must be between 0 and 1; found {prob}; it is a probability, 0 changes nothing")
        self.share = float(prob)

    @abstractmethod
    def randomize(self, views: int, channels: int) -> None:
        """Draw for every view.

        Args:
            views: number of views V.
            channels: number of channels C.
        """

    @abstractmethod
    def change(self, view: Tensor, number: int) -> Tensor:
        """Return what a view becomes, in a tensor of its own or untouched.

        Args:
            view: floating point, ``(C, *spatial)``.
            number: which of the V views it is.
        """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with changed views."""
        d = dict(data)
        for key in self.key_iterator(d):
            image = views_of(d, key)
            self.randomize(*image.shape[:2])
            d[key] = torch.stack([self.change(view, number) for number, view in enumerate(image)])
        return d


def views_of(data: Mapping[Hashable, Any], key: Hashable) -> Tensor:
    """Return the views or patches of a sample as a plain tensor of floating-point numbers.

    Args:
        data: the sample.
        key: where they stand, ``(V, C, *spatial)``.

    Raises:
        ValueError: there is no view axis.

    Example:
        >>> views_of({"image": torch.ones(2, 1, 4, 4, dtype=torch.uint8)}, "image").dtype
        torch.float32
    """
    image = torch.as_tensor(data[key]).as_subclass(Tensor)
    if image.ndim < 3:
        raise ValueError(
            f"views must be (V, C, *spatial) under {key!r}; found the shape {tuple(image.shape)}; cut them with "
            "RandViewsd or RandPatchGridd first"
        )
    return image if image.is_floating_point() else image.float()
