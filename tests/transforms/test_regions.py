"""Integers to regions and back, by label name and in the named order."""

import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Spacingd

from medvol.metrics import BRATS_REGIONS, SegmentationScores
from medvol.transforms.regions import ClassesToLabelsd, LabelsToRegionsd, RegionsToLabelsd

NEW = {"necrosis": 1, "oedema": 2, "enhancing": 3}
OLD = {"necrosis": 1, "oedema": 2, "enhancing": 4}
DECATHLON = {"background": 0, "oedema": 1, "non_enhancing": 2, "enhancing": 3}
MAPS = pytest.mark.parametrize("label_map", [NEW, OLD, DECATHLON], ids=["new", "old", "decathlon"])


def label_of(label_map, seed=0, shape=(1, 5, 6, 4)):
    values = torch.tensor([0, *sorted(set(label_map.values()) - {0})])
    return values[torch.randint(0, len(values), shape, generator=torch.Generator().manual_seed(seed))]


def test_channels_follow_the_named_order_and_the_data_sets_integers():
    """The four-voxel case, with ET coded 4 and 3."""
    for label_map, voxels in ((OLD, [0, 1, 2, 4]), (NEW, [0, 1, 2, 3])):
        label = {"label": torch.tensor([voxels])}
        wt, tc, et = [0, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1]
        assert LabelsToRegionsd("label", label_map, BRATS_REGIONS)(label)["label"].tolist() == [wt, tc, et]
        other_order = {name: BRATS_REGIONS[name] for name in ("ET", "WT", "TC")}
        assert LabelsToRegionsd("label", label_map, other_order)(label)["label"].tolist() == [et, wt, tc]


@MAPS
@pytest.mark.parametrize("order", [("WT", "TC", "ET"), ("ET", "TC", "WT"), ("TC", "WT", "ET")])
def test_there_and_back_is_the_identity(label_map, order):
    regions = {name: BRATS_REGIONS[name] for name in order}
    label = label_of(label_map)
    both = Compose([LabelsToRegionsd("x", label_map, regions), RegionsToLabelsd("x", label_map, regions)])
    out = both({"x": label})["x"]
    assert out.dtype == torch.uint8
    assert torch.equal(out, label.to(torch.uint8))


@MAPS
def test_metrics_read_the_regions_in_the_same_way(label_map):
    assert LabelsToRegionsd("x", label_map, BRATS_REGIONS).integers == (
        SegmentationScores(BRATS_REGIONS, label_map).integers
    )
    for regions, wrong in ((BRATS_REGIONS, {**NEW, "cyst": 7}), ({"ET": ["core"]}, NEW), (BRATS_REGIONS, {})):
        messages = []
        for part in (lambda r, w: LabelsToRegionsd("x", w, r), SegmentationScores):
            with pytest.raises(ValueError) as error:
                part(regions, wrong)
            messages.append(str(error.value))
        assert messages[0] == messages[1]


def test_meta_and_type_are_kept():
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    label = MetaTensor(label_of(NEW), affine=affine, meta={"filename_or_obj": "a.nii.gz"})
    regions = LabelsToRegionsd("x", NEW, BRATS_REGIONS)({"x": label})["x"]
    back = RegionsToLabelsd("x", NEW, BRATS_REGIONS)({"x": regions})["x"]
    for out, shape in ((regions, (3, 5, 6, 4)), (back, (1, 5, 6, 4))):
        assert isinstance(out, MetaTensor)
        assert out.shape == shape
        assert torch.equal(out.affine, affine)
        assert out.meta["filename_or_obj"] == "a.nii.gz"
    assert regions.dtype == torch.float32
    array = LabelsToRegionsd("x", NEW, BRATS_REGIONS)({"x": label_of(NEW).numpy()})["x"]
    assert isinstance(array, np.ndarray)
    assert np.array_equal(array, regions.numpy())


def test_a_number_without_a_name_is_refused():
    with pytest.raises(ValueError, match=r"'enhancing': 4.*holds \[3\].*label_map of this data set"):
        LabelsToRegionsd("x", OLD, BRATS_REGIONS)({"x": torch.tensor([[0, 3]])})
    with pytest.raises(ValueError, match=r"holds \[1.5\].*nearest"):
        LabelsToRegionsd("x", NEW, BRATS_REGIONS)({"x": torch.tensor([[0, 1.5]])})
    with pytest.raises(ValueError, match=r"label map \(1, \*spatial\).*\(3, 2\).*once"):
        LabelsToRegionsd("x", NEW, BRATS_REGIONS)({"x": torch.zeros(3, 2)})


