"""Scores of a predicted label map against its reference: per case, per named region, on the native grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .distances import dice, hd95
from .lesions import lesion_scores

__all__ = ["BRATS_REGIONS", "SegmentationScores", "mean_over_cases"]

BRATS_REGIONS = {
    "WT": ["necrosis", "non_enhancing", "oedema", "enhancing"],
    "TC": ["necrosis", "non_enhancing", "enhancing"],
    "ET": ["enhancing"],
}
"""The BraTS regions by label name: whole tumor, tumor core, enhancing tumor. The integers behind the names differ
between data sets (enhancing is 4 in BraTS up to 2022, 3 from 2023 on and in the decathlon, where 1 is edema), so they
come from the ``label_map`` of the data set's manifest, never from here."""

METRICS = ("dice", "hd95", "lesion_dice", "lesion_hd95")


class SegmentationScores:
    """Dice, HD95 and their lesion-wise forms of one case, for regions defined by label names.

    Dice and HD95 follow the BraTS rules for empty regions (both empty: 1 and 0; one empty: 0 and ``hd95_cap``), see
    :func:`medvol.metrics.dice` and :func:`medvol.metrics.hd95`; the lesion-wise scores are those of
    :func:`medvol.metrics.lesion_scores`. A region takes the names that the data set has: with BraTS 2023, which has
    no ``non_enhancing``, TC is necrosis and enhancing.

    Args:
        regions: region name -> label names, for example :data:`BRATS_REGIONS`.
        label_map: label name -> integer in the files of this data set; 0 is background and need not be named.
        metrics: which of ``dice``, ``hd95``, ``lesion_dice``, ``lesion_hd95`` to compute.
        lesion_dilation: see ``dilation`` of :func:`medvol.metrics.lesion_scores`.
        lesion_min_volume: see ``min_volume`` there, in cubic millimeters.
        hd95_cap: distance in millimeters of a missed region or lesion.

    Raises:
        ValueError: if a region has no label of the data set, a label is in no region, an integer has two names, or a
            metric is unknown.

    Example:
        >>> scores = SegmentationScores({"tumor": ["core", "rim"]}, {"core": 1, "rim": 3}, metrics=["dice"])
        >>> scores(np.array([[1, 3]]), np.array([[3, 0]]), spacing=(1.0, 1.0))
        [{'region': 'tumor', 'metric': 'dice', 'value': 0.6666666666666666}]
    """

    def __init__(
        self,
        regions: Mapping[str, Sequence[str]],
        label_map: Mapping[str, int],
        metrics: Sequence[str] = METRICS,
        lesion_dilation: int = 3,
        lesion_min_volume: float = 50.0,
        hd95_cap: float = 374.0,
    ) -> None:
        unknown = [metric for metric in metrics if metric not in METRICS]
        if unknown or not metrics:
            raise ValueError(f"metrics must be some of {METRICS}, but got {tuple(metrics)}; remove {unknown}")
        self.integers = _region_integers(regions, label_map)
        self.label_map = dict(label_map)
        self.metrics = tuple(metrics)
        self.lesion_dilation = lesion_dilation
        self.lesion_min_volume = lesion_min_volume
        self.hd95_cap = float(hd95_cap)

    def __call__(
        self, prediction: np.ndarray | torch.Tensor, reference: np.ndarray | torch.Tensor, spacing: Sequence[float]
    ) -> list[dict[str, Any]]:
        """Score one case.

        Args:
            prediction: integer label map ``(*spatial)`` or ``(1, *spatial)``, two or three spatial axes.
            reference: integer label map of the same spatial shape.
            spacing: voxel size in millimeters, one number per spatial axis.

        Returns:
            One ``{"region", "metric", "value"}`` per region and metric, in the order of the constructor.

        Raises:
            ValueError: if the shapes differ, or a label map holds a number that is not in ``label_map``.
        """
        spacing = tuple(float(size) for size in spacing)
        predicted = self._label_map("prediction", prediction, spacing)
        labeled = self._label_map("reference", reference, spacing)
        if predicted.shape != labeled.shape:
            raise ValueError(
                f"prediction and reference must share one grid, but have the shapes {predicted.shape} and "
                f"{labeled.shape}; bring the prediction back with Invertd before scoring"
            )
        # A volume of depth one is scored as the plane it is: in 3D, each of its voxels would be surface.
        axes = [axis for axis, size in enumerate(predicted.shape) if size > 1]
        axes = axes if len(axes) > 1 else list(range(min(2, predicted.ndim)))
        shape = [predicted.shape[axis] for axis in axes]
        predicted, labeled = predicted.reshape(shape), labeled.reshape(shape)
        box = _bounding_box((predicted > 0) | (labeled > 0))
        sizes = tuple(spacing[axis] for axis in axes)
        rows = []
        for region, integers in self.integers.items():
            values = self._scores(np.isin(predicted[box], integers), np.isin(labeled[box], integers), sizes, spacing)
            rows += [{"region": region, "metric": metric, "value": values[metric]} for metric in self.metrics]
        return rows

    def mean(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """Return the means of many cases' rows, see :func:`mean_over_cases`."""
        return mean_over_cases(rows)

    def _scores(
        self, predicted: np.ndarray, labeled: np.ndarray, sizes: tuple[float, ...], spacing: tuple[float, ...]
    ) -> dict[str, float]:
        values = {}
        if "dice" in self.metrics:
            values["dice"] = dice(predicted, labeled)
        if "hd95" in self.metrics:
            values["hd95"] = hd95(predicted, labeled, sizes, self.hd95_cap)
        if "lesion_dice" in self.metrics or "lesion_hd95" in self.metrics:
            options = (self.lesion_dilation, self.lesion_min_volume, self.hd95_cap, math.prod(spacing))
            values.update(lesion_scores(predicted, labeled, sizes, *options))
        return values

    def _label_map(self, role: str, array: np.ndarray | torch.Tensor, spacing: tuple[float, ...]) -> np.ndarray:
        """Return ``(*spatial)`` integers, after checking the axes and that every number has a name."""
        values = array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
        if values.ndim == len(spacing) + 1 and values.shape[0] == 1:
            values = values[0]
        if values.ndim != len(spacing) or values.ndim not in (2, 3):
            raise ValueError(
                f"{role} must be (*spatial) or (1, *spatial), with two or three axes and one spacing for each, but has "
                f"the shape {values.shape} for the spacing {spacing}; "
                "turn channels into one label map first, for instance with RegionsToLabelsd"
            )
        found = _distinct(values)
        strange = sorted(found - {0, *self.label_map.values()})
        if strange:
            raise ValueError(
                f"{role} must hold 0 and the integers of label_map {self.label_map}, but holds {strange}; "
                "use the label_map of the data set that this case comes from"
            )
        return values.astype(np.int64, copy=False)


def mean_over_cases(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Average rows over cases within each region, then over regions; voxels of different cases are never pooled.

    Args:
        rows: dicts with ``region``, ``metric`` and ``value``, of any number of cases.

    Returns:
        ``{"<region>_<metric>": mean over cases, "mean_<metric>": mean of these over the regions}``.

    Example:
        >>> row = {"metric": "dice"}
        >>> mean_over_cases([{**row, "region": "WT", "value": 1.0}, {**row, "region": "ET", "value": 0.5}])
        {'WT_dice': 1.0, 'ET_dice': 0.5, 'mean_dice': 0.75}
    """
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        values.setdefault(row["metric"], {}).setdefault(row["region"], []).append(float(row["value"]))
    means = {}
    for metric, regions in values.items():
        per_region = {region: sum(found) / len(found) for region, found in regions.items()}
        means.update({f"{region}_{metric}": value for region, value in per_region.items()})
        means[f"mean_{metric}"] = sum(per_region.values()) / len(per_region)
    return means


def _region_integers(regions: Mapping[str, Sequence[str]], label_map: Mapping[str, int]) -> dict[str, list[int]]:
    """Resolve each region's label names to the integers of one data set.

    The same reading stands in ``medvol/transforms/regions.py``: rooms do not import one another, a test compares them.
    """
    labels = {name: int(integer) for name, integer in label_map.items() if int(integer) != 0}
    if len(set(labels.values())) != len(labels):
        raise ValueError(f"label_map must give each name its own integer, but is {dict(label_map)}; merge the names")
    known = {name for names in regions.values() for name in names}
    forgotten = [name for name in labels if name not in known]
    if forgotten:
        raise ValueError(
            f"every label must belong to a region, but {forgotten} of label_map are in none of "
            f"{ {region: list(names) for region, names in regions.items()} }; add them to a region or correct the name"
        )
    integers = {region: [labels[name] for name in names if name in labels] for region, names in regions.items()}
    empty = [region for region, found in integers.items() if not found]
    if empty or not integers:
        raise ValueError(
            f"every region needs a label of the data set, but {empty} have none of {list(labels)}; "
            "remove the region or use the label_map of this data set"
        )
    return integers


def _distinct(values: np.ndarray) -> set[int]:
    """Return the integers in an array, by counting where that is possible (much faster than sorting)."""
    whole = values.astype(np.int64)
    if values.dtype.kind == "f" and not np.array_equal(whole, values):
        wrong = values[whole != values].flat[0]
        raise ValueError(
            f"a label map must hold whole numbers, but holds {wrong}; resample label maps with mode='nearest'"
        )
    if whole.size and whole.min() >= 0 and whole.max() < 1 << 16:
        return set(np.flatnonzero(np.bincount(whole.ravel())).tolist())
    return set(np.unique(whole).tolist())


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the box of a mask's true voxels; no score depends on what lies around it."""
    spans = []
    for axis in range(mask.ndim):
        hits = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        spans.append(slice(int(hits[0]), int(hits[-1]) + 1) if hits.size else slice(0, 1))
    return tuple(spans)
