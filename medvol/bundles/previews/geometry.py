"""How a voxel array lies in the patient and on paper: spacing, anatomical ends, and which axis runs down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from monai.data import MetaTensor, PILReader

from medvol.data.files import is_there
from medvol.data.reading import read_header, read_image

__all__ = ["Cut", "Geometry", "find_geometry"]

_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))
_PLANES = {"R": "sagittal", "L": "sagittal", "A": "coronal", "P": "coronal", "S": "axial", "I": "axial"}


class Cut(NamedTuple):
    """One plane through an array: which slice, and which axes run across and up; ``normal`` is None in two axes.

    Example:
        >>> Cut(normal=2, index=10, across=0, up=1).index
        10
    """

    normal: int | None
    index: int
    across: int
    up: int


@dataclass(frozen=True)
class Geometry:
    """How the spatial axes of an array lie.

    Attributes:
        spacing: millimeters per voxel and axis; 1 where nothing says it.
        ends: anatomical letters at the first and last voxel of each axis; empty where nothing says them.
        down: for a picture of rows and columns, the axis of the rows; None for a volume.
        turned: axes that run against the picture: drawn from the last voxel to the first.
        known: whether a file or a transform states the spacing.

    Example:
        >>> geometry = Geometry((1.0, 1.0, 5.0))
        >>> [cut.normal for cut in geometry.cuts((8, 8, 4), (4, 4, 2))]
        [2, 1, 0]
    """

    spacing: tuple[float, ...]
    ends: tuple[tuple[str, str], ...] = ()
    down: int | None = None
    turned: tuple[int, ...] = ()
    known: bool = True

    def cuts(self, shape: Sequence[int], center: Sequence[int]) -> list[Cut]:
        """Return the planes to draw: three orthogonal ones through ``center``, or one where an axis has one voxel."""
        across, up = (0, 1) if self.down is None else (1 - self.down, self.down)
        if len(shape) == 2:
            return [Cut(None, 0, across, up)]
        thin = [axis for axis in (2, 1, 0) if shape[axis] == 1]
        if self.down is not None and thin:
            return [Cut(2, 0, across, up)]
        return [Cut(n, int(center[n]), *(a for a in range(3) if a != n)) for n in (thin[:1] or (2, 1, 0))]

    def plane(self, image: Any, cut: Cut, channel: int = 0) -> np.ndarray:
        """Return the values ``(across, up)`` of a plane of ``(C, *spatial)``; a chunked array is read only there."""
        if cut.normal is None:
            part = image[channel : channel + 1]
        else:
            window = [slice(None)] * 3
            window[cut.normal] = slice(cut.index, cut.index + 1)
            part = image[(slice(channel, channel + 1), *window)]
        values = np.asarray(part)[0].astype(float)
        values = values if cut.normal is None else values.squeeze(cut.normal)
        values = values if cut.across < cut.up else values.T
        for place, axis in enumerate((cut.across, cut.up)):
            values = np.flip(values, place) if self._turned(axis) else values
        return values

    def size(self, shape: Sequence[int], cut: Cut) -> tuple[float, float]:
        """Return width and height of a plane in millimeters."""
        return shape[cut.across] * self.spacing[cut.across], shape[cut.up] * self.spacing[cut.up]

    def voxel(self, cut: Cut) -> tuple[float, float]:
        """Return the voxel size (across, up) in millimeters."""
        return self.spacing[cut.across], self.spacing[cut.up]

    def rectangle(self, box: np.ndarray, shape: Sequence[int], cut: Cut) -> tuple[float, float, float, float] | None:
        """Return left, right, bottom, top in millimeters of what a plane cuts of a box, or None if it passes it by.

        Args:
            box: ``(2, D)`` start and stop in voxels.
            shape: spatial shape of the image.
            cut: the plane.
        """
        start, stop = np.asarray(box)
        if cut.normal is not None and not start[cut.normal] <= cut.index < stop[cut.normal]:
            return None
        sides: list[float] = []
        for axis in (cut.across, cut.up):
            low, high = int(start[axis]), int(stop[axis])
            if self._turned(axis):
                low, high = shape[axis] - high, shape[axis] - low
            sides += [low * self.spacing[axis], high * self.spacing[axis]]
        return sides[0], sides[1], sides[2], sides[3]

    def letters(self, cut: Cut) -> tuple[tuple[str, str], tuple[str, str]] | None:
        """Return the letters at (left, right) and (bottom, top) of a plane, or None."""
        return (self.ends[cut.across], self.ends[cut.up]) if self.ends else None

    def title(self, cut: Cut, shape: Sequence[int]) -> str:
        """Name a plane."""
        if cut.normal is None or (self.down is not None and shape[cut.normal] == 1):
            return ""
        name = _PLANES[self.ends[cut.normal][1]] if self.ends else f"axis {cut.normal}"
        return name if shape[cut.normal] == 1 else f"{name}, slice {cut.index}"

    def toward(self, axis: int, forward: bool) -> str:
        """Say in words where an axis leads, toward its last voxel or toward its first."""
        if self.ends:
            return f"toward {self.ends[axis][forward]}"
        if self.down is None or axis not in (across_and_down := (1 - self.down, self.down)):
            return f"toward {'higher' if forward else 'lower'} indices of axis {axis}"
        onward = forward != (axis in self.turned)
        return (
            ("rightward" if onward else "leftward")
            if axis == across_and_down[0]
            else "downward"
            if onward
            else "upward"
        )

    def _turned(self, axis: int) -> bool:
        return (axis == self.down) != (axis in self.turned)


def find_geometry(transforms: Sequence[Callable], item: Mapping[str, Any], num_axes: int) -> Geometry:
    """Find out how the image lies that comes out of a chain of deterministic transforms.

    Bundles drop the metadata before they cut, so the chain is run again on this item, up to the last transform whose
    image has an affine. Where the files are not at hand (shards), the last spacing and orientation that the chain asks
    for are taken.

    Args:
        transforms: the deterministic transforms, in their order.
        item: what they start from.
        num_axes: spatial axes of the image.

    Raises:
        Exception: whatever a transform raises.
    """
    file = _file(item)
    if file is not None and not is_there(file):
        return _stated(transforms, num_axes)
    header = None if file is None else _header(file)
    flat = file if header is not None and header.is_radiograph else None
    first = last = None
    data: Any = deepcopy(dict(item))
    for transform in transforms:
        data = transform(data)
        image = data.get("image") if isinstance(data, Mapping) else None
        if isinstance(image, MetaTensor):
            if first is None:  # compared at once: the next transforms may work in place
                first = np.asarray(image.affine, float), None if flat is None else _rows(image, flat)
            last = image
        elif first is not None:
            break
    if last is None:
        return _stated(transforms, num_axes)
    affine = np.asarray(last.affine, float)
    sizes = _sizes(affine, num_axes)
    if flat is not None:
        return _upright(*first, affine, sizes, bool(np.isfinite(header.spacing).all()))
    if num_axes != 3 or affine.shape != (4, 4) or (file is not None and (header is None or header.affine is None)):
        return Geometry(sizes)
    codes = nib.orientations.aff2axcodes(affine)
    return Geometry(sizes, tuple((_OPPOSITE[code], code) for code in codes) if all(codes) else ())


def _file(item: Mapping[str, Any]) -> Path | None:
    image = item.get("image")
    image = image[0] if isinstance(image, (list, tuple)) and image else image
    return Path(image) if isinstance(image, (str, Path)) else None


def _sizes(affine: np.ndarray, num_axes: int) -> tuple[float, ...]:
    spacing = np.linalg.norm(affine[:-1, :-1], axis=0)[:num_axes]
    spacing = np.where(np.isfinite(spacing) & (spacing > 0), spacing, 1.0)
    return tuple(float(size) for size in spacing) + (1.0,) * (num_axes - len(spacing))


def _rows(image: MetaTensor, file: Path) -> int:
    """Return the axis of the rows, by comparing what MONAI's reader returned with the picture itself."""
    values = read_image(file)[1].astype(float)
    picture = values[..., 0] if values.ndim == 3 else values  # (rows, columns)
    loaded = np.asarray(image[0], float)
    loaded = loaded[..., 0] if loaded.ndim == 3 else loaded
    return 0 if _unlike(loaded, picture) <= _unlike(loaded, picture.T) else 1


