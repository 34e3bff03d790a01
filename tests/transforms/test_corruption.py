import hashlib
import itertools
import random

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Orientationd, Spacingd

from medvol.transforms import CORRUPTIONS, SPATIAL_CORRUPTIONS, Corruptiond
from medvol.transforms.corruption import STRENGTHS, _seed

AFFINE = torch.diag(torch.tensor([2.0, 1.5, 3.0, 1.0]))


def corrupt(image, name, severity=3, case="p01", **item):
    return Corruptiond("image", name, severity)({"image": image, "case": case, **item})["image"]


def phantom(blobs, shape=(20, 24, 18), channels=1):
    """Anatomy inside of a ball, exact zeros around it, in the intensities of no particular scanner."""
    volume = blobs(shape, seed=1, channels=channels, grain=0.02).double()
    lines = torch.meshgrid(*[torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in shape], indexing="ij")
    return (volume + 0.3).clamp_min(0.05) * 400.0 * (sum(x**2 for x in lines) < 0.9)


def test_there_are_ten_with_five_severities_each_that_grow():
    assert len(CORRUPTIONS) == 10
    for name, strengths in STRENGTHS.items():
        assert len(strengths) == 5, name
        sizes = [(a, b, 1 - c) for a, b, c in strengths] if name == "motion" else strengths
        assert all(np.all(np.less(a, b)) for a, b in itertools.pairwise(sizes)), name


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_it_gets_worse_with_every_severity(name, blobs):
    clean = phantom(blobs)
    seen = []
    for severity in range(1, 6):
        changed = [corrupt(clean, name, severity, case) for case in "abc"]
        assert all(torch.isfinite(image).all() for image in changed)
        seen.append(np.mean([np.corrcoef(clean.flatten(), image.flatten())[0, 1] for image in changed]))
    assert seen[0] < 1 - 1e-5
    assert seen[4] < seen[0] - 1e-3
    assert all(after < before for before, after in itertools.pairwise(seen)), seen


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_case_is_always_corrupted_alike(name, blobs):
    clean = phantom(blobs, (12, 13, 11))
    first = corrupt(clean, name)
    torch.manual_seed(9)
    random.seed(9)
    np.random.seed(9)  # noqa: NPY002
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    once = Corruptiond("image", name, 3)
    again = [once({"image": clean, "case": f"{folder}p01"})["image"] for folder in ("/data/x/", "D:\\scans\\")]
    assert all(torch.equal(first, image) for image in again)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert np.array_equal(states[2], np.random.get_state()[1])  # noqa: NPY002
    if name not in ("blur", "low_resolution"):
        others = (corrupt(clean, name, case=f"p{n:02d}") for n in range(2, 9))
        assert any(not torch.equal(first, image) for image in others)


def test_the_seed_is_a_hash_that_every_machine_computes():
    assert _seed("p01", "noise") == int(hashlib.sha256(b"noise/p01").hexdigest()[:8], 16)
    assert _seed("p01", "noise") == 3072030108


