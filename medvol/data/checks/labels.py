"""Checks of one label: its grid, and that the label map names its values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..reading import Header
from .finding import Problem
from .volumes import check_finite, distance, is_plain, sizes

_TOLERANCE = 1e-3  # of a voxel edge
_SHOWN = 8  # values that a finding lists
_COUNTED = 1 << 16  # a table of counts up to this value is faster than sorting the voxels


def check_label(
    values: np.ndarray, header: Header, image: Header | None, label_map: Mapping[str, int] | None
) -> list[Problem]:
    """Return what is wrong with a label.

    Args:
        values: (X, Y, Z) or (rows, columns).
        header: of the label.
        image: header of the image; None if it is not readable.
        label_map: structure to integer; 0 needs no name. None if it is unknown.

    Example:
        >>> header = Header((2, 2, 2), 1, (1, 1, 1), np.eye(4), "uint8", {})
        >>> values = np.array([0, 0, 0, 0, 0, 1, 1, 7]).reshape(2, 2, 2)
        >>> check_label(values, header, header, {"tumor": 1})[0].found
        '7 (1 voxel)'
    """
    if not is_plain(values):
        return [Problem("dtype", "error", "integers", f"voxels of type {values.dtype}", "store the label as integers")]
    return _grid(header, image) + (check_finite(values) or _values(values, label_map))


def _grid(header: Header, image: Header | None) -> list[Problem]:
    if header.channels > 1:
        remedy = "merge the structures into one file of integers"
        return [Problem("label-shape", "error", "one value per voxel", f"{header.channels} channels", remedy)]
    if image is None:
        return []
    if header.shape != image.shape:
        expected, remedy = f"the image's shape {sizes(image.shape)}", "resample the label to the image's grid"
        return [Problem("label-shape", "error", expected, sizes(header.shape), remedy)]
    apart = distance(header, image)
    if apart > _TOLERANCE:
        remedy = "look at them over each other; then copy the image's affine, or resample the label"
        found = f"corners up to {apart:.3g} voxels apart"
        return [Problem("label-grid", "warning", "the image's place in millimeters", found, remedy)]
    return []


def _values(values: np.ndarray, label_map: Mapping[str, int] | None) -> list[Problem]:
    found = _counts(values)
    problems = []
    known = {0, *label_map.values()} if label_map is not None else None
    strange = {v: n for v, n in found.items() if v != int(v) or (known is not None and v not in known)}
    if strange:
        expected = f"integers among {sorted(known)}" if known is not None else "integers"
        remedy = "add them to the label map, or correct the label (interpolate labels with 'nearest')"
        problems.append(Problem("label-values", "error", expected, _listed(strange), remedy))
    if not any(found):
        remedy = "nothing, if the patient has none of the structures; or draw the label"
        problems.append(Problem("label-empty", "warning", "a labelled voxel", "0 everywhere", remedy))
    return problems


def _counts(values: np.ndarray) -> dict[float, int]:
    """Return how often each value occurs."""
    low, high = values.min(), values.max()
    if values.dtype.kind in "biu" and low >= 0 and high < _COUNTED:
        counts = np.bincount(values.reshape(-1).astype(np.intp, copy=False))
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    unique, counts = np.unique(values, return_counts=True)
    return dict(zip(unique.tolist(), counts.tolist(), strict=True))


def _listed(strange: Mapping[float, int]) -> str:
    shown = [f"{v:.6g} ({n} voxel{'s' * (n > 1)})" for v, n in list(strange.items())[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(strange) - _SHOWN} more values" if len(strange) > _SHOWN else "")
