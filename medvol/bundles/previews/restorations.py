"""Images that stay whole: what is hidden or spoiled in them, what is to be restored, and what a network restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medvol.figures import COLORS, add_outline, gray_range, show_plane

from .geometry import Cut, Geometry
from .observation import Observation
from .outlines import center_of, is_map, label_parts
from .page import Page
from .panels import axis_name, fitted, line, patch, titled
from .trained import Restored

__all__ = ["draw_input", "is_restoration", "restores"]

UNCOUNTED = "#005A4B"
"""A dark green, which neither gray images nor the color map of errors hold."""
_ERRORS, _BAR, _BAR_WORDS = "inferno", 0.12, 0.55  # color map, inches


@dataclass(frozen=True)
class _Row:
    """The planes of one array beside each other."""

    name: str
    array: np.ndarray
    window: tuple[float, float]
    color_map: str = "gray"


def restores(sample: Mapping[str, Any]) -> bool:
    """Say whether a sample shows itself to be one of a restoration: its label is an image like the input.

    Example:
        >>> image = np.zeros((1, 4, 4), np.float32)
        >>> restores({"image": image, "label": image}), restores({"image": image, "label": image.astype(int)})
        (True, False)
    """
    image, label = sample["image"], sample.get("label")
    if not hasattr(label, "shape") or tuple(label.shape) != tuple(image.shape):
        return False
    return np.asarray(image).dtype.kind == "f" and np.asarray(label).dtype.kind == "f"


def is_restoration(sample: Mapping[str, Any]) -> bool:
    """Say whether a network can be asked to restore a sample: something of it is hidden, spoiled or mixed by a task.

    The sample of a segmentation has neither a mask nor the record of a task, and its label is whole numbers, of
    whatever type.

    Example:
        >>> image = np.full((1, 4, 4), 0.5, np.float32)
        >>> is_restoration({"image": image, "label": image}), is_restoration({"image": image, "label": image * 2})
        (True, False)
    """
    if hasattr(sample.get("mask"), "shape") or sample.get("pretext") is not None:
        return True
    if not restores(sample):
        return False
    label = np.asarray(sample["label"])
    counted = label[np.isfinite(label)]
    return not np.array_equal(counted, np.round(counted))


def draw_input(
    page: Page,
    seen: Observation,
    modalities: Sequence[str],
    labels: Mapping[str, Any],
    restored: Restored | None = None,
) -> None:
    """Draw an image that stays whole: the target, if there is one, the input, and what a network restored of it.

    Hidden voxels are drawn as 0 in the input, whatever the network puts there, and tinted; a mask of tokens only tints.
    Without a mask, input and target have gray windows of their own: a task may show and ask for other units. Voxels
    that the loss does not count, NaN in the label, are green.

    Args:
        page: where to draw.
        seen: the sample.
        modalities: names of the image's channels; the first is drawn.
        labels: the names for :func:`label_parts`.
        restored: what a trained network made of it.
    """
    image, label, mask = np.asarray(seen.sample["image"]), seen.sample.get("label"), seen.sample.get("mask")
    mask = np.asarray(mask) if hasattr(mask, "shape") else None
    geometry, shape, is_target = seen.geometry, image.shape[1:], restores(seen.sample)
    parts = [] if is_target or not is_map(label, image) else label_parts(label, labels)
    cuts = geometry.cuts(shape, center_of([part for _, _, part in parts], shape))
    gray = _window(geometry, np.asarray(label) if is_target else image, cuts) or _window(geometry, image, cuts)
    rows = [_Row("target", np.asarray(label), gray)] if is_target else []
    own = _window(geometry, image, cuts) if is_target and mask is None else None
    rows.append(_Row("input", _without(image, mask), own or gray))
    if restored is not None:
        rows += _restored_rows(restored, gray, is_target)
        page.text(restored.summary)
    width = page.inner(len(cuts), left=True) - (_BAR + _BAR_WORDS if restored is not None else 0.0)
    sizes = fitted([geometry.size(shape, cut) for cut in cuts], width, 2.4)
    for number, row in enumerate(rows):
        titles = [titled(modalities, axis_name(cut)) if number == 0 else "" for cut in cuts]
        scaled = row.color_map == _ERRORS
        panels = page.row(
            [*sizes, (_BAR, sizes[0][1])] if scaled else sizes, [*titles, ""] if scaled else titles, row.name
        )
        for panel, cut in zip(panels, cuts, strict=False):
            extent = _show(panel, geometry, row, cut)
            if row.name == "input":
                _tint(panel, geometry, mask, shape, cut, extent)
                for _, color, part in parts:
                    inside = geometry.plane(part, cut) > 0
                    add_outline(panel, inside, geometry.voxel(cut), COLORS[color % len(COLORS)])
        if scaled:
            _scale(panels[-1], row.window)
    _legend(page, mask is not None, parts, any(np.isnan(row.array).any() for row in rows))


def _restored_rows(restored: Restored, gray: tuple[float, float], has_target: bool) -> list[_Row]:
    levels = (0.0, restored.classes - 1.0) if restored.classes else gray
    rows = [] if has_target else [_Row("target", restored.target, levels)]
    rows.append(_Row("output", restored.output, levels))
    if restored.composite is not None:
        rows.append(_Row("composite", restored.composite, levels))
    if restored.classes:
        return [*rows, _Row("wrong", restored.error, (0.0, 1.0))]
    return [*rows, _Row("error", restored.error, (0.0, (gray[1] - gray[0]) / 4), _ERRORS)]


def _window(geometry: Geometry, array: np.ndarray, cuts: Sequence[Cut]) -> tuple[float, float] | None:
    """Return the gray window of what is drawn of an array; None where nothing of it is a number."""
    planes = [geometry.plane(array, cut) for cut in cuts]
    return gray_range(planes) if any(np.isfinite(plane).any() for plane in planes) else None


def _without(image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return an image with 0 where it is hidden, if the mask lies on its voxels."""
    if mask is None or mask.shape != (1, *image.shape[1:]):
        return image
    return np.where(mask > 0.5, np.zeros((), image.dtype), image)


