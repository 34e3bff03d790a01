"""Measuring the images of a manifest: size, spacing, intensities, foreground, labels and quality, as columns."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .datalist import case_name
from .manifest import Manifest
from .quality import image_quality, otsu_threshold, sharpness
from .reading import Header, read_image

_SIDE = 128  # voxels: of longer axes every k-th counts for order statistics
_PERCENTILES = {"intensity_p01": 1, "intensity_p50": 50, "intensity_p99": 99}
_AXES = {3: ("x", "y", "z"), 2: ("rows", "columns")}


def measure(
    item: Mapping[str, Any], root: Path, modalities: Sequence[str], label_map: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Measure one case.

    Everything but ``quality`` speaks of the first modality. What a file does not say or an image does not allow is left
    out. Axes of more than 128 voxels are thinned to every k-th voxel for ``foreground`` and the intensities.

    Args:
        item: an item of a manifest.
        root: folder that its paths start from.
        modalities: names of the channels.
        label_map: names and values of the labels.

    Returns:
        ``size_x``, ``size_y``, ``size_z`` (voxels; of a radiograph ``size_rows``, ``size_columns``); ``spacing_x`` and
        so on (mm); ``extent`` (mm, the shortest side); ``dtype``, ``channels`` (values per voxel of the file);
        ``modality`` (if there is one only); ``foreground`` (fraction of the finite values over Otsu's threshold);
        ``intensity_p01``, ``intensity_p50``, ``intensity_p99`` (percentiles of the finite values); ``quality`` (dB, the
        worst modality) and ``sharpness``; with a label ``labelled_fraction`` (voxels that are not 0) and for each name
        ``volume_<name>`` (ml; of a radiograph ``fraction_<name>`` of the pixels).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file does not read, or does not have as many channels as there are modalities.

    Example:
        >>> import tempfile, nibabel
        >>> ball = np.zeros((8, 8, 8), np.float32)
        >>> ball[2:6, 2:6, 2:6] = 1
        >>> root = Path(tempfile.mkdtemp())
        >>> nibabel.save(nibabel.Nifti1Image(ball, np.diag([1, 1, 2, 1])), root / "a.nii.gz")
        >>> found = measure({"image": "a.nii.gz", "patient": "a"}, root, ("t1",))
        >>> found["size_z"], found["spacing_z"], found["foreground"]
        (8, 2.0, 0.125)
    """
    paths = [item["image"]] if isinstance(item["image"], str) else item["image"]
    header, values = read_image(root / paths[0])
    images = _split(header, values, len(modalities) if len(paths) == 1 else 1, paths[0])
    columns = _geometry(header)
    if len(modalities) == 1:
        columns["modality"] = modalities[0]
    columns |= _intensities(images[0])
    qualities = [image_quality(image) for image in images]
    for path in paths[1:]:
        other, more = read_image(root / path)
        qualities += [image_quality(image) for image in _split(other, more, 1, path)]
    known = [quality for quality in qualities if quality is not None]
    if known:
        columns["quality"] = round(min(known), 2)
    sharp = sharpness(images[0])
    if sharp is not None:
        columns["sharpness"] = round(sharp, 4)
    return columns | (_labels(root / item["label"], label_map or {}) if "label" in item else {})