def test_a_file_name_stands_in_for_the_case(blobs):
    clean = phantom(blobs, (10, 11, 12))
    named = MetaTensor(clean, affine=AFFINE, meta={"filename_or_obj": "/some/where/p01"})
    transform = Corruptiond("image", "noise", 3)
    assert torch.equal(transform({"image": named})["image"].as_tensor(), corrupt(clean, "noise"))
    other = Corruptiond("image", "noise", 3, seed_key="id")({"image": clean, "case": "p02", "id": "p01"})["image"]
    assert torch.equal(other, corrupt(clean, "noise"))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shape_type_and_meta_stay(name, blobs):
    for shape in ((14, 12, 10), (14, 12, 1), (1, 12, 14), (14, 12)):
        image = blobs(shape, seed=2, channels=2) + 1
        affine = AFFINE if len(shape) == 3 else torch.diag(torch.tensor([2.0, 1.5, 1.0]))
        given = MetaTensor(image, affine=affine, meta={"filename_or_obj": "a", "extra": [1, 2]})
        before = given.clone()
        dtype = torch.float64 if shape[0] == 1 else torch.float32
        changed = corrupt(given.to(dtype), name)
        assert changed.shape == given.shape
        assert changed.dtype == dtype
        assert isinstance(changed, MetaTensor)
        assert torch.equal(changed.affine, given.affine)
        assert changed.meta["extra"] == [1, 2]
        assert len(changed.applied_operations) == (name in SPATIAL_CORRUPTIONS)
        assert torch.equal(given, before)
        assert given.applied_operations == []
        assert type(corrupt(image, name)) is torch.Tensor
    assert corrupt((image * 100).to(torch.int16), name).dtype == torch.float32
    assert corrupt(np.ones((1, 4, 5)), name).shape == (1, 4, 5)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_plane_is_a_volume_of_depth_one(name, blobs):
    plane = blobs((20, 18), seed=3, channels=2) + 1
    spacing = torch.diag(torch.tensor([2.0, 1.5, 9.0, 1.0]))
    flat = MetaTensor(plane, affine=torch.diag(torch.tensor([2.0, 1.5, 1.0])))
    deep = MetaTensor(plane[..., None], affine=spacing)
    assert torch.equal(corrupt(deep, name)[..., 0].as_tensor(), corrupt(flat, name).as_tensor())


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in SPATIAL_CORRUPTIONS])
def test_background_stays_zero_and_the_unit_does_not_matter(name, blobs):
    clean = phantom(blobs, (16, 14, 12))
    changed = corrupt(clean, name)
    assert (changed[clean == 0] == 0).all()
    assert (changed[clean != 0] != clean[clean != 0]).float().mean() > 0.9
    torch.testing.assert_close(corrupt(clean * 1e-4, name) * 1e4, changed, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["gamma", "bias_field", "motion", "ghosting", "spike", "rotation", "scaling"])
def test_all_channels_change_alike(name, blobs):
    clean = phantom(blobs, (12, 14, 10))
    both = corrupt(torch.cat([clean, clean * 3]), name)
    torch.testing.assert_close(both[1:], both[:1] * 3, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(both[:1], corrupt(clean, name), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_hostile_images_are_changed_or_refused_in_a_sentence(name):
    for constant in (0.0, 5.0, -3.0):
        assert torch.isfinite(corrupt(torch.full((1, 6, 7, 8), constant), name)).all()
    assert torch.isfinite(corrupt(torch.rand(3, 2, 2), name)).all()
    assert torch.isfinite(corrupt(torch.rand(1, 2, 3, 2) - 0.5, name)).all()
    broken = torch.rand(1, 6, 6, 6)
    broken[0, 0, 0, :2] = torch.tensor([float("nan"), float("inf")])
    with pytest.raises(ValueError, match=r"'image' must hold finite numbers; found 2 voxels of case 'p01'.*; repair"):
        corrupt(broken, name)
    for shape in ((1, 6, 1, 1), (1, 1, 1), (6, 6), (1, 2, 2, 2, 2)):
        with pytest.raises(ValueError, match=r"must be an image \(C, \*spatial\).*found the shape .* 'p01'; correct"):
            corrupt(torch.rand(shape), name)
    flat = MetaTensor(torch.rand(1, 4, 4, 4), affine=torch.diag(torch.tensor([1.0, 1.0, 0.0, 1.0])))
    with pytest.raises(ValueError, match="a size above 0 mm"):
        corrupt(flat, name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corruption": "blurr"}, r"one of noise, blur.*; found 'blurr'; did you mean 'blur'\?"),
        ({"corruption": "biasfield"}, r"did you mean 'bias_field'\?"),
        ({"corruption": "xyz"}, "found 'xyz'; choose one"),
        ({"corruption": None}, "found None"),
        ({"corruption": "noise", "severity": 0}, "severity must be 1 .*found 0; give"),
        ({"corruption": "noise", "severity": 6}, "found 6"),
        ({"corruption": "noise", "severity": 2.0}, "found 2.0"),
        ({"corruption": "noise", "severity": True}, "found True"),
    ],
)
def test_what_does_not_exist_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Corruptiond("image", **options)


@pytest.mark.parametrize("name", [None, "", "folder/"])
def test_a_case_without_a_name_is_refused(name):
    with pytest.raises(ValueError, match=r"'case' must be the name of the case.*; let Manifest\.items"):
        corrupt(torch.rand(1, 4, 4), "noise", case=name)


def test_absent_images_fail_or_are_skipped():
    with pytest.raises(KeyError):
        Corruptiond("image", "noise")({"case": "a"})
    assert Corruptiond("image", "noise", allow_missing_keys=True)({"case": "a"}) == {"case": "a"}


def chain(name, severity):
    labels = (("L", "R"), ("P", "A"), ("I", "S"))
    moved = [] if name is None else [Corruptiond("image", name, severity)]
    turn = Orientationd("image", "RAS", labels=labels)
    return Compose([turn, *moved, Spacingd("image", (1.5, 1.5, 1.5), mode="bilinear")])


def there_and_back(mask, name, severity):
    """What a perfect network that sees the corrupted image would be scored with: the mask, moved and moved back."""
    transform = chain(name, severity)
    sample = transform({"image": mask, "case": "p01"})
    pred = sample["image"].clone()
    pred[...] = (pred > 0.5).float()
    back = Invertd("pred", transform, orig_keys="image", nearest_interp=False)({**sample, "pred": pred})["pred"]
    return (back > 0.5).as_tensor(), pred


def blob(shape=(40, 36, 32)):
    lines = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in shape], indexing="ij")
    mask = ((lines[0] - 0.1) / 0.5) ** 2 + ((lines[1] + 0.1) / 0.6) ** 2 + (lines[2] / 0.4) ** 2 < 1
    affine = torch.tensor([[-1.2, 0.1, 0, 9], [0.1, 1.3, 0, 4], [0, 0, 2, 1], [0, 0, 0, 1.0]])
    return MetaTensor(mask[None].float(), affine=affine)


