"""Random views of one volume, each resampled once and never beyond the volume."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from .boxes import ViewBoxes, ViewFrame, bounds, overlap, whole_voxels
from .drawing import draw_boxes, moved_toward
from .grids import per_axis
from .partial import with_whole
from .resampling import sample_box
from .viewing import check_options, filled_slices, numbers_per_axis, view_frame

__all__ = ["RandViewsd"]

_TRIES = 20  # boxes that are drawn at once for a view; the first that is good enough is taken


class RandViewsd(RandomizableTransform, MapTransform):
    """Cut random views out of one volume: boxes of random place, size, proportions and turn, on one voxel grid.

    The input of exemplar learning (Taleb et al. 2020, https://arxiv.org/abs/2006.03829, section 3.5) and of contrastive
    methods. The paper's code turns the whole volume and fills its corners with zeros, which give the positive away.
    Here every box lies inside the volume with all of its corners, and inside the bounding box of the foreground where
    there is a mask, so that no voxel of a view is made up. Each view is interpolated once, linearly, straight from the
    volume; see :func:`medvol.transforms.resampling.sample_box` for the convention.

    **Scale** is linear. At scale 1 the box is the largest one with the proportions of ``size`` (in mm) that fits; at
    scale 0.5 its sides are half as long. Papers on pictures state a fraction of the area; the same linear extent is

    ======================  =====  =====  =====  =====  =====
    area in the plane       1      0.2    0.14   0.08   0.05
    linear, ``scale``       1      0.447  0.374  0.283  0.224
    volume                  1      0.089  0.052  0.023  0.011
    ======================  =====  =====  =====  =====  =====

    A turned or stretched box that does not fit is shrunk, all axes alike. An axis on which ``size`` is 1 is cut at one
    voxel, drawn once for all views, so that views of a slice show the same slice; ``(C, X, Y)`` and ``(C, X, Y, 1)``
    give the same voxels. Values between voxels belong to images, not to label maps.

    Args:
        keys: images ``(C, *spatial)`` of one spatial shape, two or three axes, all cut at the same places.
        size: voxels of a view, one number or one per axis; 1 on an axis of size one, or to cut a slice.
        views: number of views V.
        scale: range of the linear scale, within (0, 1].
        ratio: sides are stretched by factors between ``1 / ratio`` and ``ratio``, log-uniform, whose product is then
            made 1; 1 keeps the proportions.
        spacing: mm from voxel to voxel per axis; None if it is the same on all axes.
        rotate: largest turn in the plane, degrees; 0 turns nothing.
        plane_axes: the two axes that turns happen in. Where their spacing differs by more than a quarter, turning is
            refused: it would show in the direction of the blur.
        quarter_turns: add a random multiple of 90 degrees.
        flip: probability of mirroring an axis. One number holds for every axis but ``lateral_axis``; one per axis for
            each of them.
        lateral_axis: axis from left to right, or None; mirroring it swaps the sides of the body.
        min_iou: least intersection over union of the upright boxes around a view and the first view, below 1. Boxes
            are drawn up to 20 times; then the best is moved toward the first view. None: 0.25 for views with three
            axes, 0 in a plane.
        mask_key: foreground mask ``(1, *spatial)``, which then leaves the sample; None for no mask.
        min_foreground: least fraction of mask voxels in a view; of up to 20 boxes the best is kept.
        foreground_key: where ``(V,)``, the fraction of mask voxels in each view, is stored; all ones without a mask.
        allow_missing_keys: skip absent images instead of failing.

    Returns:
        The sample with each image as ``(V, C, *size)``, floating point; ``foreground`` ``(V,)`` as float32; and the
        record ``pretext`` of plain values: ``boxes`` (V pairs of start and stop, stop excluded, the whole voxels of
        the input image that its box touches), ``names``, ``degrees`` (the turn of each view) and ``mirrored`` (the
        axes that run backwards in each).

    Raises:
        ValueError: if an option is out of range or has another number of axes than the image, images or mask differ in
            shape, the mask is empty, or the volume is too thin for the view, naming the axis.

    Example:
        >>> cut = RandViewsd("image", size=16).set_random_state(0)
        >>> sample = cut({"image": torch.rand(1, 32, 32, 30)})
        >>> sample["image"].shape, sample["pretext"]["names"]
        (torch.Size([2, 1, 16, 16, 16]), ['view 0', 'view 1'])
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int | Sequence[int],
        views: int = 2,
        scale: Sequence[float] = (0.3, 1.0),
        ratio: float = 4 / 3,
        spacing: Sequence[float] | None = None,
        rotate: float = 10.0,
        plane_axes: Sequence[int] = (0, 1),
        quarter_turns: bool = False,
        flip: float | Sequence[float] = 0.0,
        lateral_axis: int | None = 0,
        min_iou: float | None = None,
        mask_key: Hashable | None = None,
        min_foreground: float = 0.1,
        foreground_key: Hashable = "foreground",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        check_options(views, scale, ratio, rotate, plane_axes, lateral_axis, min_iou, min_foreground)
        if mask_key in self.keys:
            raise ValueError(
                f"keys must be images; found the mask {mask_key!r} among them; take it out: values between its voxels "
                "mean nothing, and the fraction of foreground is stored anyway"
            )
        self.size, self.views, self.scale, self.ratio = size, int(views), tuple(scale), float(ratio)
        self.spacing, self.rotate, self.plane_axes = spacing, float(rotate), tuple(int(a) for a in plane_axes)
        self.quarter_turns, self.flip, self.lateral_axis = quarter_turns, flip, lateral_axis
        self.min_iou, self.mask_key = min_iou, mask_key
        self.min_foreground, self.foreground_key = min_foreground, foreground_key
        self.boxes: list[ViewBoxes] = []  # of each view, N = 1
        self.mirrored = np.zeros((0, 3), dtype=bool)  # (V, 3) axes that run backwards

    def randomize(self, frame: ViewFrame, flips: np.ndarray, mask: np.ndarray | None = None) -> None:
        """Draw the box of every view and the axes that it is mirrored on.

        Args:
            frame: region, spacing, size and plane.
            flips: ``(3,)`` probability of mirroring each axis.
            mask: boolean ``(X, Y, Z)`` or None.
        """
        self.boxes, mirrored = [], []
        for _ in range(self.views):
            self.boxes.append(self._draw_box(frame, mask))
            # an axis without a choice takes no random number
            mirrored.append([p >= 1 or (p > 0 and self.R.uniform() < p) for p in flips.tolist()])
        self.mirrored = np.array(mirrored, dtype=bool)

    def _draw_slices(self, shape: Sequence[int], size: Sequence[int], mask: np.ndarray | None) -> dict[int, int]:
        """Draw the place on every axis that is cut at one voxel; with a mask where it is not nearly empty."""
        places: dict[int, int] = {}
        for axis in [a for a in range(3) if size[a] == 1 and shape[a] > 1]:
            choice = np.arange(shape[axis]) if mask is None else filled_slices(mask, axis, self.min_foreground)
            places[axis] = int(choice[0] if len(choice) == 1 else choice[self.R.randint(len(choice))])
            if mask is not None:
                others = np.arange(shape[axis]) != places[axis]
                mask = mask & ~others.reshape([-1 if a == axis else 1 for a in range(3)])
        return places

    def _draw_box(self, frame: ViewFrame, mask: np.ndarray | None) -> ViewBoxes:
        """Draw boxes and return the first with enough overlap with the first view and enough foreground."""
        boxes = draw_boxes(self.R, frame, _TRIES, self.scale, self.ratio, self.rotate, self.quarter_turns)
        around = bounds(frame, boxes)
        close = np.arange(_TRIES)
        if self.boxes:
            least = self.min_iou if self.min_iou is not None else 0.25 * bool((frame.size > 1).all())
            shared = overlap(around, bounds(frame, self.boxes[0])[0])
            close = np.flatnonzero(shared >= least)
            if not len(close):
                return moved_toward(frame, boxes.take(int(shared.argmax())), self.boxes[0], least)
        best, most = int(close[0]), -1.0
        for number in close.tolist() if mask is not None else ():
            found = _fraction(mask, whole_voxels(frame, around[number : number + 1])[0])
            if found > most:
                best, most = number, found
            if most >= self.min_foreground:
                break
        return boxes.take(best)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with the views, their fractions of foreground and the record of what was drawn."""
        d = with_whole(data)
        images = {key: _plain(d[key]) for key in self.key_iterator(d)}
        if not images:
            return d
        shape = tuple(next(iter(images.values())).shape[1:])
        mask = None if self.mask_key is None else self._taken_mask(d)
        _check_shapes({**images, "the mask": mask} if mask is not None else images, shape)
        axes = len(shape)
        size, whole = (*per_axis("size", self.size, axes), 1)[:3], (*shape, 1)[:3]  # two axes are depth one
        flips = numbers_per_axis("flip", self._flips(axes), axes, 0.0, 1.0, rest=0.0) * (np.array(size) > 1)
        spacing = numbers_per_axis(
            "spacing", 1.0 if self.spacing is None else self.spacing, axes, 0.0, math.inf, rest=1.0
        )
        inside = None if mask is None else mask.any(dim=0).reshape(whole).numpy()
        places = self._draw_slices(whole, size, inside)
        turning = self.rotate > 0 or self.quarter_turns
        if turning and max(self.plane_axes) >= axes:
            raise ValueError(
                f"plane_axes must be axes of the image, 0 to {axes - 1}; found {self.plane_axes}; (0, 1) is the only "
                "plane of a slice"
            )
        frame = view_frame(whole, size, spacing, self.plane_axes, turning, self.scale[0], inside, places)
        self.randomize(frame, flips, inside)
        for key, image in images.items():
            volume = (image if image.dtype == torch.float64 else image.float()).reshape(-1, *whole)
            views = [sample_box(volume, frame, *drawn) for drawn in zip(self.boxes, self.mirrored, strict=True)]
            d[key] = torch.stack(views).reshape(self.views, -1, *size[:axes])
        windows = whole_voxels(frame, np.concatenate([bounds(frame, box) for box in self.boxes]))
        fractions = [1.0 if inside is None else _fraction(inside, window) for window in windows]
        d[self.foreground_key] = torch.tensor(fractions, dtype=torch.float32)
        d["pretext"] = {
            "boxes": windows[..., :axes].tolist(),
            "names": [f"view {number}" for number in range(self.views)],
            "degrees": [round(math.degrees(math.atan2(*box.heading[0, ::-1])), 3) for box in self.boxes],
            "mirrored": [np.flatnonzero(backwards).tolist() for backwards in self.mirrored],
        }
        return d

    def _taken_mask(self, data: dict[Hashable, Any]) -> Tensor:
        if self.mask_key not in data:
            raise ValueError(
                f"the mask {self.mask_key!r} must be in the sample; found {', '.join(map(str, data))}; make it with "
                "ForegroundMaskd before this transform, or set mask_key to None"
            )
        return _plain(data.pop(self.mask_key)).bool()

    def _flips(self, axes: int) -> Sequence[float]:
        """Return the probability of mirroring each axis of the image; left and right only where that is asked for."""
        if np.ndim(self.flip):
            return self.flip
        return [0.0 if axis == self.lateral_axis else self.flip for axis in range(axes)]


def _fraction(mask: np.ndarray, window: np.ndarray) -> float:
    """Return the fraction of mask voxels between start and stop ``(2, 3)``."""
    inside = mask[tuple(slice(start, stop) for start, stop in window.T.tolist())]
    return np.count_nonzero(inside) / inside.size


def _check_shapes(images: Mapping[Hashable, Tensor], shape: Sequence[int]) -> None:
    """Refuse images that cannot be cut at the same places."""
    if len(shape) not in (2, 3):
        raise ValueError(
            f"an image must be (C, X, Y) or (C, X, Y, Z); found {len(shape)} spatial axes; load it with a channel axis"
        )
    for key, image in images.items():
        if tuple(image.shape[1:]) != tuple(shape):
            raise ValueError(
                f"images must have the spatial shape {tuple(shape)} under every key; found {tuple(image.shape[1:])} "
                f"under {key!r}; resample them to one grid first"
            )


def _plain(image: Any) -> Tensor:
    return torch.as_tensor(image).as_subclass(Tensor)
