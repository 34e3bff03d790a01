"""Random crops that read only what they cut from a volume kept in chunks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import (
    Crop,
    RandCropByPosNegLabel,
    RandCropByPosNegLabeld,
    RandSpatialCrop,
    RandSpatialCropd,
    SpatialCrop,
)
from monai.utils import fall_back_tuple

__all__ = ["CropOfParts", "RandReadCropByPosNegLabeld", "RandReadCropd", "is_chunked", "kept_in_chunks", "with_whole"]

_PARTNER = "partner_"  # how the keys of another patient's images begin


def is_chunked(value: Any) -> bool:
    """Say whether a value is an array that reads parts: it has ``whole()`` and takes slices.

    Example:
        >>> is_chunked(torch.ones(1))
        False
    """
    return hasattr(value, "whole") and hasattr(value, "__getitem__")


def with_whole(data: Mapping[Hashable, Any], parts: Sequence[Hashable] = ()) -> dict[Hashable, Any]:
    """Return the sample with every chunked array read whole, except under some keys.

    Args:
        data: sample.
        parts: keys whose arrays stay as they are.

    Example:
        >>> with_whole({"patient": 3})
        {'patient': 3}
    """
    return {key: v.whole() if is_chunked(v) and key not in parts else v for key, v in data.items()}


def kept_in_chunks(
    data: Mapping[Hashable, Any], keys: Sequence[Hashable], whole: Hashable | None = None
) -> list[Hashable]:
    """Return the keys that may stay in chunks: those that are cut now, and those of a partner, which are cut later.

    Args:
        data: sample.
        keys: of the images that are cut now.
        whole: key of an image that must be read in any case.

    Example:
        >>> kept_in_chunks({"image": 0, "mask": 0, "partner_image": 0, "partner_mask": 0}, ["image"], "partner_mask")
        ['image', 'partner_image']
    """
    waiting = [key for key in data if isinstance(key, str) and key.startswith(_PARTNER)]
    return [key for key in dict.fromkeys([*keys, *waiting]) if key != whole]


class CropOfParts(Crop):
    """MONAI's crop that lets a chunked array do the slicing, and then has nothing left to cut.

    Example:
        >>> CropOfParts()(torch.rand(1, 4, 4), (slice(1, 3), slice(0, 3))).shape
        torch.Size([1, 2, 3])
    """

    def __call__(self, img: Any, slices: tuple[slice, ...], lazy: bool | None = None) -> torch.Tensor:  # type: ignore[override]
        """Return the part of an image ``(C, *spatial)`` inside slices, one for each spatial axis."""
        if is_chunked(img):
            img, slices = img[(slice(None), *slices[: img.ndim - 1])], (slice(None),) * (img.ndim - 1)
        return super().__call__(img=img, slices=slices, lazy=lazy)


class _RandReadCrop(RandSpatialCrop, CropOfParts):
    """``RandSpatialCrop``, whose last step, cutting, goes through ``CropOfParts``."""


class _RandReadCropByPosNegLabel(RandCropByPosNegLabel):
    """``RandCropByPosNegLabel`` that cuts a chunked image at the centers it has drawn."""

    def __call__(self, img: Any, *args: Any, **options: Any) -> list[torch.Tensor]:
        if not is_chunked(img):
            return super().__call__(img, *args, **options)
        size = fall_back_tuple(self.spatial_size, default=img.shape[1:])
        windows = [SpatialCrop(roi_center=center, roi_size=size).slices for center in self.centers or ()]
        return [CropOfParts()(img, window) for window in windows]


class RandReadCropd(RandSpatialCropd):
    """MONAI's ``RandSpatialCropd`` that reads only the crop where an image is kept in chunks.

    It draws the very same crops, and cuts the same values. Of a tensor the crop is MONAI's own in every respect; of a
    chunked array, as :class:`medvol.data.StreamDataset` gives it for large volumes, the place of the crop is not in the
    metadata. It must be the first random transform. Chunked arrays under other keys are read whole, except a partner's
    (``partner_image`` and so on), which wait for a crop of their own. All images under ``keys`` have one spatial shape.

    Args:
        keys: images ``(C, *spatial)``.
        roi_size: voxels of the crop per axis, or of the smallest with ``random_size``.
        max_roi_size: voxels of the largest crop with ``random_size``; None for the image's.
        random_center: False cuts from the middle.
        random_size: draw the size, too.
        allow_missing_keys: skip absent images instead of failing.
        lazy: as in MONAI; reads whole arrays.

    Raises:
        ValueError: as in MONAI.

    Example:
        >>> crop = RandReadCropd("image", roi_size=(2, 2, 2)).set_random_state(0)
        >>> same = RandSpatialCropd("image", roi_size=(2, 2, 2)).set_random_state(0)
        >>> volume = torch.rand(1, 6, 6, 6)
        >>> torch.equal(crop({"image": volume})["image"], same({"image": volume})["image"])
        True
    """

    reads_parts = True

    def __init__(
        self,
        keys: KeysCollection,
        roi_size: Sequence[int] | int,
        max_roi_size: Sequence[int] | int | None = None,
        random_center: bool = True,
        random_size: bool = False,
        allow_missing_keys: bool = False,
        lazy: bool = False,
    ) -> None:
        super().__init__(keys, roi_size, max_roi_size, random_center, random_size, allow_missing_keys, lazy)
        self.cropper = _RandReadCrop(roi_size, max_roi_size, random_center, random_size, lazy=lazy)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Return the sample with each image cut at the same drawn place."""
        lazily = self.lazy if lazy is None else lazy
        return super().__call__(with_whole(data, () if lazily else kept_in_chunks(data, self.keys)), lazy)


