"""What must hold of the sizes of the volumes, as far as the headers of their files tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nibabel as nib
import numpy as np

from medvol.data import load_manifest

from ..opening import OpenBundle
from ..refusal import Problem

MOST = 64
"""Headers read; more cases are looked at in even steps."""


def sizes_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The training volumes are at least as large as ``crop_size``, after their orientation and ``spacing``."""
    config = opened.config
    wanted, spacing = config.get("crop_size"), config.get("spacing")
    if not _are_sizes(wanted) or not _are_sizes(spacing) or "SpatialPadd" in str(config.get("train")):
        return
    if config.get("shards") is not None or config.get("manifest") is None:
        return
    try:
        items = load_manifest(config["manifest"], config.get("dataset_dir")).items("training", config.get("modalities"))
        chosen = [items[i] for i in range(0, len(items), max(1, len(items) // MOST))]
        found = {item["case"]: size for item in chosen if (size := resampled_size(item, spacing)) is not None}
    except (OSError, ValueError, KeyError, TypeError):
        return  # the rule of the data says it
    small = {case: size for case, size in found.items() if any(s < w for s, w in zip(size, wanted, strict=False))}
    if small:
        case, size = min(small.items(), key=lambda entry: min(s / w for s, w in zip(entry[1], wanted, strict=False)))
        shown, zooms = " x ".join(map(str, size)), " x ".join(f"{zoom:g}" for zoom in spacing)
        axis = min(range(len(wanted)), key=lambda axis: size[axis] / wanted[axis])
        remedy = "give a smaller --crop_size (and --patch_size), or a finer --spacing"
        if _are_sizes(config.get("grid")) and config["grid"][axis] > 1:
            grid = [1 if other == axis else n for other, n in enumerate(config["grid"])]
            remedy += (
                f"; or one patch along that axis, --grid {str(grid).replace(' ', '')!r} with a --crop_size that fits"
            )
        yield Problem(
            f"volumes of at least {' x '.join(map(str, wanted))} voxels, the 'crop_size'",
            f"at most {shown} voxels in {case} at a spacing of {zooms} mm, too few along axis {axis} ({'xyz'[axis]}) "
            f"above all; the smallest of {len(small)} such cases",
            remedy,
        )


def resampled_size(item: dict[str, Any], spacing: Any) -> tuple[int, ...] | None:
    """Return the size ``(X, Y, Z)`` in voxels that an item's first image has at most; None if its header cannot tell.

    Args:
        item: of :meth:`medvol.data.Manifest.items`.
        spacing: voxel size in mm per axis, right to left first.
    """
    first = item["image"] if isinstance(item["image"], str) else item["image"][0]
    if not str(first).endswith((".nii", ".nii.gz")):
        return None
    try:
        header = nib.load(first)
    except Exception:  # a damaged file makes the reader fail in any way, and is found when it is read
        return None
    axes = nib.orientations.io_orientation(header.affine)[:3, 0]
    if np.isnan(axes).any() or len(header.shape) < 3 or len(spacing) != 3:
        return None
    order = np.argsort(axes)
    shape = np.array(header.shape[:3])[order]
    zooms = np.array(nib.affines.voxel_sizes(header.affine))[order]
    # One voxel more: whether the outer edges count (scale_extent) is the transform's own affair.
    return tuple(int(size) for size in np.floor(shape * zooms / np.array(spacing)) + 1)


def _are_sizes(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(size, (int, float)) and size > 0 for size in value)
    )
