"""A volume as a grid of patches that share no voxel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from .foreground import crop_range
from .grids import PatchLayout, cell_layout, cut_patches, per_axis, stride_layout
from .partial import is_chunked, with_whole

__all__ = ["RandPatchGridd"]

_TRIES = 10  # draws of a crop before the one with the most foreground is kept


class RandPatchGridd(RandomizableTransform, MapTransform):
    """Cut a random crop into a grid of cells and take one patch at a random place of each.

    The input of contrastive predictive coding, relative location and jigsaw (Taleb et al. 2020,
    https://arxiv.org/abs/2006.03829, section 3; Doersch et al. 2015, https://arxiv.org/abs/1505.05192). The paper
    moves patches by up to 3 voxels and lets neighbors touch, and its code re-pads with zeros. Here neighbors are
    always ``min_gap`` apart, so that no edge runs from one patch into the next, and nothing is ever padded: one voxel
    of padding gives every position away.

    An axis of the image is a spatial axis: ``(C, X, Y, Z)``, depth one ``(C, X, Y, 1)`` and ``(C, X, Y)`` take the same
    way. Numbers per axis may be given as one number for all axes.

    Of an image kept in chunks, as :class:`medvol.data.StreamDataset` gives it for large volumes, only the crop is read;
    the mask is read whole.

    Args:
        keys: images ``(C, *spatial)`` of one spatial shape, all cut at the same places.
        grid: patches per axis; 1 on an axis that is not divided.
        patch_size: voxels per axis.
        crop_size: voxels per axis of the random crop. None takes the whole volume, or, with ``stride``, the
            extent of the grid.
        min_gap: least number of voxels between neighboring patches; not used with ``stride``.
        jitter: draw the place of each patch in its cell uniformly; False puts it in the middle. Not used with
            ``stride``.
        stride: voxels per axis from patch to patch, for patches that overlap at fixed distances.
        foreground_key: where ``(P,)``, the fraction of mask voxels in each patch, is stored; all ones without a mask.
        mask_key: foreground mask ``(1, *spatial)``. The crop then lies inside the mask's bounding box, or covers it on
            an axis where the box is smaller than the crop. The mask leaves the sample, unless it is among ``keys``.
        min_foreground: least fraction of mask voxels in the crop; it is drawn up to 10 times, then the best is kept.
        allow_missing_keys: skip absent images instead of failing.

    Returns:
        The sample with each image as ``(P, C, *patch)`` in raster order, last axis fastest; ``foreground`` ``(P,)`` as
        float32; and the record ``pretext`` of plain numbers: ``boxes`` (P pairs of start and stop, stop excluded,
        voxels of the input image), ``grid`` and ``crop`` (start, stop).

    Raises:
        ValueError: if a number of axes does not fit, a patch with its gap does not fit its cell, the volume is smaller
            than the crop, images or mask differ in shape, or the mask is empty.

    Example:
        >>> cut = RandPatchGridd("image", grid=2, patch_size=3)
        >>> sample = cut({"image": torch.zeros(1, 10, 10, 10)})
        >>> sample["image"].shape, sample["foreground"].shape
        (torch.Size([8, 1, 3, 3, 3]), torch.Size([8]))
    """

    reads_parts = True

    def __init__(
        self,
        keys: KeysCollection,
        grid: int | Sequence[int],
        patch_size: int | Sequence[int],
        crop_size: int | Sequence[int] | None = None,
        min_gap: int | Sequence[int] = 2,
        jitter: bool = True,
        stride: int | Sequence[int] | None = None,
        foreground_key: Hashable = "foreground",
        mask_key: Hashable | None = None,
        min_foreground: float = 0.1,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if not 0.0 <= min_foreground <= 1.0:
            raise ValueError(f"expected min_foreground between 0 and 1, found {min_foreground}; it is a fraction")
        self.grid, self.patch_size, self.crop_size = grid, patch_size, crop_size
        self.min_gap, self.jitter, self.stride = min_gap, jitter, stride
        self.foreground_key, self.mask_key, self.min_foreground = foreground_key, mask_key, min_foreground
        if crop_size is not None and not isinstance(crop_size, int):
            self._layout(crop_size)  # sizes that do not fit each other fit no volume
        self.crop_start = np.zeros(0, dtype=int)  # (D,) first voxel of the crop
        self.starts = np.zeros((0, 0), dtype=int)  # (P, D) first voxel of each patch in the image

    def _layout(self, shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], PatchLayout]:
        """Return grid, patch and crop per axis, and the layout of cells, checked against the volume's shape."""
        grid, patch = per_axis("grid", self.grid, len(shape)), per_axis("patch_size", self.patch_size, len(shape))
        stride = None if self.stride is None else per_axis("stride", self.stride, len(shape))
        if self.crop_size is not None:
            crop = per_axis("crop_size", self.crop_size, len(shape))
        elif stride is not None:
            crop = tuple((g - 1) * s + p for g, s, p in zip(grid, stride, patch, strict=True))
        else:
            crop = tuple(shape)
        for axis, (size, wanted) in enumerate(zip(shape, crop, strict=True)):
            if size < wanted:
                raise ValueError(
                    f"axis {axis}: expected a volume of at least {wanted} voxels for the crop, found {size}; use a "
                    "smaller crop_size (and patch_size), or one patch on this axis (grid), never padding: it gives "
                    "positions away"
                )
        if stride is not None:
            return grid, patch, crop, stride_layout(crop, grid, patch, stride)
        gap = per_axis("min_gap", self.min_gap, len(shape), least=0)
        return grid, patch, crop, cell_layout(crop, grid, patch, gap, self.jitter)

    def randomize(
        self,
        shape: Sequence[int],
        grid: Sequence[int],
        crop: Sequence[int],
        layout: PatchLayout,
        mask: np.ndarray | None = None,
    ) -> None:
        """Draw the place of the crop and of every patch.

        Args:
            shape: spatial shape of the volume.
            grid: patches per axis.
            crop: voxels per axis.
            layout: step between cells and range of the offsets.
            mask: boolean ``(*spatial)`` or None.
        """
        self.crop_start = self._draw_crop(shape, crop, mask)
        cells = np.indices(grid).reshape(len(grid), -1).T  # (P, D), raster order
        offsets = self._draw(layout.low, layout.high, len(cells))
        self.starts = self.crop_start + cells * np.asarray(layout.step) + offsets

    def _draw(self, low: Sequence[int], high: Sequence[int], count: int) -> np.ndarray:
        """Draw integers ``(count, D)`` in ``low..high``.

        An axis without a choice takes no random number, so that depth one and two axes draw the same.
        """
        ranges = zip(low, high, strict=True)
        columns = [np.full(count, a) if a == b else self.R.randint(a, b + 1, size=count) for a, b in ranges]
        return np.stack(columns, axis=1)

    def _draw_crop(self, shape: Sequence[int], crop: Sequence[int], mask: np.ndarray | None) -> np.ndarray:
        """Draw the first voxel ``(D,)`` of the crop."""
        if mask is None:
            return self._draw([0] * len(shape), np.subtract(shape, crop).tolist(), 1)[0]
        low, high = crop_range(mask, crop)
        best, most = np.asarray(low), -1.0
        for _ in range(_TRIES):
            start = self._draw(low, high, 1)[0]
            window = tuple(slice(a, a + size) for a, size in zip(start, crop, strict=True))
            found = np.count_nonzero(mask[window]) / np.prod(crop)
            if found > most:
                best, most = start, found
            if most >= self.min_foreground:
                break
        return best

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with patches, foreground fractions and the record of what was drawn."""
        d = with_whole(data, [key for key in self.keys if key != self.mask_key])
        images = {key: d[key] if is_chunked(d[key]) else _plain(d[key]) for key in self.key_iterator(d)}
        if not images:
            return d
        shape = tuple(next(iter(images.values())).shape[1:])
        mask = None if self.mask_key is None else _plain(d[self.mask_key]).bool()
        self._check_shapes({**images, "the mask": mask} if mask is not None else images, shape)
        grid, patch, crop, layout = self._layout(shape)
        self.randomize(shape, grid, crop, layout, None if mask is None else mask.any(dim=0).numpy())
        window = tuple(slice(a, a + size) for a, size in zip(self.crop_start.tolist(), crop, strict=True))
        for key, image in images.items():
            if is_chunked(image):
                d[key] = cut_patches(image[(slice(None), *window)], self.starts - self.crop_start, patch)
            else:
                d[key] = cut_patches(image, self.starts, patch)
        d[self.foreground_key] = torch.ones(len(self.starts))
        if mask is not None:
            inside = cut_patches(mask.any(dim=0, keepdim=True), self.starts, patch)
            d[self.foreground_key] = inside.flatten(1).float().mean(dim=1)
            if self.mask_key not in images:
                del d[self.mask_key]  # a full volume would not collate with the patches' neighbors in the batch
        d["pretext"] = {
            "boxes": np.stack([self.starts, self.starts + np.asarray(patch)], axis=1).tolist(),
            "grid": list(grid),
            "crop": [self.crop_start.tolist(), (self.crop_start + np.asarray(crop)).tolist()],
        }
        return d

    @staticmethod
    def _check_shapes(images: Mapping[Hashable, Tensor], shape: Sequence[int]) -> None:
        """Refuse images that cannot be cut at the same places."""
        for key, image in images.items():
            if tuple(image.shape[1:]) != tuple(shape):
                raise ValueError(
                    f"expected the spatial shape {tuple(shape)} under every key, found {tuple(image.shape[1:])} under "
                    f"{key!r}; resample them to one grid first"
                )


def _plain(image: Any) -> Tensor:
    return torch.as_tensor(image).as_subclass(Tensor)