class RandReadCropByPosNegLabeld(RandCropByPosNegLabeld):
    """MONAI's ``RandCropByPosNegLabeld`` that reads only the crops where an image is kept in chunks.

    It draws the very same crops, and cuts the same values; see :class:`RandReadCropd` for what differs. All chunked
    arrays under other keys are read whole; so are the label, and the image of ``image_key`` if there is one, because a
    center is drawn among all their voxels.

    Args:
        keys: images ``(C, *spatial)``.
        label_key: where the label ``(C, *spatial)`` stands; a voxel other than 0 is foreground.
        spatial_size: voxels of the crop per axis.
        pos: weight of centers in the foreground.
        neg: weight of centers in the background.
        num_samples: crops of one sample.
        image_key: image that limits the background to where it is above ``image_threshold``.
        image_threshold: see ``image_key``.
        fg_indices_key: where indices of the foreground stand, if they were found before.
        bg_indices_key: where indices of the background stand.
        allow_smaller: crop less on an axis that is shorter than the crop.
        allow_missing_keys: skip absent images instead of failing.
        lazy: as in MONAI; reads whole arrays.

    Returns:
        A list of ``num_samples`` samples.

    Raises:
        ValueError: as in MONAI: negative weights, no voxel to choose, or an image smaller than the crop.

    Example:
        >>> sample = {"image": torch.rand(1, 6, 6, 6), "label": torch.ones(1, 6, 6, 6)}
        >>> sample["label"][:, :3] = 0
        >>> crop = RandReadCropByPosNegLabeld(["image", "label"], "label", (2, 2, 2), num_samples=2)
        >>> [one["image"].shape for one in crop(sample)]
        [torch.Size([1, 2, 2, 2]), torch.Size([1, 2, 2, 2])]
    """

    reads_parts = True

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        spatial_size: Sequence[int] | int,
        pos: float = 1.0,
        neg: float = 1.0,
        num_samples: int = 1,
        image_key: str | None = None,
        image_threshold: float = 0.0,
        fg_indices_key: str | None = None,
        bg_indices_key: str | None = None,
        allow_smaller: bool = False,
        allow_missing_keys: bool = False,
        lazy: bool = False,
    ) -> None:
        weights = {"pos": pos, "neg": neg, "num_samples": num_samples}
        limits = {"image_threshold": image_threshold, "allow_smaller": allow_smaller, "lazy": lazy}
        indices = {"fg_indices_key": fg_indices_key, "bg_indices_key": bg_indices_key}
        super().__init__(
            keys,
            label_key,
            spatial_size,
            image_key=image_key,
            allow_missing_keys=allow_missing_keys,
            **weights,
            **limits,
            **indices,
        )
        self.cropper = _RandReadCropByPosNegLabel(spatial_size, **weights, **limits)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> list[dict[Hashable, Any]]:
        """Return the samples, each with all images cut at the same drawn place."""
        lazily = self.lazy if lazy is None else lazy
        parts = set() if lazily else set(self.keys) - {self.label_key, self.image_key}
        return super().__call__(with_whole(data, tuple(parts)), lazy)
