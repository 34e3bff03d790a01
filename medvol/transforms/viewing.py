"""What a view may be: the options of random views, checked, and the region of a volume that they may lie in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .boxes import ViewFrame, largest_extent

__all__ = ["check_options", "filled_slices", "numbers_per_axis", "view_frame"]

_NEAR = 1.25  # planes whose spacings differ by more are not turned in
_LEAST = 2.0  # voxels that a view must span: below, it shows nothing but the ramp between two of them


def check_options(
    views: int,
    scale: Sequence[float],
    ratio: float,
    rotate: float,
    plane_axes: Sequence[int],
    lateral_axis: int | None,
    min_iou: float | None,
    min_foreground: float,
) -> None:
    """Refuse options of random views that no volume could satisfy.

    Raises:
        ValueError: if one is out of its range.

    Example:
        >>> check_options(2, (0.3, 1.0), 1.0, 10.0, (0, 1), 0, None, 0.1)
    """
    if views < 1:
        raise ValueError(f"views must be at least 1; found {views}; two are usual")
    if np.shape(scale) != (2,) or not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(
            f"scale must be (lowest, highest) within (0, 1]; found {scale}; it is linear: 0.5 halves every side"
        )
    if not 1 <= ratio < math.inf:
        raise ValueError(f"ratio must be 1 or more; found {ratio}; 1 keeps the proportions, 1.33 is usual")
    if not 0 <= rotate <= 180:
        raise ValueError(f"rotate must be between 0 and 180 degrees; found {rotate}; 0 turns nothing")
    if np.shape(plane_axes) != (2,) or plane_axes[0] == plane_axes[1] or not set(plane_axes) <= {0, 1, 2}:
        raise ValueError(
            f"plane_axes must be two different axes of 0, 1 and 2; found {plane_axes}; (0, 1) is the axial plane, and "
            "the plane of a slice"
        )
    if lateral_axis not in (None, 0, 1, 2):
        raise ValueError(
            f"lateral_axis must be 0, 1, 2 or None; found {lateral_axis}; it is the spatial axis from left to right, "
            "counted without the channels"
        )
    if min_iou is not None and not 0 <= min_iou < 1:
        raise ValueError(f"min_iou must be in [0, 1); found {min_iou}; 0 asks for no overlap, 0.25 is usual")
    if not 0 <= min_foreground <= 1:
        raise ValueError(f"min_foreground must be between 0 and 1; found {min_foreground}; it is a fraction")


def numbers_per_axis(
    name: str, values: float | Sequence[float], num_axes: int, low: float, high: float, rest: float
) -> np.ndarray:
    """Write a number, or one per axis of an image, as one for each of three axes.

    Args:
        name: what they are, for the message.
        values: the numbers.
        num_axes: axes of the image.
        low: least number allowed; with ``low`` 0 and ``high`` infinite it must be above 0.
        high: largest number allowed.
        rest: the number for the third axis of an image with two.

    Returns:
        ``(3,)``.

    Raises:
        ValueError: if there is another number of numbers than of axes, or one is out of range.

    Example:
        >>> numbers_per_axis("spacing", [0.5, 2.0], 2, 0.0, math.inf, rest=1.0)
        array([0.5, 2. , 1. ])
    """
    given = [float(value) for value in (values if np.ndim(values) else [values] * num_axes)]
    if len(given) != num_axes:
        raise ValueError(
            f"{name} must have one number for each of the {num_axes} spatial axes; found {given}; give one per axis of "
            "the image"
        )
    for axis, value in enumerate(given):
        if not low <= value <= high or not math.isfinite(value) or (high == math.inf and value == low):
            wanted = "a positive number" if high == math.inf else f"between {low:g} and {high:g}"
            raise ValueError(f"{name} must be {wanted} on every axis; found {value} on axis {axis}; correct it")
    return np.array([*given, rest][:3])


def view_frame(
    shape: Sequence[int],
    size: Sequence[int],
    spacing: np.ndarray,
    plane: tuple[int, int],
    turning: bool,
    smallest: float,
    mask: np.ndarray | None = None,
    places: Mapping[int, int] | None = None,
) -> ViewFrame:
    """Return the region that views may lie in, checked against their size.

    Args:
        shape: of the volume, three axes.
        size: voxels of a view, three axes.
        spacing: ``(3,)`` mm.
        plane: axes that views turn in.
        turning: whether they do.
        smallest: lowest scale of a view.
        mask: boolean, of the volume's shape: the region is the mask's bounding box.
        places: the voxel at which an axis is cut.

    Returns:
        The frame.

    Raises:
        ValueError: if the mask is empty, an axis is too thin for the view, or turns are asked for in a plane of uneven
            spacing.

    Example:
        >>> view_frame((8, 8, 1), (4, 4, 1), np.ones(3), (0, 1), True, 0.5).high.tolist()
        [7, 7, 0]
    """
    low, high = np.zeros(3, dtype=int), np.array(shape) - 1
    for axis, place in (places or {}).items():
        low[axis] = high[axis] = place
    if mask is not None:
        low, high = _box_of(mask, low, high)
    if turning and all(size[axis] > 1 for axis in plane):
        mm = spacing[list(plane)]
        if mm.max() > _NEAR * mm.min():
            raise ValueError(
                f"views are turned in planes of nearly equal spacing only; found {mm[0]:g} and {mm[1]:g} mm on axes "
                f"{plane[0]} and {plane[1]}; choose other plane_axes, or rotate 0 and no quarter_turns"
            )
    frame = ViewFrame(low, high, spacing, np.array(size), plane)
    _check_thickness(frame, smallest, "of foreground" if mask is not None else "in the volume")
    return frame


def filled_slices(mask: np.ndarray, axis: int, least: float) -> np.ndarray:
    """Return the slices across an axis that hold enough foreground, or the fullest one if none does.

    Args:
        mask: boolean ``(X, Y, Z)``.
        axis: the axis that is cut.
        least: fraction of the mask's bounding box that the foreground of a slice must fill.

    Raises:
        ValueError: if the mask is empty.

    Example:
        >>> filled_slices(np.array([[[False, True, True]]]), axis=2, least=0.1)
        array([1, 2])
    """
    low, high = _box_of(mask, np.zeros(3, dtype=int), np.array(mask.shape) - 1)
    across = [a for a in range(3) if a != axis]
    counts = mask.sum(axis=tuple(across))
    enough = np.flatnonzero(counts >= max(1.0, least * float((high - low + 1)[across].prod())))
    return enough if len(enough) else counts.argmax(keepdims=True)


def _box_of(mask: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last voxel of the mask within a range of voxels."""
    found = mask[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
    if not found.any():
        raise ValueError(
            f"the mask of shape {mask.shape} must hold foreground; found none; drop this case from the manifest or "
            "correct its mask"
        )
    lines = [np.flatnonzero(found.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return low + [line[0] for line in lines], low + [line[-1] for line in lines]


def _check_thickness(frame: ViewFrame, smallest: float, where: str) -> None:
    """Refuse a view that would show less than two voxels of an axis."""
    room = frame.high - frame.low + 1
    spans = smallest * largest_extent(frame) / frame.spacing
    thin = [axis for axis in range(3) if frame.size[axis] > 1 and spans[axis] < _LEAST * (1 - 1e-9)]
    if thin:  # of equally thin axes the one that keeps the others from being larger
        axis = min(thin, key=lambda a: (round(spans[a], 6), room[a] * frame.spacing[a] / frame.size[a]))
        raise ValueError(
            f"axis {axis}: a view of {frame.size[axis]} voxels must span at least {_LEAST:g} voxels of the volume; "
            f"found {spans[axis]:.3g} at the lowest scale, {smallest:g} (there are {room[axis]} voxels {where}); give "
            f"size 1 on axis {axis} to cut slices, a smaller size there, or a higher scale"
        )
