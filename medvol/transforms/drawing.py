"""Random boxes for the views of a volume."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .boxes import ViewBoxes, ViewFrame, bounds, center_range, fit, largest_extent, overlap

__all__ = ["draw_boxes", "moved_toward"]

_STEPS = 16  # of a quarter of the way that is left; then 99 % of the way is gone
_QUARTERS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])  # cosine and sine


def draw_boxes(
    random: np.random.RandomState,
    frame: ViewFrame,
    count: int,
    scale: Sequence[float] = (0.3, 1.0),
    ratio: float = 1.0,
    rotate: float = 0.0,
    quarter_turns: bool = False,
) -> ViewBoxes:
    """Draw boxes of random size, proportions, turn and place that lie in the region.

    Where there is no choice (an axis of one voxel, a range of no length), no random number is taken.

    Args:
        random: generator.
        frame: region, spacing, size and plane.
        count: number of boxes N.
        scale: range of the sides, 1 for those of the largest box that fits.
        ratio: sides are stretched by ``1 / ratio`` to ``ratio``, log-uniform, normalized to the product 1.
        rotate: largest turn in the plane, degrees.
        quarter_turns: add a random multiple of 90 degrees.

    Returns:
        The boxes. One that does not fit is shrunk, all axes alike.

    Example:
        >>> frame = ViewFrame(np.zeros(3), np.full(3, 9), np.ones(3), np.full(3, 4), (0, 1))
        >>> draw_boxes(np.random.RandomState(0), frame, 2, (0.5, 0.5)).extent.tolist()
        [[5.0, 5.0, 5.0], [5.0, 5.0, 5.0]]
    """

    def between(low: float, high: float) -> np.ndarray:
        return np.full(count, low) if low == high else random.uniform(low, high, size=count)

    thick = np.flatnonzero(frame.size > 1)
    extent = np.tile(largest_extent(frame), (count, 1))
    extent[:, thick] *= between(*scale)[:, None]
    if len(thick) > 1:
        logs = np.stack([between(-math.log(ratio), math.log(ratio)) for _ in thick], axis=1)
        extent[:, thick] *= np.exp(logs - logs.mean(axis=1, keepdims=True))
    heading = np.tile([1.0, 0.0], (count, 1))
    if set(frame.plane) <= set(thick.tolist()):
        angle = np.radians(between(-rotate, rotate))
        heading = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        if quarter_turns:
            cosine, sine = _QUARTERS[random.randint(4, size=count)].T
            mixed = [heading[:, 0] * cosine - heading[:, 1] * sine, heading[:, 0] * sine + heading[:, 1] * cosine]
            heading = np.stack(mixed, axis=1)  # whole quarters stay exact
    extent = fit(frame, extent, heading)
    low, high = center_range(frame, extent, heading)
    center = low.copy()
    for axis in thick:
        center[:, axis] += random.uniform(size=count) * (high - low)[:, axis]
    return ViewBoxes(center, extent, heading)


def moved_toward(frame: ViewFrame, box: ViewBoxes, target: ViewBoxes, least: float) -> ViewBoxes:
    """Give a box the turn of another, and move and scale it toward that one until they share enough.

    Args:
        frame: region, spacing, size and plane.
        box: the box, N = 1.
        target: the other one, N = 1.
        least: intersection over union of the upright boxes around the two, below 1.

    Returns:
        One box in the region; the target itself where nothing before it shares enough.

    Example:
        >>> frame = ViewFrame(np.zeros(3), np.full(3, 9), np.ones(3), np.full(3, 4), (0, 1))
        >>> upright, four = np.array([[1.0, 0.0]]), np.full((1, 3), 4.0)
        >>> box, target = ViewBoxes(four / 2, four, upright), ViewBoxes(four, four, upright)
        >>> moved_toward(frame, box, target, 0.3).center.round(2).tolist()
        [[3.16, 3.16, 3.16]]
    """
    around = bounds(frame, target)[0]
    for weight in 1 - 0.75 ** np.arange(_STEPS):
        extent = fit(frame, box.extent ** (1 - weight) * target.extent**weight, target.heading)
        center = np.clip(
            (1 - weight) * box.center + weight * target.center, *center_range(frame, extent, target.heading)
        )
        moved = ViewBoxes(center, extent, target.heading)
        if overlap(bounds(frame, moved), around)[0] >= least:
            return moved
    return target
