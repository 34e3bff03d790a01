"""Per-case scores, monitors' metrics, and the statistics on them."""

from .distances import dice, hd95
from .lesions import lesion_scores
from .retrieval import ContrastiveAccuracy
from .segmentation import BRATS_REGIONS, SegmentationScores, mean_over_cases
from .statistics import Interval, crossed_interval

__all__ = [
    "BRATS_REGIONS",
    "ContrastiveAccuracy",
    "Interval",
    "SegmentationScores",
    "crossed_interval",
    "dice",
    "hd95",
    "lesion_scores",
    "mean_over_cases",
]