@pytest.mark.parametrize("name", SPATIAL_CORRUPTIONS)
def test_predictions_come_back_to_the_native_grid(name):
    mask = blob()
    for severity in (1, 5):
        back, moved = there_and_back(mask, name, severity)
        unmoved, straight = there_and_back(mask, None, severity)
        assert back.shape == mask.shape
        both = float(2 * (back & (mask > 0.5)).sum() / (back.sum() + mask.sum()))
        assert both > 0.97
        assert both > float(2 * (unmoved & (mask > 0.5)).sum() / (unmoved.sum() + mask.sum())) - 0.02
        assert float((moved != straight).float().mean()) > 0.001 * severity  # it had been elsewhere


def test_what_left_the_field_of_view_comes_back_as_zero():
    mask = MetaTensor(torch.ones(2, 20, 20), affine=torch.eye(3))
    cases = [f"p{n}" for n in range(9)]
    share = []
    for case in cases:
        transform = Compose([Corruptiond("image", "scaling", 5)])
        sample = transform({"image": mask, "case": case})
        back = Invertd("image", transform, nearest_interp=False)(sample)["image"]
        share.append(float(back.mean()))
    assert any(0.5 < s < 0.8 for s in share)  # enlarged by 1.25: 1 / 1.25^2 is left
    assert any(s > 0.99 for s in share)


def test_labels_can_come_back_by_the_nearest_voxel():
    mask = blob((20, 22, 18))
    transform = Compose([Corruptiond("image", "rotation", 4)])
    sample = transform({"image": mask * 7, "case": "p01"})
    back = Invertd("image", transform, nearest_interp=True)({**sample, "image": (sample["image"] > 3.5) * 7})["image"]
    assert set(back.unique().tolist()) == {0, 7}
    assert len(back.applied_operations) == 0


@pytest.mark.parametrize("name", ["noise", "motion"])
def test_other_corruptions_are_transparent_to_an_inversion(name):
    mask = blob((20, 22, 18))
    back, _ = there_and_back(mask, name, 1)
    assert back.shape == mask.shape


def test_tensors_of_two_keys_move_alike():
    image = torch.rand(1, 8, 9, 10)
    result = Corruptiond(["image", "twin"], "rotation", 2)({"image": image, "twin": image, "case": "a"})
    assert torch.equal(result["image"], result["twin"])
