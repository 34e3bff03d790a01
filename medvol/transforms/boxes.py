"""Boxes in a volume, turned in one plane: how large they may be, where they may lie, and how much two of them share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "ViewBoxes",
    "ViewFrame",
    "bounds",
    "center_range",
    "fit",
    "largest_extent",
    "overlap",
    "samples_per_voxel",
    "whole_voxels",
]

_ROUNDING = 1e-9


class ViewFrame(NamedTuple):
    """What all views of one volume have in common; an axis of ``size`` 1 is one voxel thick and has no choice.

    Attributes:
        low: ``(3,)`` first voxel of the region that views lie in.
        high: ``(3,)`` its last voxel, included.
        spacing: ``(3,)`` mm from voxel to voxel.
        size: ``(3,)`` voxels of a view.
        plane: the two axes that boxes turn in.

    Example:
        >>> ViewFrame(np.zeros(3), np.full(3, 9), np.ones(3), np.full(3, 4), (0, 1)).plane
        (0, 1)
    """

    low: np.ndarray
    high: np.ndarray
    spacing: np.ndarray
    size: np.ndarray
    plane: tuple[int, int]


class ViewBoxes(NamedTuple):
    """N boxes.

    Attributes:
        center: ``(N, 3)`` voxels; a whole number is the middle of a voxel.
        extent: ``(N, 3)`` mm along the box's own axes.
        heading: ``(N, 2)`` cosine and sine of the turn in the plane.

    Example:
        >>> ViewBoxes(np.zeros((2, 3)), np.ones((2, 3)), np.ones((2, 2))).take(1).center.shape
        (1, 3)
    """

    center: np.ndarray
    extent: np.ndarray
    heading: np.ndarray

    def take(self, number: int) -> ViewBoxes:
        """Return one box, as N = 1."""
        return ViewBoxes(*(part[number : number + 1] for part in self))


def largest_extent(frame: ViewFrame) -> np.ndarray:
    """Return the extent ``(3,)``, mm, of the largest upright box in the region that has the proportions of a view.

    Example:
        >>> largest_extent(ViewFrame(np.zeros(3), np.array([7, 5, 0]), np.ones(3), np.array([4, 2, 1]), (0, 1)))
        array([8., 4., 1.])
    """
    thick = frame.size > 1
    room = (frame.high - frame.low + 1) * frame.spacing / frame.size
    return np.where(thick, frame.size * np.min(room, where=thick, initial=np.inf), frame.spacing)


def samples_per_voxel(frame: ViewFrame, extent: np.ndarray) -> np.ndarray:
    """Return how many evenly spaced samples ``(N, 3)`` make one voxel of a view, so that none lie over a voxel apart.

    Example:
        >>> frame = ViewFrame(np.zeros(3), np.full(3, 9), np.ones(3), np.full(3, 4), (0, 1))
        >>> samples_per_voxel(frame, np.array([[4.0, 4.1, 8.0]])).tolist()
        [[1, 2, 2]]
    """
    pitch = frame.spacing.copy()
    pitch[list(frame.plane)] = pitch[list(frame.plane)].min()  # a turned axis crosses both
    return np.maximum(np.ceil(extent / (frame.size * pitch) - _ROUNDING), 1).astype(int)


def fit(frame: ViewFrame, extent: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Shrink boxes, all axes by one factor, until every sample can lie among the middles of the region's voxels.

    Args:
        frame: the region.
        extent: ``(N, 3)`` mm.
        heading: ``(N, 2)`` cosine and sine.

    Returns:
        ``(N, 3)`` mm; bit-equal where the box fits.

    Example:
        >>> frame = ViewFrame(np.zeros(3), np.full(3, 7), np.ones(3), np.full(3, 8), (0, 1))
        >>> fit(frame, np.full((1, 3), 8.0), np.array([[1.0, 0.0]])).tolist()
        [[8.0, 8.0, 8.0]]
    """
    thick = frame.size > 1
    room = np.broadcast_to((frame.high - frame.low) / 2, extent.shape)
    reach = _reach(frame, extent, heading)
    factor = np.divide(room, reach, where=thick, out=np.ones(extent.shape)).min(axis=1, keepdims=True)
    factor = np.where(factor > 1 - _ROUNDING, 1.0, factor)
    return np.where(thick, extent * factor, extent)