def measure_manifest(manifest: Manifest, jobs: int | None = None, progress: bool = False) -> dict[str, dict[str, Any]]:
    """Measure every case of a manifest.

    Args:
        manifest: the files must be there.
        jobs: threads; None for one per processor.
        progress: show a bar on standard error.

    Returns:
        Case to columns; see :func:`measure`.

    Raises:
        FileNotFoundError: files are missing.
        ValueError: files do not measure; says how many, and the first three.
    """
    manifest.check()
    items = [item for rows in manifest.sections.values() for item in rows]
    failures: list[str] = []

    def one(item: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return measure(item, manifest.root, manifest.modalities, manifest.label_map)
        except (ValueError, OSError) as error:
            failures.append(str(error))
            return {}

    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        found = list(tqdm(pool.map(one, items), total=len(items), desc="measure", unit="case", disable=not progress))
    if failures:
        raise ValueError(
            f"every case of manifest '{manifest.name}' must be readable; {len(failures)} of {len(items)} are not: "
            f"{'; '.join(sorted(failures)[:3])}; see all with `python -m medvol manifest verify <manifest>`"
        )
    return {case_name(item): columns for item, columns in zip(items, found, strict=True)}


def with_columns(manifest: Manifest, measured: Mapping[str, Mapping[str, Any]]) -> Manifest:
    """Return a manifest whose items have the measured columns beside their own; a measured one replaces its namesake.

    Args:
        manifest: stays as it is.
        measured: case to columns, of all cases or some.

    Raises:
        ValueError: a case that the manifest does not have.

    Example:
        >>> items = [{"image": "a.nii.gz", "patient": "a", "columns": {"age": 70}}]
        >>> plain = Manifest("demo", Path("."), ("t1",), {}, True, {"training": items})
        >>> with_columns(plain, {"a": {"size_x": 4}}).sections["training"][0]["columns"]
        {'age': 70, 'size_x': 4}
    """
    strangers = sorted(set(measured) - {case_name(item) for rows in manifest.sections.values() for item in rows})
    if strangers:
        raise ValueError(
            f"measured cases must be of manifest '{manifest.name}'; found {', '.join(strangers[:3])}; measure it again"
        )
    sections = {
        section: [_with(item, measured.get(case_name(item), {})) for item in rows]
        for section, rows in manifest.sections.items()
    }
    return dataclasses.replace(manifest, sections=sections)


def _with(item: dict[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**item.get("columns", {}), **columns}
    return {**item, "columns": merged} if merged else item


def _split(header: Header, values: np.ndarray, count: int, path: str) -> list[np.ndarray]:
    """Return one image per modality; the colors of one modality become gray."""
    if count > 1:
        if header.channels != count:
            raise ValueError(
                f"{path} must have a channel for each of {count} modalities; it has {header.channels}; correct the "
                "manifest or the file"
            )
        return [values[..., channel] for channel in range(count)]
    return [values.mean(axis=-1, dtype=np.float32) if header.channels > 1 else values]


def _geometry(header: Header) -> dict[str, Any]:
    names = _AXES[len(header.shape)]
    columns: dict[str, Any] = {f"size_{name}": size for name, size in zip(names, header.shape, strict=True)}
    if np.isfinite(header.spacing).all():
        columns |= {f"spacing_{name}": value for name, value in zip(names, header.spacing, strict=True)}
        sides = [size * value for size, value in zip(header.shape, header.spacing, strict=True) if size > 1]
        columns |= {"extent": _rounded(min(sides))} if sides else {}
    return {**columns, "dtype": header.dtype, "channels": header.channels}


def _intensities(image: np.ndarray) -> dict[str, Any]:
    thinned = image[tuple(slice(None, None, -(-size // _SIDE)) for size in image.shape)]
    finite = thinned[np.isfinite(thinned)].astype(np.float64)
    if finite.size == 0:
        return {}
    levels = np.percentile(finite, list(_PERCENTILES.values()))
    threshold = otsu_threshold(finite)
    foreground = {} if threshold is None else {"foreground": _rounded(np.mean(finite > threshold))}
    return {**foreground, **{name: _rounded(level) for name, level in zip(_PERCENTILES, levels, strict=True)}}


def _labels(path: Path, label_map: Mapping[str, int]) -> dict[str, Any]:
    header, values = read_image(path)
    columns = {"labelled_fraction": _rounded(np.mean(values != 0))}
    unit, factor = "fraction", 1 / max(values.size, 1)
    if not header.is_radiograph:
        unit, factor = "volume", float(np.prod(header.spacing)) / 1000
    for name, value in label_map.items():
        if value != 0 and np.isfinite(factor):
            columns[f"{unit}_{re.sub(r'[^0-9A-Za-z_]', '_', name)}"] = _rounded(np.sum(values == value) * factor)
    return columns


def _rounded(value: Any) -> float:
    return float(f"{float(value):.6g}")
