"""Volume fusion: two volumes mixed box by box, and the share of each as a segmentation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import ensure_tuple
from torch import Tensor

from .distortion import check_finite
from .partial import with_whole

__all__ = ["RandVolumeFusiond"]

_MOST = 255  # classes, which are stored in one byte


class RandVolumeFusiond(RandomizableTransform, MapTransform):
    """Mix an image with that of another patient in random boxes, and ask which share each voxel has of it.

    Wang et al. 2023, VolumeFusion (https://arxiv.org/abs/2306.16925, section 2.2): ``X = a F + (1 - a) B`` with
    ``a = c / K``. The foreground F is the sample's own image, the background B its partner's. The fusion map c is 0
    everywhere at first: the partner alone. Then M boxes, U{10..40}, are laid one over another, each with a class c of
    U{0..K}; where they overlap, the last one counts. Class K is the own image alone. A side of a box is U{8..0.625 S}
    voxels of the S along its axis, and the box lies inside. Where 0.625 S is less than 8, every side is the largest
    one allowed, ``floor(0.625 S)`` and at least 1. An axis of depth one takes no draw, so that a slice as
    ``(C, X, Y, 1)`` and as ``(C, X, Y)`` is fused alike.

    The classes, K + 1 of them, are what a network is to tell of every voxel. Cut both images to one shape before,
    each at a place of its own, and change intensities after, so that both images of the mixture change alike. The
    result lies on the device of the own image, wherever the partner's is.

    Args:
        keys: images ``(C, *spatial)``, all fused in the same boxes.
        partner_key: where the other patient's images stand, as many as ``keys``; they leave the sample.
            :class:`medvol.data.StreamDataset` puts them there if it is asked for a ``partner``.
        classes: K, the highest class, 1 to 255; the network has K + 1 outputs.
        boxes: least and largest number of boxes, both included.
        side: least side of a box in voxels, and the largest as a share of the axis.
        label_key: where the fusion map ``(1, *spatial)``, uint8, is stored.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if a setting is out of range; when called, if the partner is missing or its shape differs.

    Example:
        >>> sample = {"image": torch.ones(1, 16, 16, 16), "partner_image": torch.zeros(1, 16, 16, 16)}
        >>> fused = RandVolumeFusiond("image").set_random_state(0)(sample)
        >>> torch.equal(fused["image"] * 4, fused["label"].float()), sorted(fused)
        (True, ['image', 'label', 'pretext'])
    """

    def __init__(
        self,
        keys: KeysCollection,
        partner_key: KeysCollection = "partner_image",
        classes: int = 4,
        boxes: Sequence[int] = (10, 40),
        side: Sequence[float] = (8, 0.625),
        label_key: Hashable = "label",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.partner_keys = ensure_tuple(partner_key)
        if len(self.partner_keys) != len(self.keys):
            raise ValueError(
                f"partner_key must name one image for each of the {len(self.keys)} keys; found "
                f"{len(self.partner_keys)}; give as many"
            )
        if not _is_count(classes) or not 1 <= classes <= _MOST:
            raise ValueError(f"classes must be a whole number from 1 to {_MOST}; found {classes!r}; 4 is usual")
        if not _are_two(boxes) or not all(map(_is_count, boxes)) or not 1 <= boxes[0] <= boxes[1]:
            raise ValueError(
                f"boxes must be two whole numbers, the least of 1 or more and the largest; found {boxes!r}; "
                "(10, 40) is usual"
            )
        if not _are_two(side) or not _is_count(side[0]) or side[0] < 1 or not 0 < side[1] <= 1:
            raise ValueError(
                "side must be a whole number of voxels, 1 or more, and a share of the axis in (0, 1]; found "
                f"{side!r}; (8, 0.625) is usual"
            )
        self.classes, self.boxes, self.side, self.label_key = classes, tuple(boxes), tuple(side), label_key
        self.start = self.stop = np.zeros((0, 0), dtype=int)  # (M, axes), voxels
        self.drawn = np.zeros(0, dtype=int)  # (M,) class of each box

    def randomize(self, shape: Sequence[int]) -> None:
        """Draw boxes in an image of the spatial shape ``shape``, voxels, and their classes."""
        count = self.R.randint(self.boxes[0], self.boxes[1] + 1)
        self.drawn = self.R.randint(0, self.classes + 1, size=count)
        self.start = np.zeros((count, len(shape)), dtype=int)
        self.stop = np.ones((count, len(shape)), dtype=int)
        for axis, size in enumerate(shape):
            if size == 1:
                continue
            largest = max(1, int(self.side[1] * size))
            sides = self.R.randint(min(self.side[0], largest), largest + 1, size=count)
            self.start[:, axis] = self.R.randint(0, size - sides + 1)
            self.stop[:, axis] = self.start[:, axis] + sides

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with fused images, the fusion map as its label, and without the partner's images."""
        d = with_whole(data)
        pairs = {key: self._pair(d, key, other) for key, other in self.key_iterator(d, self.partner_keys)}
        shapes = {tuple(own.shape[1:]) for own, _ in pairs.values()}
        if len(shapes) > 1:
            raise ValueError(
                f"images that are fused together must have one spatial shape; found {sorted(shapes)}; cut them alike"
            )
        for shape in shapes:
            self.randomize(shape)
            device = next(iter(pairs.values()))[0].device
            fusion_map = torch.as_tensor(self._map(shape)).to(device)
            for key, (own, partner) in pairs.items():
                share = fusion_map.to(own.device, own.dtype) / self.classes
                d[key] = share * own + (1 - share) * partner
            d[self.label_key] = fusion_map[None]
            drawn = zip(self.start.tolist(), self.stop.tolist(), self.drawn.tolist(), strict=True)
            d["pretext"] = {**d.get("pretext", {}), "fusion": [list(box) for box in drawn]}
        for key in self.partner_keys:
            d.pop(key, None)
        return d

    def _map(self, shape: Sequence[int]) -> np.ndarray:
        """Return the class of each voxel ``(*spatial)``."""
        fusion_map = np.zeros(shape, dtype=np.uint8)
        for start, stop, number in zip(self.start, self.stop, self.drawn, strict=True):
            fusion_map[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = number
        return fusion_map

    def _pair(self, d: Mapping[Hashable, Any], key: Hashable, other: Hashable) -> tuple[Tensor, Tensor]:
        """Return an image and its partner's."""
        if other not in d:
            raise ValueError(
                f"the image of another patient must stand under {other!r}; found {', '.join(map(str, d))}; give the "
                'data set (StreamDataset) partner="patient"'
            )
        own, partner = (torch.as_tensor(d[name]).as_subclass(Tensor) for name in (key, other))
        if own.ndim < 2 or own.shape != partner.shape:
            raise ValueError(
                f"{key!r} and {other!r} must be images (C, *spatial) of one shape; found {tuple(own.shape)} and "
                f"{tuple(partner.shape)}; pad and cut both to one size before RandVolumeFusiond"
            )
        for name, image in ((key, own), (other, partner)):
            check_finite(image, name, "set them to 0 before this transform: what is mixed with them is lost")
        return tuple(image if image.is_floating_point() else image.float() for image in (own, partner.to(own.device)))


def _are_two(values: Any) -> bool:
    return isinstance(values, Sequence) and len(values) == 2 and all(isinstance(value, Real) for value in values)


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
