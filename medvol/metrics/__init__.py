"""Per-case scores, monitors' metrics, and the statistics on them."""

from .components import Components, crossed_components
from .design import patients_needed, power, seeds_needed, smallest_difference
from .distances import dice, hd95
from .lesions import lesion_scores
from .resampling import bootstrap_interval, patient_means, permutation_p
from .retrieval import ContrastiveAccuracy
from .segmentation import BRATS_REGIONS, SegmentationScores, mean_over_cases
from .statistics import Interval, crossed_interval

__all__ = [
    "BRATS_REGIONS",
    "Components",
    "ContrastiveAccuracy",
    "Interval",
    "SegmentationScores",
    "bootstrap_interval",
    "crossed_components",
    "crossed_interval",
    "dice",
    "hd95",
    "lesion_scores",
    "mean_over_cases",
    "patient_means",
    "patients_needed",
    "permutation_p",
    "power",
    "seeds_needed",
    "smallest_difference",
]
