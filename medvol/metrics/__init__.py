"""Per-case scores, monitors' metrics, and the statistics on them."""

from __future__ import annotations

import importlib
from typing import Any

from .holm import holm  # now, for its module has the same name

# The others load on first use: which way a metric improves is asked where torch is not needed.
_PLACES = {
    "BRATS_REGIONS": "segmentation",
    "ClassAccuracy": "classes",
    "ClassificationScores": "classification",
    "Components": "components",
    "ContrastiveAccuracy": "retrieval",
    "Interval": "statistics",
    "RestorationError": "restoration",
    "SegmentationScores": "segmentation",
    "SetInterval": "set_bootstrap",
    "ViewRetrieval": "views",
    "VoxelAccuracy": "voxels",
    "auroc": "classification",
    "bootstrap_interval": "resampling",
    "bootstrap_set_metric": "set_bootstrap",
    "crossed_components": "components",
    "crossed_interval": "statistics",
    "dice": "distances",
    "equivalent": "noninferiority",
    "hd95": "distances",
    "higher_is_better": "direction",
    "is_distance": "direction",
    "lesion_scores": "lesions",
    "mean_over_cases": "segmentation",
    "metric_title": "direction",
    "non_inferior": "noninferiority",
    "num_outputs": "classification",
    "patient_means": "resampling",
    "patients_needed": "design",
    "permutation_p": "resampling",
    "power": "design",
    "pseudo_values": "jackknife",
    "quadratic_kappa": "classification",
    "seeds_needed": "design",
    "smallest_difference": "design",
}

__all__ = ["holm", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'medvol.metrics' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"medvol.metrics.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
