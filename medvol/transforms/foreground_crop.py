"""One random crop around a voxel of the foreground."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data.meta_tensor import MetaTensor
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple, fall_back_tuple
from torch import Tensor

from .partial import CropOfParts, kept_in_chunks, with_whole

__all__ = ["RandForegroundCropd", "nth_voxel"]


class RandForegroundCropd(Randomizable, MapTransform):
    """Crop once around a random voxel of the foreground, as far as the volume allows; returns one sample, not a list.

    Every voxel of the foreground is as likely as every other one. In a volume without any, the crop lies anywhere.

    It can stand twice in a chain, for a volume and for its partner. Of arrays kept in chunks, as
    :class:`medvol.data.StreamDataset` gives them for large volumes, only the crop is read; the mask is read whole, and
    so is what stands under other keys, except a partner's (``partner_image`` and so on), which wait for a crop of
    their own.

    Args:
        keys: images ``(C, *spatial)``, of the mask's spatial shape.
        foreground_key: where the mask ``(1, *spatial)`` stands; a voxel other than 0 is foreground.
        spatial_size: voxels of the crop per axis, or one number; 0 or less is all of an axis.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: when called, if there is no mask, an image has another spatial shape, or the crop does not fit.

    Example:
        >>> sample = {"image": torch.rand(1, 6, 6, 6), "mask": torch.ones(1, 6, 6, 6)}
        >>> RandForegroundCropd("image", "mask", (2, 2, 2))(sample)["image"].shape
        torch.Size([1, 2, 2, 2])
    """

    reads_parts = True

    def __init__(
        self,
        keys: KeysCollection,
        foreground_key: Hashable,
        spatial_size: Sequence[int] | int,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if not all(isinstance(n, Integral) for n in ensure_tuple(spatial_size)):
            raise ValueError(
                f"spatial_size must be whole numbers of voxels; found {spatial_size!r}; 0 takes the whole axis"
            )
        self.foreground_key, self.spatial_size = foreground_key, spatial_size
        self.center: tuple[int, ...] = ()  # voxel drawn for the last sample

    def randomize(self, mask: np.ndarray) -> None:
        """Draw a voxel of a mask ``(*spatial)``."""
        count = np.count_nonzero(mask)
        n = int(self.R.randint(count or mask.size, dtype=np.int64))
        self.center = nth_voxel(mask, n) if count else tuple(int(i) for i in np.unravel_index(n, mask.shape))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with all images cut at the same drawn place."""
        d = with_whole(data, kept_in_chunks(data, self.keys, whole=self.foreground_key))
        mask = self._mask(d)
        size = self._size(mask.shape)
        for key in self.key_iterator(d):
            self._check(key, d[key], mask.shape)
        self.randomize(mask)
        ranges = zip(self.center, size, mask.shape, strict=True)
        starts = [min(max(middle - side // 2, 0), length - side) for middle, side, length in ranges]
        window = tuple(slice(start, start + side) for start, side in zip(starts, size, strict=True))
        for key in self.key_iterator(d):
            # Only what has metadata needs MONAI's crop, which takes longer than all else in a small volume.
            image = d[key]
            d[key] = CropOfParts()(image, window) if isinstance(image, MetaTensor) else image[(slice(None), *window)]
        return d

    def _mask(self, d: Mapping[Hashable, Any]) -> np.ndarray:
        """Return the foreground ``(*spatial)``, boolean."""
        if self.foreground_key not in d:
            raise ValueError(
                f"the mask of the foreground must stand under {self.foreground_key!r}; found {', '.join(map(str, d))}; "
                f"make it with ForegroundMaskd(new_key={self.foreground_key!r})"
            )
        value = d[self.foreground_key]
        mask = (
            value.detach().as_subclass(Tensor)
            if isinstance(value, Tensor)
            else torch.from_numpy(np.asarray(value) != 0)
        )
        if mask.ndim < 2 or not mask.numel():
            raise ValueError(
                f"the mask of the foreground must be (1, *spatial) with voxels; found the shape {tuple(mask.shape)} "
                f"under {self.foreground_key!r}; add the channel axis, or drop this case from the manifest"
            )
        mask = mask if mask.dtype is torch.bool else mask != 0
        return (mask[0] if len(mask) == 1 else mask.any(dim=0)).cpu().numpy()

    def _check(self, key: Hashable, image: Any, shape: tuple[int, ...]) -> None:
        found = tuple(getattr(image, "shape", ()))[1:]
        if found != shape:
            raise ValueError(
                f"{key!r} must have the spatial shape of the mask under {self.foreground_key!r}, {shape}; found "
                f"{found}; load it, and resample and pad both together"
            )

    def _size(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the voxels of the crop along each axis."""
        given = self.spatial_size
        if isinstance(given, Sequence) and len(given) != len(shape):
            raise ValueError(
                f"spatial_size must be one number, or one for each axis of the volume; found {given!r} for the spatial "
                f"shape {shape}; give {len(shape)}"
            )
        size = fall_back_tuple(given, shape)
        if any(side > length for side, length in zip(size, shape, strict=True)):
            raise ValueError(
                f"spatial_size must fit into the volume; found a crop of {tuple(size)} voxels in {shape}; pad first "
                "with SpatialPadd, or choose a smaller crop"
            )
        return size


def nth_voxel(mask: np.ndarray, n: int) -> tuple[int, ...]:
    """Return the place of a voxel that is not 0, the n-th in raster order.

    Voxels are counted slab by slab, then line by line in one slab, so that no list of all of them is made.

    Args:
        mask: ``(*spatial)``; counting is fastest in booleans.
        n: below the number of voxels that are not 0.

    Example:
        >>> nth_voxel(np.array([[0, 1, 0], [1, 0, 1]]), 2)
        (1, 2)
    """
    place = []
    while mask.ndim:
        counts = np.cumsum([np.count_nonzero(part) for part in mask])
        place.append(int(np.searchsorted(counts, n, side="right")))
        n -= int(counts[place[-1] - 1]) if place[-1] else 0
        mask = mask[place[-1]]
    return tuple(place)
