"""Per-case scores, monitors' metrics, and the statistics on them."""

from .classification import ClassificationScores, auroc, num_outputs, quadratic_kappa
from .components import Components, crossed_components
from .design import patients_needed, power, seeds_needed, smallest_difference
from .distances import dice, hd95
from .holm import holm
from .jackknife import pseudo_values
from .lesions import lesion_scores
from .noninferiority import equivalent, non_inferior
from .resampling import bootstrap_interval, patient_means, permutation_p
from .retrieval import ContrastiveAccuracy
from .segmentation import BRATS_REGIONS, SegmentationScores, mean_over_cases
from .set_bootstrap import SetInterval, bootstrap_set_metric
from .statistics import Interval, crossed_interval

__all__ = [
    "BRATS_REGIONS",
    "ClassificationScores",
    "Components",
    "ContrastiveAccuracy",
    "Interval",
    "SegmentationScores",
    "SetInterval",
    "auroc",
    "bootstrap_interval",
    "bootstrap_set_metric",
    "crossed_components",
    "crossed_interval",
    "dice",
    "equivalent",
    "hd95",
    "holm",
    "lesion_scores",
    "mean_over_cases",
    "non_inferior",
    "num_outputs",
    "patient_means",
    "patients_needed",
    "permutation_p",
    "power",
    "pseudo_values",
    "quadratic_kappa",
    "seeds_needed",
    "smallest_difference",
]
