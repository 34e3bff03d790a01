"""The page of a preview: volumes with boxes, and what is cut from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medvol.figures import add_box, gray_range, mark_ends, show_plane

from .geometry import Geometry
from .observation import Observation
from .outlines import draw_labels
from .page import Page
from .panels import axis_name, fitted, titled
from .prediction import Prediction
from .restorations import draw_input, restores
from .roles import Roles, box_roles
from .trained import Restored

__all__ = ["draw_sample"]

MODALITIES = 4  # rows or panels at most, one for each
ENTRIES = 10  # patches of one strip
_FEW = 2  # views up to this number are drawn in three planes each


def draw_sample(
    page: Page,
    seen: Observation,
    modalities: Sequence[str],
    labels: Mapping[str, Any],
    prediction: Prediction | None = None,
    background: Sequence[bool] = (),
    restored: Restored | None = None,
) -> None:
    """Draw one sample, by what its record and its keys say.

    With a record: the volume with boxes, then what was cut, or the target and the input of a restoration. Without: the
    target and the input of a masked restoration, or the image of every modality with the outlines of its labels, before
    and after random changes.

    Args:
        page: where to draw.
        seen: the sample.
        modalities: names of the image's channels.
        labels: the names for :func:`label_parts`.
        prediction: an example of what is predicted from what.
        background: for each box whether it is background.
        restored: what a trained network made of the sample.
    """
    if seen.record is None:
        if restored is not None or ("mask" in seen.sample and restores(seen.sample)):
            draw_input(page, seen, modalities, labels, restored)
        else:
            draw_labels(page, seen, modalities, labels)
        return
    if seen.record.answer:
        page.text(f"class: {seen.record.answer}", size=9, bold=True)
    roles = box_roles(seen.record, seen.geometry, prediction, background)
    _draw_boxes(page, seen, modalities, roles)
    image = seen.sample["image"]
    if image.ndim > seen.source.ndim or len(seen.record.keys) > 1:
        _draw_entries(page, seen, modalities, roles)
    else:
        draw_input(page, seen, modalities, labels, restored)


def _draw_boxes(page: Page, seen: Observation, modalities: Sequence[str], roles: Roles) -> None:
    """Draw the volume that the boxes refer to, with what three planes cut of them."""
    geometry, shape, record = seen.geometry, tuple(seen.source.shape[1:]), seen.record
    cuts = geometry.cuts(shape, roles.center(record.boxes, record.crop, shape))
    sizes = fitted([geometry.size(shape, cut) for cut in cuts], page.inner(len(cuts), letters=True), 3.4)
    planes = [geometry.plane(seen.source, cut) for cut in cuts]
    gray = gray_range(planes)
    panels = page.row(sizes, [titled(modalities, geometry.title(cut, shape)) for cut in cuts], letters=True)
    for panel, cut, plane, (width, _) in zip(panels, cuts, planes, sizes, strict=True):
        show_plane(panel, plane, geometry.voxel(cut), gray)
        if record.crop is not None and (region := geometry.rectangle(record.crop, shape, cut)):
            add_box(panel, region, "white", style=":", width=1.0)
        scale = width / geometry.size(shape, cut)[0]  # inches per millimeter
        for number in roles.order:
            box = geometry.rectangle(record.boxes[number], shape, cut)
            if box is None:
                continue
            color, style, line, _ = roles.look(number)
            size = min(8.0, max(4.0, (box[1] - box[0]) * scale * 72 / (0.8 + 0.65 * len(roles.label(number)))))
            add_box(panel, box, color, roles.label(number), style, line, size)
        if not seen.turned and (letters := geometry.letters(cut)):
            mark_ends(panel, *letters, outside=True, size=8)
    if record.crop is not None:
        roles.note("the crop", "white", ":", 1.0)
    if handles := roles.handles():
        page.legend(handles)


def _draw_entries(page: Page, seen: Observation, modalities: Sequence[str], roles: Roles) -> None:
    """Draw patches or views as the network gets them: few in three planes each, many in one, a row per modality."""
    record, axes = seen.record, seen.source.ndim - 1
    arrays = [np.asarray(seen.sample[key]) for key in record.keys if key in seen.sample]
    entries = [entry for array in arrays for entry in (array if array.ndim > axes + 1 else array[None])]
    count = len(entries)
    if count <= _FEW:
        page.text(f"as the network gets it: {modalities[0]}")
        _draw_few(page, seen.geometry, entries, roles)
        return
    chosen = list(range(min(count, ENTRIES))) if record.permutation else roles.chosen(count, ENTRIES)
    cuts = [seen.geometry.cuts(entries[n].shape[1:], [s // 2 for s in entries[n].shape[1:]])[0] for n in chosen]
    plane = seen.geometry.title(cuts[0], entries[0].shape[1:]).partition(",")[0]
    words = f"{len(chosen)} of the {count}" if len(chosen) < count else f"all {count}"
    middle = f"; middle slices, {plane}" if plane else ""
    order = "; place \N{LEFTWARDS ARROW} patch" if record.permutation else ""
    page.text(f"{words}, as the network gets them{middle}{order}; one gray scale for each row")
    largest = [seen.geometry.size(entries[n].shape[1:], cut) for n, cut in zip(chosen, cuts, strict=True)]
    sizes = fitted(largest, min(page.inner(len(chosen), left=True), 1.0 * len(chosen)), 1.0)
    for channel, modality in enumerate(modalities[:MODALITIES]):
        planes = [seen.geometry.plane(entries[n], cut, channel) for n, cut in zip(chosen, cuts, strict=True)]
        titles = [roles.entry_name(n) if channel == 0 else "" for n in chosen]
        gray = gray_range(planes)
        for panel, drawn, cut, n in zip(page.row(sizes, titles, modality), planes, cuts, chosen, strict=True):
            show_plane(panel, drawn, seen.geometry.voxel(cut), gray)
            _frame(panel, roles.color(record.permutation[n] if record.permutation else n))


def _draw_few(page: Page, geometry: Geometry, entries: Sequence[np.ndarray], roles: Roles) -> None:
    cuts = [
        (n, cut) for n, e in enumerate(entries) for cut in geometry.cuts(e.shape[1:], [s // 2 for s in e.shape[1:]])
    ]
    sizes = fitted([geometry.size(entries[n].shape[1:], cut) for n, cut in cuts], page.inner(len(cuts)), 2.4)
    planes = [geometry.plane(entries[n], cut) for n, cut in cuts]
    # Not by the letters of the volume: a view may be turned.
    panels = page.row(sizes, [", ".join(filter(None, (roles.entry_name(n), axis_name(cut)))) for n, cut in cuts])
    grays = [gray_range([p for p, (m, _) in zip(planes, cuts, strict=True) if m == n]) for n in range(len(entries))]
    for panel, plane, (n, cut) in zip(panels, planes, cuts, strict=True):
        show_plane(panel, plane, geometry.voxel(cut), grays[n])
        _frame(panel, roles.color(n))


def _frame(panel: Any, color: str) -> None:
    for spine in panel.spines.values():
        spine.set(edgecolor=color, linewidth=2.0)
