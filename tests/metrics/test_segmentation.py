"""Regions by label name, checks at the boundary, and averages over cases."""

import numpy as np
import pytest
import torch

from medvol.metrics import BRATS_REGIONS, SegmentationScores, mean_over_cases

NEW = {"necrosis": 1, "oedema": 2, "enhancing": 3}
OLD = {"necrosis": 1, "oedema": 2, "enhancing": 4}
DECATHLON = {"background": 0, "oedema": 1, "non_enhancing": 2, "enhancing": 3}
UNIT = (1.0, 1.0, 1.0)


def by_region(rows, metric="dice"):
    return {row["region"]: row["value"] for row in rows if row["metric"] == metric}


@pytest.mark.parametrize(
    ("label_map", "regions"),
    [
        (NEW, {"WT": {1, 2, 3}, "TC": {1, 3}, "ET": {3}}),
        (OLD, {"WT": {1, 2, 4}, "TC": {1, 4}, "ET": {4}}),
        (DECATHLON, {"WT": {1, 2, 3}, "TC": {2, 3}, "ET": {3}}),
    ],
)
def test_regions_follow_the_names_of_the_data_set(label_map, regions):
    """Four voxels, one of each label: every region's Dice against a prediction of one label is known."""
    scores = SegmentationScores(BRATS_REGIONS, label_map, metrics=["dice"])
    assert {region: set(found) for region, found in scores.integers.items()} == regions
    values = [0, *sorted(set(label_map.values()) - {0})]
    reference = np.array(values).reshape(2, 2, 1)
    prediction = np.where(reference == label_map["enhancing"], reference, 0)
    rows = scores(prediction, reference, UNIT)
    assert [row["region"] for row in rows] == ["WT", "TC", "ET"]
    assert by_region(rows) == pytest.approx({"WT": 2 / 4, "TC": 2 / 3, "ET": 1.0})


@pytest.mark.parametrize("role", ["prediction", "reference"])
def test_a_number_without_a_name_is_refused(role):
    """The classic: a label map with ET = 4 on data that hold 3."""
    arrays = {"prediction": np.zeros((4, 4, 4)), "reference": np.zeros((4, 4, 4))}
    arrays[role][1, 1, 1] = 3
    with pytest.raises(ValueError, match=rf"{role} must hold .*'enhancing': 4.*holds \[3\].*label_map of the data set"):
        SegmentationScores(BRATS_REGIONS, OLD)(**arrays, spacing=UNIT)


def test_wrong_definitions_are_refused():
    with pytest.raises(ValueError, match=r"\['cyst'\] of label_map are in none"):
        SegmentationScores(BRATS_REGIONS, {**NEW, "cyst": 5})
    with pytest.raises(ValueError, match=r"\['ET'\] have none of"):
        SegmentationScores(BRATS_REGIONS, {"necrosis": 1, "oedema": 2})
    with pytest.raises(ValueError, match="its own integer"):
        SegmentationScores(BRATS_REGIONS, {"necrosis": 1, "non_enhancing": 1, "enhancing": 4})
    with pytest.raises(ValueError, match=r"remove \['iou'\]"):
        SegmentationScores(BRATS_REGIONS, NEW, metrics=["dice", "iou"])


def test_wrong_arrays_are_refused():
    scores = SegmentationScores(BRATS_REGIONS, NEW)
    zeros = np.zeros((4, 4, 4))
    with pytest.raises(ValueError, match=r"share one grid.*\(4, 4, 3\).*Invertd"):
        scores(zeros[..., :3], zeros, UNIT)
    with pytest.raises(ValueError, match=r"whole numbers, but holds 0.5.*nearest"):
        scores(zeros + 0.5, zeros, UNIT)
    with pytest.raises(ValueError, match=r"prediction must be .* \(3, 4, 4, 4\).*RegionsToLabelsd"):
        scores(np.zeros((3, 4, 4, 4)), zeros, UNIT)