def test_resampling_labels_in_the_training_chain_gains_no_label():
    """A cube of label 2 never gains label 1 (the reference implementation: 37 % of its voxels)."""
    label = torch.zeros(1, 15, 15, 15)
    label[:, 4:11, 4:11, 4:11] = 2
    meta = MetaTensor(label, affine=torch.eye(4, dtype=torch.float64))
    chain = [Spacingd("x", pixdim=(0.53, 0.53, 0.53), mode="nearest"), LabelsToRegionsd("x", NEW, BRATS_REGIONS)]
    resampled = chain[0]({"x": meta})
    assert set(torch.unique(resampled["x"]).tolist()) == {0.0, 2.0}
    wt, tc, et = chain[1](resampled)["x"]
    assert wt.sum() > 7**3
    assert tc.sum() == et.sum() == 0
    # The same chain with linear interpolation cannot pass silently.
    linear = Spacingd("x", pixdim=(0.53, 0.53, 0.53), mode="bilinear")
    with pytest.raises(ValueError, match="nearest"):
        chain[1](linear({"x": meta}))


def test_painting_goes_from_the_outside_in():
    scores = torch.tensor([[0.9, 0.9, 0.9, 0.1, 0.1, 0.5], [0.1, 0.9, 0.9, 0.1, 0.9, 0.5], [0.1, 0.1, 0.9, 0.9, 0, 0]])
    labels = RegionsToLabelsd("x", OLD, BRATS_REGIONS)({"x": scores})["x"]
    assert labels.tolist() == [[2, 1, 4, 4, 1, 0]]
    logits = torch.logit(scores.double().clamp(1e-6, 1 - 1e-6))
    assert torch.equal(RegionsToLabelsd("x", OLD, BRATS_REGIONS, threshold=0.0)({"x": logits})["x"], labels)


def test_the_first_of_several_labels_is_painted_and_the_regions_stay():
    label_map = {"necrosis": 5, "non_enhancing": 6, "oedema": 300, "enhancing": 7}
    to_labels = RegionsToLabelsd("x", label_map, BRATS_REGIONS)
    labels = to_labels({"x": torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])})["x"]
    assert labels.dtype == torch.int32
    assert labels.tolist() == [[300, 5, 7]]


def test_regions_that_are_not_nested_are_refused():
    with pytest.raises(ValueError, match=r"strictly nested.*ClassesToLabelsd"):
        RegionsToLabelsd("x", {"head": 1, "tail": 2}, {"head": ["head"], "tail": ["tail"]})
    with pytest.raises(ValueError, match=r"strictly nested, but ET"):
        RegionsToLabelsd("x", {"oedema": 2, "enhancing": 4}, BRATS_REGIONS)  # TC would equal ET
    with pytest.raises(ValueError, match="out_channels=3"):
        RegionsToLabelsd("x", NEW, BRATS_REGIONS)({"x": torch.zeros(4, 2, 2)})


def test_classes_become_the_data_sets_integers():
    scores = torch.eye(4)[:, [0, 1, 2, 3, 1]].reshape(4, 5, 1)
    assert ClassesToLabelsd("x", OLD)({"x": scores})["x"].flatten().tolist() == [0, 1, 2, 4, 1]
    by_name = ClassesToLabelsd("x", OLD, classes=["enhancing", "necrosis", "oedema"])
    meta = MetaTensor(scores, affine=2 * torch.eye(4))
    out = by_name({"x": meta})["x"]
    assert out.flatten().tolist() == [0, 4, 1, 2, 4]
    assert out.dtype == torch.uint8
    assert torch.equal(out.affine, meta.affine)
    with pytest.raises(ValueError, match=r"every label once.*leave background out"):
        ClassesToLabelsd("x", OLD, classes=["background", "necrosis", "oedema", "enhancing"])
    with pytest.raises(ValueError, match="out_channels=4"):
        by_name({"x": torch.zeros(3, 2, 2)})


def test_everything_pickles():
    for part in (
        LabelsToRegionsd("x", NEW, BRATS_REGIONS),
        RegionsToLabelsd("x", NEW, BRATS_REGIONS),
        ClassesToLabelsd("x", NEW),
    ):
        assert type(pickle.loads(pickle.dumps(part))) is type(part)