def center_range(frame: ViewFrame, extent: np.ndarray, heading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest center ``(N, 3)``, voxels, of boxes that :func:`fit`.

    Example:
        >>> frame = ViewFrame(np.zeros(3), np.full(3, 9), np.ones(3), np.full(3, 4), (0, 1))
        >>> low, high = center_range(frame, np.full((1, 3), 4.0), np.array([[1.0, 0.0]]))
        >>> low.tolist(), high.tolist()
        ([[1.5, 1.5, 1.5]], [[7.5, 7.5, 7.5]])
    """
    reach, middle = _reach(frame, extent, heading), (frame.low + frame.high) / 2
    return np.minimum(frame.low + reach, middle), np.maximum(frame.high - reach, middle)


def bounds(frame: ViewFrame, boxes: ViewBoxes) -> np.ndarray:
    """Return start and stop ``(N, 2, 3)`` of the upright boxes around boxes, voxels counted from the volume's face.

    Example:
        >>> frame = ViewFrame(np.zeros(3), np.full(3, 9), np.ones(3), np.full(3, 4), (0, 1))
        >>> box = ViewBoxes(np.full((1, 3), 4.5), np.array([[4.0, 2.0, 4.0]]), np.array([[0.0, 1.0]]))
        >>> bounds(frame, box).tolist()
        [[[4.0, 3.0, 3.0], [6.0, 7.0, 7.0]]]
    """
    half = _turned(frame, boxes.extent / 2, boxes.heading)
    return np.stack([boxes.center + 0.5 - half, boxes.center + 0.5 + half], axis=1)


def overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the intersection over union ``(N,)`` of upright boxes ``(N, 2, 3)`` with one ``(2, 3)``.

    Example:
        >>> overlap(np.array([[[0, 0], [2, 2]]]), np.array([[1, 0], [3, 2]])).round(3)
        array([0.333])
    """
    shared = np.clip(np.minimum(boxes[:, 1], box[1]) - np.maximum(boxes[:, 0], box[0]), 0, None).prod(axis=1)
    return shared / ((boxes[:, 1] - boxes[:, 0]).prod(axis=1) + (box[1] - box[0]).prod() - shared)


def whole_voxels(frame: ViewFrame, around: np.ndarray) -> np.ndarray:
    """Return start and stop ``(N, 2, 3)``, integers, of the voxels of the region that upright boxes touch.

    Example:
        >>> frame = ViewFrame(np.zeros(1), np.full(1, 9), np.ones(1), np.full(1, 4), (0, 0))
        >>> whole_voxels(frame, np.array([[[2.3], [10.1]]])).tolist()
        [[[2], [10]]]
    """
    rounded = np.stack([np.floor(around[:, 0] + _ROUNDING), np.ceil(around[:, 1] - _ROUNDING)], axis=1)
    return np.clip(rounded, frame.low, frame.high + 1).astype(int)


def _turned(frame: ViewFrame, half: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Return half of the extent along the volume's axes, voxels, of boxes with half an extent in mm along their own."""
    first, second = frame.plane
    cosine, sine = np.abs(heading[:, 0]), np.abs(heading[:, 1])
    turned = half.copy()
    turned[:, first] = cosine * half[:, first] + sine * half[:, second]
    turned[:, second] = sine * half[:, first] + cosine * half[:, second]
    return turned / frame.spacing


def _reach(frame: ViewFrame, extent: np.ndarray, heading: np.ndarray) -> np.ndarray:
    """Return how far the outermost samples lie from the center along the volume's axes, voxels."""
    samples = frame.size * samples_per_voxel(frame, extent)
    return _turned(frame, extent / 2 * (samples - 1) / samples, heading)
