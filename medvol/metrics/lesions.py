"""Lesion-wise Dice and HD95: every lesion counts once, whatever its size, and every false lesion costs."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from .distances import dice, hd95

__all__ = ["lesion_scores"]


def _merged_lesions(reference: np.ndarray, dilation: int) -> np.ndarray:
    """Label the reference's components, joining those whose dilations share a component (rules 1 and 2)."""
    full = np.ones((3,) * reference.ndim, dtype=bool)
    grown, _ = ndimage.label(_dilate(reference, dilation), structure=full)
    # Every component lies inside exactly one component of the dilated mask, so that one's number names the lesion.
    return np.where(reference, grown, 0)


def _dilate(mask: np.ndarray, iterations: int) -> np.ndarray:
    """Dilate with the 18-neighbor element (8 neighbors in a plane); scipy reads 0 iterations as "until stable"."""
    element = ndimage.generate_binary_structure(mask.ndim, 2)
    return ndimage.binary_dilation(mask, element, iterations) if iterations else mask


def lesion_scores(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, ...],
    dilation: int = 3,
    min_volume: float = 50.0,
    cap: float = 374.0,
    voxel_volume: float | None = None,
) -> dict[str, float]:
    """Lesion-wise Dice and HD95 of one region of one case, as in BraTS 2023.

    Follows the challenge's published code (github.com/rachitsaluja/BraTS-2023-Metrics), rewritten on scipy:

    1. the reference is split into 26-connected components;
    2. components whose dilations (18-neighbor element, ``dilation`` times) share a component are one lesion;
    3. a lesion is compared with the union of all predicted components that touch its dilation, on full components;
       if there are none, Dice is 0 and HD95 is ``cap``;
    4. predicted components that touch no dilated lesion are false lesions, whatever their size;
    5. lesions of at most ``min_volume`` are left out of the averages, but what matches them is not false;
    6. ``sum(Dice) / (L + F)`` and ``(sum(HD95) + cap F) / (L + F)`` for L lesions and F false lesions; without
       either, 1 and 0.

    In a plane, 26 becomes 8 neighbors and the 18-neighbor element the 3 x 3 square: what a volume of depth one gives.

    Args:
        prediction: boolean mask ``(*spatial)``.
        reference: boolean mask ``(*spatial)``.
        spacing: voxel size in millimeters, one number per axis.
        dilation: times of dilation; BraTS uses 3 (gliomas) or 1 (meningioma, metastases).
        min_volume: in cubic millimeters (square millimeters for two axes); BraTS uses 50, and 2 for metastases.
        cap: distance in millimeters of a missed or false lesion.
        voxel_volume: volume of one voxel, if it is not the product of ``spacing`` (an axis was dropped).

    Returns:
        ``{"lesion_dice": ..., "lesion_hd95": ...}``.

    Example:
        >>> empty, stray = np.zeros((2, 8, 8, 8), dtype=bool)
        >>> stray[4, 4, 4] = True
        >>> lesion_scores(stray, empty, (1.0, 1.0, 1.0))
        {'lesion_dice': 0.0, 'lesion_hd95': 374.0}
    """
    voxel_volume = math.prod(spacing) if voxel_volume is None else voxel_volume
    lesions = _merged_lesions(reference, dilation)
    predicted, num_predicted = ndimage.label(prediction, structure=np.ones((3,) * prediction.ndim))
    boxes = ndimage.find_objects(predicted)
    matched: set[int] = set()
    dices, distances = [], []
    for number, box in enumerate(ndimage.find_objects(lesions), start=1):
        near = _grow(box, dilation, reference.shape)
        touched = np.unique(predicted[near][_dilate(lesions[near] == number, dilation)])
        touched = touched[touched > 0]
        matched.update(touched.tolist())
        if np.count_nonzero(lesions[box] == number) * voxel_volume <= min_volume:
            continue
        whole = _hull([box, *(boxes[component - 1] for component in touched)])
        lesion, answer = lesions[whole] == number, np.isin(predicted[whole], touched)
        dices.append(dice(answer, lesion))
        distances.append(hd95(answer, lesion, spacing, cap))
    num_false = num_predicted - len(matched)
    total = len(dices) + num_false
    if total == 0:
        return {"lesion_dice": 1.0, "lesion_hd95": 0.0}
    return {"lesion_dice": sum(dices) / total, "lesion_hd95": (sum(distances) + cap * num_false) / total}


def _grow(box: tuple[slice, ...], margin: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Widen a box by ``margin`` voxels on every side, inside the array."""
    return tuple(slice(max(s.start - margin, 0), min(s.stop + margin, n)) for s, n in zip(box, shape, strict=True))


def _hull(boxes: list[tuple[slice, ...]]) -> tuple[slice, ...]:
    """Return the smallest box around several boxes."""
    return tuple(slice(min(s.start for s in axis), max(s.stop for s in axis)) for axis in zip(*boxes, strict=True))