def test_empty_regions_follow_the_challenge():
    scores = SegmentationScores(BRATS_REGIONS, NEW)
    empty, full = np.zeros((6, 6, 6)), np.zeros((6, 6, 6))
    full[1:5, 1:5, 1:5] = 3
    best, worst = (1.0, 0.0, 1.0, 0.0), (0.0, 374.0, 0.0, 374.0)
    for prediction, reference, expected in [
        (empty, empty, best), (full, full, best), (empty, full, worst), (full, empty, worst),
    ]:  # fmt: skip
        rows = scores(prediction, reference, UNIT)
        assert len(rows) == 12
        assert {tuple(by_region(rows, m)[r] for m in scores.metrics) for r in BRATS_REGIONS} == {expected}


def test_arrays_tensors_and_a_channel_axis_agree():
    generator = np.random.default_rng(0)
    prediction, reference = generator.integers(0, 4, (2, 9, 8, 7))
    scores = SegmentationScores(BRATS_REGIONS, NEW)
    expected = scores(prediction, reference, (1.0, 2.0, 0.5))
    tensors = [torch.from_numpy(array)[None].to(torch.uint8) for array in (prediction, reference)]
    assert scores(*tensors, (1.0, 2.0, 0.5)) == expected
    assert scores(prediction.astype(np.float32), reference[None], [1, 2, 0.5]) == expected


def test_a_plane_and_a_volume_of_depth_one_agree():
    generator = np.random.default_rng(0)
    prediction, reference = generator.integers(0, 2, (2, 30, 28)) * generator.integers(0, 4, (2, 30, 28))
    scores = SegmentationScores(BRATS_REGIONS, NEW, lesion_min_volume=6.0)
    plane = scores(prediction, reference, (1.0, 2.0))
    assert scores(prediction[..., None], reference[..., None], (1.0, 2.0, 1.0)) == plane


def test_the_thickness_of_a_single_slice_counts_in_the_volume_of_a_lesion():
    missed = np.zeros((9, 9, 1), dtype=int)
    missed[4, 4:6] = 3
    scores = SegmentationScores({"ET": ["enhancing"]}, {"enhancing": 3}, ["lesion_dice"], lesion_min_volume=6.0)
    assert scores(0 * missed, missed, (1.0, 2.0, 3.0))[0]["value"] == 0.0  # 12 cubic millimeters
    assert scores(0 * missed, missed, (1.0, 2.0, 1.0))[0]["value"] == 1.0  # 4: too small to count


def test_a_single_voxel_volume_is_scored():
    rows = SegmentationScores(BRATS_REGIONS, NEW)(np.full((1, 1, 1), 3), np.full((1, 1, 1), 3), UNIT)
    assert by_region(rows) == {"WT": 1.0, "TC": 1.0, "ET": 1.0}


def test_cases_are_averaged_and_never_pooled():
    """A large case found and a small case missed: 0.5 per case, while pooled voxels would say 0.99."""
    scores = SegmentationScores({"tumor": ["tumor"]}, {"tumor": 1})
    large, small = np.zeros((2, 16, 16, 16), dtype=int)
    large[2:14, 2:14, 2:14] = 1
    small[4:6, 4:6, 4:6] = 1
    rows = scores(large, large, UNIT) + scores(np.zeros_like(small), small, UNIT)
    means = mean_over_cases(rows)
    assert means["tumor_dice"] == means["mean_dice"] == 0.5
    pooled = 2 * large.sum() / (2 * large.sum() + small.sum())
    assert pooled > 0.99
    # The reference implementation's Dice of an empty prediction was 0.4975, because background was averaged in.
    assert scores(np.zeros_like(small), small, UNIT)[0]["value"] == 0.0


def test_regions_weigh_the_same_whatever_their_number_of_cases():
    rows = [{"region": "WT", "metric": "dice", "value": v} for v in (1.0, 0.5, 0.0)]
    rows += [{"region": "ET", "metric": "dice", "value": 0.1}, {"region": "ET", "metric": "hd95", "value": 7.0}]
    assert mean_over_cases(rows) == pytest.approx(
        {"WT_dice": 0.5, "ET_dice": 0.1, "mean_dice": 0.3, "ET_hd95": 7.0, "mean_hd95": 7.0}
    )
