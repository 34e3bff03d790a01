"""Masked restoration: which blocks of a volume are hidden, and what is to be restored there."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from .distortion import check_finite

__all__ = ["RandBlockMaskd"]


class RandBlockMaskd(RandomizableTransform, MapTransform):
    """Draw the blocks of a grid that are hidden, and keep the clean image as what is to be restored.

    He et al. 2022 (https://arxiv.org/abs/2111.06377, section 3), in volumes Wald et al. 2024
    (https://arxiv.org/abs/2410.23132): of the n blocks exactly ``floor(ratio * n)`` are hidden, every choice of so many
    equally often. The image itself leaves as it came, for the network hides (:class:`medvol.networks.MaskedAutoencoder`
    and the others): what network and loss take for hidden is one and the same array.

    The label is NaN where the loss must not look: at voxels of ``exclude_key`` that are not 0, for instance where a
    face was removed, and at voxels of ``foreground_key`` that are 0. They do not change what is drawn. A sample of
    which every hidden voxel is left out stays in the stream and adds nothing to the loss.

    Every size must be a multiple of its block. Along an axis of size 1 blocks are one voxel thick, whatever ``block``
    says: with 16, a slice ``(C, X, Y, 1)`` is masked in blocks of 16 x 16 x 1, just as ``(C, X, Y)`` is.

    Args:
        keys: one image ``(C, *spatial)``, finite.
        block: voxels of a block, one number or one per axis.
        ratio: share of hidden blocks in (0, 1), or [low, high] to draw it anew for each sample, as SparK's variable
            ratio does; networks that gather the visible blocks of a batch need one number.
        mask_key: where the mask ``(1, *spatial)``, float32, is stored, 1 = hidden.
        label_key: where the copy of the image is stored, float32 if the image holds whole numbers. What the sample had
            there is replaced.
        exclude_key: ``(1, *spatial)`` or ``(C, *spatial)``; not 0 = left out of the loss. May be ``label_key``, where a
            manifest's annotations stand.
        foreground_key: ``(1, *spatial)`` or ``(C, *spatial)``; 0 = left out of the loss.

    Raises:
        ValueError: if a block is no positive whole number, a ratio is not between 0 and 1, or two keys are one; when
            called, if a size is no multiple of its block, if no block would be hidden or none visible, if the image is
            not finite, or if what is left out is absent or has another shape.

    Example:
        >>> sample = {"image": torch.rand(1, 8, 4, 1)}
        >>> masked = RandBlockMaskd("image", block=2).set_random_state(0)(sample)
        >>> masked["mask"].shape, int(masked["mask"].sum())  # 6 of 8 blocks of 2 x 2 x 1
        (torch.Size([1, 8, 4, 1]), 24)
        >>> torch.equal(masked["label"], sample["image"])
        True
    """

    def __init__(
        self,
        keys: KeysCollection,
        block: int | Sequence[int],
        ratio: float | Sequence[float] = 0.75,
        mask_key: Hashable = "mask",
        label_key: Hashable = "label",
        exclude_key: Hashable | None = None,
        foreground_key: Hashable | None = None,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if len(self.keys) != 1:
            raise ValueError(
                f"keys must be one image, for there is one label; found {', '.join(map(repr, self.keys))}; join the "
                "images to channels first, for instance with ConcatItemsd"
            )
        excluded = None if exclude_key == label_key else exclude_key  # read before the label is written
        given = [self.keys[0], mask_key, label_key, excluded, foreground_key]
        names = [name for name in given if name is not None]
        if len(set(names)) != len(names):
            raise ValueError(
                "image, mask, label and what is left out must have names of their own; found "
                f"{', '.join(map(repr, names))}; use another one, for instance ForegroundMaskd(new_key='foreground')"
            )
        self.block = _checked_block(block)
        self.ratio = _checked_ratio(ratio)
        self.mask_key, self.label_key = mask_key, label_key
        self.exclude_key, self.foreground_key = exclude_key, foreground_key
        self.drawn = np.zeros(0, dtype=int)  # (hidden,), raster indices in the grid of blocks

    def randomize(self, count: int) -> None:
        """Draw which of ``count`` blocks are hidden."""
        low, high = self.ratio
        ratio = low if low == high else self.R.uniform(low, high)
        self.drawn = self.R.permutation(count)[: _hidden(ratio, count)]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with its mask and its label."""
        d = dict(data)
        key = next(iter(self.key_iterator(d)))
        for left_out in (self.exclude_key, self.foreground_key):
            if left_out is not None and left_out not in d:
                raise ValueError(
                    f"what is left out of the loss must stand under {left_out!r}; found {', '.join(map(str, d))}; load "
                    "it, or set exclude_key or foreground_key to null"
                )
        label = _copied(d[key])
        check_finite(label, key, "set them to 0 and leave them out of the loss by exclude_key")
        shape = tuple(label.shape[1:])
        blocks = self._blocks(shape)
        grid = [size // step for size, step in zip(shape, blocks, strict=True)]
        self.randomize(self._counted(grid, blocks))
        hidden = torch.zeros(math.prod(grid))
        hidden[torch.as_tensor(self.drawn)] = 1.0
        # each cell (g, 1) of an axis is spread over its voxels (g, step), all axes in one copy
        cells = hidden.reshape([n for cell in grid for n in (cell, 1)])
        spread = cells.expand([n for cell in zip(grid, blocks, strict=True) for n in cell])
        d[self.mask_key] = spread.reshape(1, *shape).contiguous().to(label.device)
        if self.exclude_key is not None:
            label[self._marked(d, self.exclude_key, label)] = math.nan
        if self.foreground_key is not None:
            label[~self._marked(d, self.foreground_key, label)] = math.nan
        d[self.label_key] = label
        return d

    def _blocks(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the voxels of a block along each axis of this image."""
        if not shape or len(self.block) not in (1, len(shape)):
            raise ValueError(
                f"block must be one number, or one for each of the image's axes after the channels; found "
                f"{list(self.block)} for the spatial shape {shape}; give {max(len(shape), 1)}, and images (C, *spatial)"
            )
        given = self.block * len(shape) if len(self.block) == 1 else self.block
        blocks = tuple(1 if size == 1 else step for size, step in zip(shape, given, strict=True))
        for axis, (size, step) in enumerate(zip(shape, blocks, strict=True)):
            if size % step or not size:
                low = size // step * step
                near = f"{low} or {low + step}" if low else f"{step}"
                raise ValueError(
                    f"each size must be a multiple of its block; found {size} voxels along axis {axis}, where block is "
                    f"{step}; crop or pad that axis to {near}, or choose another block"
                )
        return blocks

    def _counted(self, grid: Sequence[int], blocks: tuple[int, ...]) -> int:
        """Return the number of blocks, some of which can be hidden and some visible."""
        count = math.prod(grid)
        fewest, most = (_hidden(ratio, count) for ratio in self.ratio)
        if fewest < 1 or most > count - 1:
            ratio = self.ratio[0] if self.ratio[0] == self.ratio[1] else list(self.ratio)
            raise ValueError(
                f"at least one block must be hidden and one visible; found {count} in all, of {blocks} voxels each, of "
                f"which ratio {ratio} hides {fewest if fewest < 1 else most}; choose smaller blocks or another ratio"
            )
        return count

    def _marked(self, d: Mapping[Hashable, Any], key: Hashable, label: Tensor) -> Tensor:
        """Return where an array of the sample is not 0, in the shape of the label."""
        if not isinstance(d[key], (Tensor, np.ndarray)):
            raise ValueError(
                f"what is left out of the loss must be an array, loaded under {key!r}; found {d[key]!r}; load it "
                "together with the image, as args_defaced.json of the bundles does"
            )
        marked = torch.as_tensor(d[key]).as_subclass(Tensor).to(label.device) != 0
        if tuple(marked.shape[1:]) != tuple(label.shape[1:]) or marked.shape[0] not in (1, label.shape[0]):
            raise ValueError(
                f"the array under {key!r} must have the shape {(1, *label.shape[1:])}; found {tuple(marked.shape)}; "
                "crop and resample it together with the image"
            )
        return marked.expand_as(label)


def _hidden(ratio: float, count: int) -> int:
    # 0.29 * 100 is a little below 29 in binary; the number that was written is meant
    return math.floor(ratio * count + 1e-9)


def _copied(image: Any) -> Tensor:
    """Return a copy of an image without metadata, of a type that has NaN."""
    copy = (
        image.detach().as_subclass(Tensor).clone() if isinstance(image, Tensor) else torch.from_numpy(np.array(image))
    )
    return copy if copy.is_floating_point() else copy.float()


def _checked_block(block: int | Sequence[int]) -> tuple[int, ...]:
    steps = tuple(block) if isinstance(block, (Sequence, np.ndarray)) and not isinstance(block, str) else (block,)
    if not steps or not all(isinstance(n, Integral) and not isinstance(n, bool) and n > 0 for n in steps):
        raise ValueError(
            f"block must be a positive number of voxels, or one for each axis; found {block!r}; 16 is usual for "
            "volumes of 1 mm"
        )
    return tuple(int(n) for n in steps)


def _checked_ratio(ratio: float | Sequence[float]) -> tuple[float, float]:
    pair = tuple(ratio) if isinstance(ratio, (Sequence, np.ndarray)) and not isinstance(ratio, str) else (ratio, ratio)
    numbers = all(isinstance(r, Real) and not isinstance(r, bool) for r in pair)
    if len(pair) != 2 or not numbers or not 0 < pair[0] <= pair[1] < 1:
        raise ValueError(
            f"ratio must be a number between 0 and 1, or a pair [low, high] of such numbers; found {ratio!r}; 0.75 is "
            "usual"
        )
    return float(pair[0]), float(pair[1])
