"""Which way each known metric improves, and which ones are lengths."""

from __future__ import annotations

__all__ = ["DISTANCES", "HIGHER", "LOWER", "higher_is_better", "is_distance", "metric_title"]

DISTANCES = (
    "hd95", "lesion_hd95", "hd", "hausdorff", "hausdorff_distance", "asd", "assd", "masd", "surface_distance",
    "distance",
)  # fmt: skip
"""Metrics in millimeters; of each, less is better."""

HIGHER = (
    "dice", "lesion_dice", "surface_dice", "iou", "kappa", "auroc", "auprc", "accuracy", "balanced_accuracy",
    "sensitivity", "specificity", "precision", "recall", "f1", "r2", "psnr", "ssim",
)  # fmt: skip
"""Metrics of which more is better."""

LOWER = (
    *DISTANCES, "absolute_error", "mae", "mse", "rmse", "brier", "ece", "loss", "error", "error_rate",
)  # fmt: skip
"""Metrics of which less is better."""

_TITLES = {"dice": "Dice", "hd95": "HD95", "auroc": "AUROC", "asd": "ASD", "assd": "ASSD", "masd": "MASD", "iou": "IoU"}


def higher_is_better(metric: str) -> bool | None:
    """Whether more of a metric is better; None for a metric that is not known here.

    Args:
        metric: its name as in the column ``metric`` of ``metrics.csv``.

    Example:
        >>> higher_is_better("dice"), higher_is_better("assd"), higher_is_better("mine")
        (True, False, None)
    """
    return True if metric in HIGHER else False if metric in LOWER else None


def is_distance(name: str) -> bool:
    """Whether a metric is in millimeters; its name may stand behind a section and a region.

    Args:
        name: such as ``hd95`` or ``val_mean_hd95``.

    Example:
        >>> is_distance("val_WT_lesion_hd95"), is_distance("dice")
        (True, False)
    """
    return any(name == metric or name.endswith(f"_{metric}") for metric in DISTANCES)


def metric_title(metric: str) -> str:
    """Name of a metric as a reader knows it.

    Args:
        metric: its name as in the column ``metric`` of ``metrics.csv``.

    Example:
        >>> metric_title("hd95"), metric_title("absolute_error")
        ('HD95', 'absolute error')
    """
    return _TITLES.get(metric, metric.replace("_", " "))
