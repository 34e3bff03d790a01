"""Dice and HD95 of two masks: known values, the empty rules, and MONAI's and a brute-force answer."""

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance

from medvol.metrics import dice, hd95


def cubes():
    """A 20-voxel cube, and the same with a detached 6-voxel cube whose corner lies at (40, 40, 40)."""
    reference = np.zeros((60, 60, 60), dtype=bool)
    reference[10:30, 10:30, 10:30] = True
    prediction = reference.copy()
    prediction[40:46, 40:46, 40:46] = True
    return prediction, reference


def brute_hd95(prediction, reference, spacing):
    """Loop over voxels: surface = a face neighbor is missing; float64 distances; the larger directed percentile."""
    surfaces = []
    for mask in (prediction, reference):
        padded = np.pad(mask, 1)
        found = []
        for voxel in np.argwhere(padded):
            steps = np.concatenate([np.eye(mask.ndim, dtype=int), -np.eye(mask.ndim, dtype=int)])
            if not all(padded[tuple(voxel + step)] for step in steps):
                found.append(voxel * np.asarray(spacing))
        surfaces.append(np.array(found))
    apart = np.sqrt(((surfaces[0][:, None] - surfaces[1][None]) ** 2).sum(-1))
    return max(np.percentile(apart.min(0), 95), np.percentile(apart.min(1), 95))


def test_hd95_is_the_larger_directed_percentile():
    prediction, reference = cubes()
    assert hd95(prediction, reference, (1.0, 1.0, 1.0)) == pytest.approx(22.05, abs=0.005)
    assert hd95(reference, prediction, (1.0, 1.0, 1.0)) == pytest.approx(22.05, abs=0.005)


def test_hd95_scales_with_spacing_up_to_the_cap():
    prediction, reference = cubes()
    one = hd95(prediction, reference, (1.0, 1.0, 1.0))
    assert hd95(prediction, reference, (2.5, 2.5, 2.5)) == pytest.approx(2.5 * one, rel=1e-6)
    assert hd95(prediction, reference, (50.0, 50.0, 50.0)) == 374.0


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # inside MONAI's own function
@pytest.mark.parametrize("shape", [(9, 8), (7, 6, 8)])
def test_hd95_equals_brute_force_and_monai(shape):
    generator = np.random.default_rng(0)
    spacing = (0.7, 1.3, 3.0)[: len(shape)]
    for _ in range(5):
        one, two = generator.random((2, *shape)) > 0.6
        value = hd95(one, two, spacing)
        assert value == pytest.approx(brute_hd95(one, two, spacing), rel=1e-5)
        tensors = [torch.from_numpy(mask)[None, None] for mask in (one, two)]
        monai = compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=list(spacing))
        assert value == pytest.approx(monai.item(), rel=1e-5)


def test_empty_masks_follow_the_challenge():
    empty, full = np.zeros((4, 4, 4), dtype=bool), np.ones((4, 4, 4), dtype=bool)
    spacing = (1.0, 1.0, 1.0)
    pairs = [(empty, empty), (empty, full), (full, empty), (full, full)]
    assert [dice(*pair) for pair in pairs] == [1.0, 0.0, 0.0, 1.0]
    assert [hd95(*pair, spacing) for pair in pairs] == [0.0, 374.0, 374.0, 0.0]
    assert hd95(empty, full, spacing, cap=100.0) == 100.0


def test_dice_equals_the_formula():
    one, two = np.random.default_rng(1).random((2, 5, 6, 7)) > 0.5
    assert dice(one, two) == 2 * (one & two).sum() / (one.sum() + two.sum())