def _show(panel: Any, geometry: Geometry, row: _Row, cut: Cut) -> tuple[float, float, float, float]:
    from matplotlib import colormaps

    extent = show_plane(panel, geometry.plane(row.array, cut), geometry.voxel(cut), row.window)
    panel.images[0].set_cmap(colormaps[row.color_map].with_extremes(bad=UNCOUNTED))
    return extent


def _tint(
    panel: Any, geometry: Geometry, mask: np.ndarray | None, shape: tuple[int, ...], cut: Cut, extent: Any
) -> None:
    """Tint what is hidden; a mask of tokens is as coarse as they are."""
    if mask is None:
        return
    from matplotlib.colors import to_rgba

    hidden = mask if mask.ndim == len(shape) + 1 else mask[None]
    index = cut.index if cut.normal is None else cut.index * hidden.shape[1 + cut.normal] // shape[cut.normal]
    plane = geometry.plane(hidden, cut._replace(index=index)) > 0.5
    tint = np.zeros((*plane.T.shape, 4))
    tint[plane.T] = to_rgba(COLORS[0], 0.5)
    panel.imshow(tint, origin="lower", extent=extent, interpolation="nearest")


def _scale(panel: Any, window: tuple[float, float]) -> None:
    """Draw the colors of the errors."""
    low, high = window if window[1] > window[0] else (window[0] - 0.5, window[0] + 0.5)
    ramp = np.linspace(low, high, 128)[:, None]
    panel.imshow(ramp, cmap=_ERRORS, origin="lower", extent=(0, 1, low, high), aspect="auto")
    panel.set(xticks=[], yticks=[low, (low + high) / 2, high])
    panel.set_yticklabels([f"{low:.2g}", f"{(low + high) / 2:.2g}", f"\N{GREATER-THAN OR EQUAL TO} {high:.2g}"])
    panel.yaxis.tick_right()
    panel.tick_params(labelsize=6, length=2, pad=1)


def _legend(page: Page, hidden: bool, parts: Sequence[tuple[str, int, np.ndarray]], uncounted: bool) -> None:
    handles = [patch("hidden from the network", COLORS[0], 0.5)] if hidden else []
    handles += [patch("not counted by the loss", UNCOUNTED, 1.0)] if uncounted else []
    handles += [line(name, COLORS[number % len(COLORS)]) for name, number, _ in parts]
    if handles:
        page.legend(handles)
