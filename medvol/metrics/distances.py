"""Surface distances between two binary masks, with the BraTS rules for empty masks."""

from __future__ import annotations

import numpy as np
from monai.metrics.utils import get_mask_edges, get_surface_distance

__all__ = ["dice", "hd95"]


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Dice coefficient of two binary masks, 1 when both are empty and 0 when exactly one is.

    ``2 |A and B| / (|A| + |B|)`` (Dice 1945); the value for two empty masks is the rule of the BraTS challenge.

    Args:
        prediction: boolean mask ``(*spatial)``.
        reference: boolean mask ``(*spatial)``.

    Returns:
        A number in [0, 1].

    Example:
        >>> dice(np.array([[True, True]]), np.array([[True, False]]))
        0.6666666666666666
    """
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return 1.0 if total == 0 else 2.0 * int(np.count_nonzero(prediction & reference)) / total


def hd95(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...], cap: float = 374.0) -> float:
    """95th percentile of the Hausdorff distance: the larger of the two directed 95th percentiles.

    HD95 is not one definition. Here a *surface* is the set of mask voxels with a face neighbor outside the mask
    (``monai.metrics.utils.get_mask_edges``; outside the array counts as outside the mask), distances are Euclidean
    between voxel centers in millimeters, every surface voxel weighs the same, and the percentile is taken in each
    direction before the maximum (as MONAI and the BraTS code do; pooling both directions first gives other numbers).

    Args:
        prediction: boolean mask ``(*spatial)``, two or three axes.
        reference: boolean mask ``(*spatial)``.
        spacing: voxel size in millimeters, one number per axis.
        cap: value in millimeters when exactly one mask is empty, and the upper bound of every distance, so that a
            prediction can never score worse than none. The diagonal of a BraTS volume is 373.13 mm, hence 374.

    Returns:
        Distance in millimeters; 0 when both masks are empty.

    Example:
        >>> one, two = np.zeros((2, 5, 5), dtype=bool)
        >>> one[0, 0], two[0, 3] = True, True
        >>> hd95(one, two, (1.0, 2.0))
        6.0
    """
    has_prediction, has_reference = bool(prediction.any()), bool(reference.any())
    if not has_prediction or not has_reference:
        return cap if has_prediction or has_reference else 0.0
    one, two = get_mask_edges(prediction, reference)
    directed = (
        np.percentile(get_surface_distance(source, target, spacing=spacing), 95)
        for source, target in ((one, two), (two, one))
    )
    return min(float(max(directed)), cap)
