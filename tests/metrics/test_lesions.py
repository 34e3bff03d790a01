"""Lesion-wise scores: the worked cases of the method card, and a slow literal reading of the six rules."""

import numpy as np
import pytest
from scipy import ndimage

from medvol.metrics import dice, hd95, lesion_scores

UNIT = (1.0, 1.0, 1.0)


def volume(*cubes, shape=(48, 48, 48)):
    """Boolean volume with cubes given as (corner, edge)."""
    mask = np.zeros(shape, dtype=bool)
    for corner, edge in cubes:
        mask[tuple(slice(start, start + edge) for start in corner)] = True
    return mask


def literal(prediction, reference, spacing, dilation, min_volume, cap=374.0):
    """Rules 1 to 6 on whole arrays, one after the other, no cropping."""
    full = np.ones((3,) * reference.ndim)
    element = ndimage.generate_binary_structure(reference.ndim, 2)
    components, count = ndimage.label(reference, full)
    grown, num_grown = ndimage.label(ndimage.binary_dilation(reference, element, dilation), full)
    lesions = []
    for number in range(1, num_grown + 1):
        members = [c for c in range(1, count + 1) if (grown[components == c] == number).all()]
        lesions.append(np.isin(components, members))
    predicted, num_predicted = ndimage.label(prediction, full)
    matched, dices, distances = set(), [], []
    for lesion in lesions:
        touched = set(np.unique(predicted[ndimage.binary_dilation(lesion, element, dilation)])) - {0}
        matched |= touched
        if lesion.sum() * np.prod(spacing) > min_volume:
            answer = np.isin(predicted, list(touched))
            dices.append(dice(answer, lesion))
            distances.append(hd95(answer, lesion, spacing))
    false = num_predicted - len(matched)
    total = len(dices) + false
    return (1.0, 0.0) if total == 0 else (sum(dices) / total, (sum(distances) + cap * false) / total)


def test_one_found_one_missed_one_false():
    reference = volume(((4, 4, 4), 6), ((36, 36, 36), 4))
    prediction = volume(((4, 4, 4), 6), ((4, 36, 4), 3))
    scores = lesion_scores(prediction, reference, UNIT)
    assert scores["lesion_dice"] == pytest.approx(0.3333, abs=5e-5)
    assert scores["lesion_hd95"] == pytest.approx(249.33, abs=5e-3)
    assert dice(prediction, reference) == pytest.approx(0.8260, abs=5e-5)


@pytest.mark.parametrize(("gap", "num_lesions"), [(4, 1), (6, 1), (7, 2)])
def test_neighbors_within_twice_the_dilation_are_one_lesion(gap, num_lesions):
    reference = volume(((20, 20, 4), 6), ((20, 20, 10 + gap), 6))
    found_first = volume(((20, 20, 4), 6))
    # One lesion: half of it found, Dice 2/3. Two lesions: one found, one missed.
    expected = {1: 2 / 3, 2: 1 / 2}[num_lesions]
    assert lesion_scores(found_first, reference, UNIT)["lesion_dice"] == pytest.approx(expected)


def test_small_lesions_are_free_and_stray_voxels_are_not():
    empty = volume()
    assert lesion_scores(empty, volume(((9, 9, 9), 3)), UNIT) == {"lesion_dice": 1.0, "lesion_hd95": 0.0}
    # What matches a lesion that is too small to count is not a false lesion either.
    assert lesion_scores(volume(((9, 9, 9), 3)), volume(((9, 9, 9), 3)), UNIT)["lesion_dice"] == 1.0
    assert lesion_scores(volume(((9, 9, 9), 1)), empty, UNIT) == {"lesion_dice": 0.0, "lesion_hd95": 374.0}
    assert lesion_scores(empty, empty, UNIT) == {"lesion_dice": 1.0, "lesion_hd95": 0.0}


def test_min_volume_is_physical():
    reference = volume(((9, 9, 9), 3))
    assert lesion_scores(volume(), reference, (1.0, 1.0, 2.0))["lesion_dice"] == 0.0  # 54 cubic millimeters
    assert lesion_scores(volume(), reference, UNIT, min_volume=27.0)["lesion_dice"] == 1.0  # at most: left out
    assert lesion_scores(volume(), reference, UNIT, min_volume=26.0)["lesion_dice"] == 0.0


@pytest.mark.parametrize("dilation", [0, 1, 3])
@pytest.mark.parametrize("shape", [(40, 36), (20, 18, 16)])
def test_equals_a_literal_reading_of_the_rules(shape, dilation):
    generator = np.random.default_rng(dilation)
    spacing = (0.8, 1.5, 1.1)[: len(shape)]
    for _ in range(4):
        smooth = [ndimage.gaussian_filter(generator.standard_normal(shape), 1.5) for _ in range(2)]
        prediction, reference = (field > np.quantile(field, 0.9) for field in smooth)
        if dilation:
            expected = literal(prediction, reference, spacing, dilation, min_volume=4.0)
            scores = lesion_scores(prediction, reference, spacing, dilation, min_volume=4.0)
            assert tuple(scores.values()) == pytest.approx(expected, rel=1e-6)
        # Cropping and padding change nothing.
        scores = lesion_scores(prediction, reference, spacing, dilation, min_volume=4.0)
        padded = lesion_scores(np.pad(prediction, 5), np.pad(reference, 5), spacing, dilation, min_volume=4.0)
        assert padded == pytest.approx(scores)