def _upright(start: np.ndarray, down: int, affine: np.ndarray, spacing: tuple[float, ...], known: bool) -> Geometry:
    """Follow rows and columns from the axes of the file to those of the image as it is now."""
    rank = min(len(start), len(affine)) - 1
    turn = np.linalg.inv(affine[:rank, :rank]) @ start[:rank, :rank]
    now = [int(np.argmax(np.abs(turn[:2, axis]))) for axis in (0, 1)]
    turned = tuple(now[axis] for axis in (0, 1) if turn[now[axis], axis] < 0)
    return Geometry(spacing, (), now[down], turned, known)


def _unlike(loaded: np.ndarray, picture: np.ndarray) -> float:
    return float(np.abs(loaded - picture).mean()) if loaded.shape == picture.shape else np.inf


def _header(file: Path) -> Any:
    try:
        return read_header(file)
    except ValueError:  # a format that MONAI reads and we do not; nothing is known about its place
        return None


def _stated(transforms: Sequence[Callable], num_axes: int) -> Geometry:
    sizes: Any = None
    codes: Any = None
    down = None
    for transform in transforms:
        sizes = getattr(getattr(transform, "spacing_transform", None), "pixdim", sizes)
        codes = getattr(getattr(transform, "ornt_transform", None), "axcodes", codes)
        for reader in getattr(getattr(transform, "_loader", None), "readers", ()) if num_axes == 2 else ():
            down = int(reader.reverse_indexing) if isinstance(reader, PILReader) else down
    spacing = np.full(num_axes, np.nan) if sizes is None else np.resize(np.asarray(sizes, float), num_axes)
    known = bool((np.isfinite(spacing) & (spacing > 0)).all())
    ends = tuple((_OPPOSITE[code], code) for code in codes) if codes and num_axes == 3 and len(codes) == 3 else ()
    return Geometry(tuple(map(float, spacing)) if known else (1.0,) * num_axes, ends, down, known=known)
