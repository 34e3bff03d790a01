"""Images with the outlines of their labels, before and after random changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from monai.data import MetaTensor

from medvol.figures import COLORS, add_outline, gray_range, mark_ends, show_plane

from .geometry import Cut
from .observation import Observation
from .page import Page
from .panels import axis_name, fitted, line

__all__ = ["center_of", "draw_labels", "is_map", "label_parts"]

MODALITIES = 4  # panels at most, one for each
_LINES = ((2.0, "-"), (1.6, "-"), (1.6, ":"))  # width in points, style


def label_parts(label: Any, labels: Mapping[str, Any]) -> list[tuple[str, int, np.ndarray]]:
    """Split a label into named parts.

    Args:
        label: ``(R, *spatial)`` regions, or ``(1, *spatial)`` whole numbers.
        labels: may hold ``regions`` (names in the order of the channels), ``classes`` (names of the numbers from 1) and
            ``label_map`` (name to number).

    Returns:
        Name, number of the color, and ``(1, *spatial)`` truth values of each part; without the background.

    Example:
        >>> [name for name, _, _ in label_parts(np.array([[0, 1, 3]]), {"classes": ["a", "b"]})]
        ['a', 'label 3']
    """
    values = np.asarray(label)
    regions, classes = list(labels.get("regions") or ()), list(labels.get("classes") or ())
    if regions and len(regions) == len(values) and (len(values) > 1 or not classes):
        return [(name, number, values[number : number + 1] > 0.5) for number, name in enumerate(regions)]
    if classes:
        named = dict(enumerate(classes, 1))
    else:
        named = {int(number): name for name, number in (labels.get("label_map") or {}).items() if int(number)}
    found = sorted({int(value) for value in np.unique(values[np.isfinite(values)])} - {0})
    order = sorted({*named, *found})
    return [(str(named.get(n, f"label {n}")), order.index(n), values[:1] == n) for n in found]


def is_map(label: Any, image: Any) -> bool:
    """Say whether a label lies on the image's voxels; an evaluation leaves it on those of its file."""
    if not hasattr(label, "shape") or tuple(label.shape[1:]) != tuple(image.shape[1:]):
        return False
    both = isinstance(label, MetaTensor) and isinstance(image, MetaTensor)
    return not both or np.allclose(label.affine, image.affine, atol=1e-3)


def center_of(parts: Sequence[np.ndarray], shape: Sequence[int]) -> list[int]:
    """Return for each axis the slice with most of the labels, the middle one without any."""
    inside = np.any([part[0] for part in parts], axis=0) if parts else np.zeros(shape, dtype=bool)
    if not inside.any():
        return [size // 2 for size in shape]
    others = [tuple(other for other in range(inside.ndim) if other != axis) for axis in range(inside.ndim)]
    counts = [inside.sum(axis=other) for other in others]
    # The middle of the equally full ones.
    return [int(np.flatnonzero(count == count.max())[(np.sum(count == count.max()) - 1) // 2]) for count in counts]


def draw_labels(page: Page, seen: Observation, modalities: Sequence[str], labels: Mapping[str, Any]) -> None:
    """Draw every modality with the outlines of the labels in one row, before and after random changes.

    One modality is drawn in three planes, several in one.

    Args:
        page: where to draw.
        seen: the sample.
        modalities: names of the image's channels.
        labels: the names for :func:`label_parts`.
    """
    names = list(modalities[:MODALITIES])
    before = [] if seen.plain is None else _views(seen, seen.plain, names, labels, "before", not seen.turned)
    after = _views(seen, seen.sample, names, labels, "after" if before else "", not seen.chance)
    if before:
        voxels = " x ".join(str(size) for size in seen.sample["image"].shape[1:])
        places = ("", "") if len(names) == 1 else (f", {before[0].place}", f", {after[0].place}")
        page.text(
            f"left: {voxels} voxels before random changes{places[0]}; right: as the network gets them, perhaps "
            f"mirrored or turned{places[1]}"
        )
    views = [*before, None, *after] if before else after
    geometry, few = seen.geometry, len(names) == 1
    found = {name: number for view in views if view for name, number, _ in view.parts}
    sizes_of = {n: sum(int(p.sum()) for view in views if view for name, _, p in view.parts if name == n) for n in found}
    # The largest is drawn first and widest, the third with gaps, so that parts that share a rim all show on it.
    ranked = sorted(found, key=lambda name: -sizes_of[name])
    looks = {name: _LINES[min(rank, len(_LINES) - 1)] for rank, name in enumerate(ranked)}
    sizes = fitted([(view.size if view else (0.0, 1.0)) for view in views], page.inner(len(views), letters=few), 3.0)
    panels = page.row(sizes, [view and view.title for view in views], size=8 if few else 7, letters=few)
    grays = [gray_range([v.plane for v in views if v and v.channel == channel]) for channel in range(len(names))]
    for panel, view in zip(panels, (view for view in views if view), strict=True):
        show_plane(panel, view.plane, geometry.voxel(view.cut), grays[view.channel])
        for name, number, part in sorted(view.parts, key=lambda one: -sizes_of[one[0]]):
            inside, color = geometry.plane(part, view.cut) > 0, COLORS[number % len(COLORS)]
            add_outline(panel, inside, geometry.voxel(view.cut), color, *looks[name])
        if view.letters:
            mark_ends(panel, *view.letters, outside=few, size=8 if few else 6)
    if found:
        page.legend([line(name, COLORS[found[name] % len(COLORS)], looks[name][1]) for name in found])


@dataclass(frozen=True)
class _View:
    """One panel."""

    title: str
    place: str
    plane: np.ndarray
    size: tuple[float, float]
    cut: Cut
    channel: int
    parts: list[tuple[str, int, np.ndarray]]
    letters: tuple[tuple[str, str], tuple[str, str]] | None


def _views(
    seen: Observation,
    sample: Mapping[str, Any],
    names: Sequence[str],
    labels: Mapping[str, Any],
    state: str,
    lies: bool,
) -> list[_View]:
    """Return the panels of one state of a sample; ``lies`` says whether its axes are those of the patient."""
    geometry, image, label = seen.geometry, sample["image"], sample.get("label")
    shape = tuple(image.shape[1:])
    parts = label_parts(label, labels) if is_map(label, image) else []
    cuts = geometry.cuts(shape, center_of([part for _, _, part in parts], shape))
    cuts = cuts if len(names) == 1 else cuts[:1]
    views = []
    for cut in cuts:
        place = geometry.title(cut, shape) if lies else axis_name(cut)
        for channel, name in enumerate(names):
            short = f"slice {cut.index}" if state and not lies else place.replace(", slice", "") if state else place
            title = f"{name} {state}".strip() + ("" if not place or (len(names) > 1 and state) else f", {short}")
            plane, letters = geometry.plane(image, cut, channel), geometry.letters(cut) if lies else None
            views.append(_View(title, place, plane, geometry.size(shape, cut), cut, channel, parts, letters))
    return views
