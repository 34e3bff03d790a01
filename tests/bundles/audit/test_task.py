import pytest
import torch
from monai.data import MetaTensor

from medvol.bundles.audit.fixtures import noise
from medvol.bundles.audit.task import CHAIN, find_task, task_chain
from medvol.bundles.opening import open_bundle

SMALL = {"crop_size": [24, 24, 24], "grid": [3, 3, 3], "patch_size": [6, 6, 6]}
CUT = "medvol.transforms.RandPatchGridd"


def of_chain(*components, **keys):
    """cpc3d with another chain."""
    opened = open_bundle("cpc3d")
    opened.parser["train::preprocessing::transforms"] = list(components)
    for key, value in keys.items():
        opened.parser[key] = value
    return opened


def test_a_fixture_is_larger_than_the_crop():
    task = find_task(open_bundle("cpc3d", overrides=SMALL))
    assert task.channels == 4
    assert task.shape == (28, 28, 28)
    assert task.border == (4, 4)
    assert task.padded_shape == (36, 36, 36)
    assert (task.batch_size, task.threshold, task.notes) == (2, 0.1, [])


def test_a_slice_stays_a_slice():
    task = find_task(open_bundle("cpc3d", overrides={**SMALL, "crop_size": [24, 24, 1]}))
    assert task.shape == (28, 28, 1)
    assert task.padded_shape == (36, 36, 1)


@pytest.mark.parametrize(
    ("component", "shape"),
    [
        ({"_target_": CUT, "grid": 3, "patch_size": 8, "stride": 4}, (20, 20, 20)),
        ({"_target_": CUT, "grid": [3, 3], "patch_size": 8, "min_gap": 2}, (40, 40)),
        ({"_target_": CUT, "grid": 1, "patch_size": [9, 9, 1]}, (13, 13, 1)),
        ({"_target_": "X", "size": [20, 10, 10]}, (24, 14, 14)),
    ],
)
def test_sizes_are_read_from_the_transforms(component, shape):
    assert find_task(of_chain(component)).shape == shape


def test_large_views_are_made_smaller_and_patches_are_not():
    cut = {"_target_": CUT, "grid": 1, "patch_size": [80, 80, 40], "crop_size": "@crop_size"}
    opened = of_chain(cut, crop_size=[80, 80, 40])
    task = find_task(opened, full_size=False)
    cut = opened.parser[CHAIN]["transforms"][0]
    assert cut["patch_size"] == cut["crop_size"] == [40, 40, 20]
    assert task.border == (10, 0)  # zeros all around would be the same after a turn
    assert "80 x 80 x 40 voxels were audited as 40 x 40 x 20" in task.notes[0]
    assert find_task(of_chain(cut, crop_size=[80, 80, 40])).notes == []
    assert find_task(open_bundle("cpc3d"), full_size=False).shape == (88, 88, 88)
    slices = {"_target_": CUT, "grid": 1, "patch_size": [160, 160, 1]}
    assert find_task(of_chain(slices), full_size=False).shape == (176, 176, 1)  # 32^3 voxels are not reached


def test_a_fixture_passes_what_comes_before_the_task_as_it_is():
    opened = open_bundle("cpc3d", overrides={**SMALL, "spacing": [2.0, 1.0, 3.0]})
    find_task(opened)
    fixed, chance, spacing = task_chain(opened.parser)
    assert spacing == (2.0, 1.0, 3.0)
    names = [type(part).__name__ for part in fixed.transforms]
    assert "LoadImaged" not in names
    assert {"Spacingd", "ForegroundMaskd", "NormalizeIntensityd"} <= set(names)
    assert type(chance.transforms[0]).__name__ == "RandPatchGridd"
    volume = noise((28, 28, 28), 0, channels=4)
    item = {"image": MetaTensor(volume, affine=torch.diag(torch.tensor([2.0, 1.0, 3.0, 1.0])))}
    for part in fixed.transforms[: names.index("ForegroundMaskd")]:
        item = part(item)
    assert torch.equal(item["image"].as_tensor(), volume)


def test_counter_measures_are_off_in_the_chain_that_is_built():
    opened = open_bundle("cpc3d", overrides=SMALL)
    find_task(opened, ["intensity", "mask"])
    chance = task_chain(opened.parser)[1]
    assert [type(part).__name__ for part in chance.transforms] == ["RandPatchGridd"]
    assert chance.transforms[0].mask_key is None


@pytest.mark.parametrize("bundle", ["unet_brats", "unet_hippocampus"])
def test_a_bundle_of_labels_is_refused(bundle):
    with pytest.raises(ValueError, match=f"{bundle} reads labels from files; name a bundle of pre-training"):
        find_task(open_bundle(bundle))


def test_what_has_no_fixture_is_refused():
    with pytest.raises(ValueError, match=r"must state the size that it cuts .* found none in train.json"):
        find_task(of_chain({"_target_": "X"}))
    with pytest.raises(ValueError, match=r"found none in inference.json of cpc3d; name a bundle of pre-training"):
        find_task(open_bundle("cpc3d", "inference"))
    with pytest.raises(ValueError, match=r"at most 268435456 voxels; found 4 channels of .* smaller --crop_size"):
        find_task(open_bundle("cpc3d", overrides={"crop_size": [600, 600, 600]}))


def test_a_chain_without_a_reader_is_taken_whole():
    opened = of_chain({"_target_": CUT, "keys": "image", "grid": 2, "patch_size": 4})
    find_task(opened)
    fixed, chance, spacing = task_chain(opened.parser)
    assert (len(fixed.transforms), len(chance.transforms), spacing) == (0, 1, ())
