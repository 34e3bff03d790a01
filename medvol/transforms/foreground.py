"""Foreground of skull-stripped volumes: the mask, and where a crop may lie."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

__all__ = ["ForegroundMaskd", "crop_range"]


class ForegroundMaskd(MapTransform):
    """Add the mask of voxels where any channel of any of the images is not zero.

    In skull-stripped data the background is exactly zero in every modality, so the mask is taken before intensities are
    normalized. MONAI's transform of this name is made for histology: it thresholds red, green and blue, with dark
    tissue on a bright background, and cannot say "not zero".

    Args:
        keys: images ``(C, *spatial)`` of one spatial shape.
        new_key: where the mask ``(1, *spatial)``, boolean, is stored.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if ``new_key`` is one of the images, or the images differ in shape.

    Example:
        >>> sample = ForegroundMaskd("image", "mask")({"image": torch.tensor([[0.0, 1.0], [0.0, 0.0]])})
        >>> sample["mask"]
        tensor([[False,  True]])
    """

    def __init__(self, keys: KeysCollection, new_key: Hashable = "mask", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if new_key in self.keys:
            raise ValueError(f"expected a new_key that is no image, found {new_key!r}; choose another name")
        self.new_key = new_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with the mask added."""
        d = dict(data)
        mask: Tensor | None = None
        for key in self.key_iterator(d):
            image = torch.as_tensor(d[key]).as_subclass(Tensor)
            found = (image != 0).any(dim=0, keepdim=True)
            if mask is not None and mask.shape != found.shape:
                raise ValueError(
                    f"expected images of the spatial shape {tuple(mask.shape[1:])}, found {tuple(found.shape[1:])} "
                    f"under {key!r}; resample them to one grid first"
                )
            mask = found if mask is None else mask | found
        if mask is not None:
            d[self.new_key] = mask
        return d


def crop_range(mask: np.ndarray, crop: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Say where a crop may start to lie inside the bounding box of a mask, or to cover the box where it is smaller.

    Args:
        mask: boolean ``(*spatial)``.
        crop: size of the crop, not larger than the volume.

    Returns:
        First and last allowed start, both inclusive, voxels.

    Raises:
        ValueError: if the mask is empty.

    Example:
        >>> crop_range(np.array([False, True, True, True, True, False]), (2,))
        ((1,), (3,))
    """
    if not mask.any():
        raise ValueError(
            f"expected foreground in the mask of shape {mask.shape}, found none; drop this case from the manifest or "
            "correct its mask"
        )
    low, high = [], []
    for axis, size in enumerate(crop):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        ends = sorted((int(line[0]), int(line[-1]) + 1 - size))
        low.append(max(ends[0], 0))
        high.append(min(ends[1], mask.shape[axis] - size))
    return tuple(low), tuple(high)
