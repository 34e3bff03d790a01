"""Mirroring: spatial axes only, image and label alike, a slice as a volume of depth one."""

from __future__ import annotations

from collections import Counter

import genesis_loops
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medvol.transforms.axis_flips import RandAxisFlipsd


def volume(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_image_and_label_are_mirrored_along_the_drawn_axes() -> None:
    image, label = volume(2, 4, 5, 2), volume(1, 4, 5, 2)
    flip, seen = RandAxisFlipsd(["image", "label"], prob=0.7), set()
    for seed in range(200):
        sample = flip.set_random_state(seed)({"image": image, "label": label})
        axes = [axis + 1 for axis in flip.axes]
        assert torch.equal(sample["image"], image.flip(axes))
        assert torch.equal(sample["label"], label.flip(axes))
        seen.add(flip.axes)
    assert len(seen) == 8  # every set of axes, the last axis among them


def test_channels_keep_their_order() -> None:
    image = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 4, 4, 4)
    flip = RandAxisFlipsd("image", prob=1)
    for seed in range(20):
        assert torch.equal(flip.set_random_state(seed)({"image": image})["image"], image)


def test_axes_are_drawn_as_often_as_by_the_loop() -> None:
    image, ours, theirs = np.zeros((1, 2, 2, 2)), Counter(), Counter()
    flip, random = RandAxisFlipsd("image").set_random_state(0), np.random.RandomState(1)
    for _ in range(3000):
        flip.randomize()
        ours[flip.axes] += 1
        drawn = Counter(genesis_loops.flip(image, image, random)[2])
        theirs[tuple(sorted(axis for axis, times in drawn.items() if times % 2))] += 1
    chi_square = sum((ours[axes] - theirs[axes]) ** 2 / (ours[axes] + theirs[axes]) for axes in theirs)
    assert len(ours) == len(theirs) == 8
    assert chi_square < 24.3  # 7 degrees, p = 0.001


def test_the_rate_of_samples_left_alone() -> None:
    flip, image = RandAxisFlipsd("image", prob=0.4, most=1).set_random_state(0), volume(1, 4, 4, 4)
    kept = sum(torch.equal(flip({"image": image})["image"], image) for _ in range(1000))
    assert 560 <= kept <= 640


def test_a_slice_is_a_volume_of_depth_one() -> None:
    image = volume(1, 6, 5)
    flip = RandAxisFlipsd("image", prob=0.8)
    for seed in range(20):
        flat = flip.set_random_state(seed)({"image": image})["image"]
        deep = flip.set_random_state(seed)({"image": image[..., None]})["image"]
        assert torch.equal(flat, deep[..., 0])


def test_only_the_listed_axes() -> None:
    flip = RandAxisFlipsd("image", prob=1, most=3, spatial_axes=[1, 2])
    image = volume(1, 4, 4, 4)
    found = {flip.set_random_state(seed)({"image": image}) is None or flip.axes for seed in range(40)}
    assert found == {(1,), (2,)}  # an odd number of draws out of two axes


def test_three_draws_are_usual() -> None:
    flip, counts = RandAxisFlipsd("image", prob=1).set_random_state(0), set()
    for _ in range(50):
        flip.randomize()
        counts.add(len(flip.axes))
    assert counts == {1, 3}  # an odd number of draws


def test_axes_of_an_array() -> None:
    assert RandAxisFlipsd("image", spatial_axes=np.array([2, 0])).spatial_axes == (2, 0)


def test_inputs_and_record_are_left_alone() -> None:
    image = volume(1, 4, 5, 6).numpy()
    frozen = image.copy()
    image.setflags(write=False)
    sample = {"image": image}
    flipped = RandAxisFlipsd("image", prob=1, most=1).set_random_state(0)(sample)
    assert set(flipped) == {"image"}
    assert sample["image"] is image
    np.testing.assert_array_equal(image, frozen)
    assert not np.array_equal(flipped["image"], image)


def test_metadata_follow_the_mirror() -> None:
    image = MetaTensor(volume(1, 4, 5, 6), affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))
    flipped = RandAxisFlipsd("image", prob=1, most=1, spatial_axes=[0])({"image": image})["image"]
    assert torch.equal(flipped.as_tensor(), image.as_tensor().flip(1))
    assert flipped.affine[0, 0] == -2
    assert flipped.affine[0, 3] == 6
    assert image.affine[0, 0] == 2
    thin = image[..., :1]  # an axis of one voxel has nothing to mirror, and keeps its direction
    assert RandAxisFlipsd("image", prob=1, most=1, spatial_axes=[2])({"image": thin})["image"] is thin


def test_absent_images() -> None:
    with pytest.raises(KeyError, match="label"):
        RandAxisFlipsd(["image", "label"])({"image": volume(1, 4, 4)})
    flip = RandAxisFlipsd(["image", "label"], prob=1, most=1, spatial_axes=[0], allow_missing_keys=True)
    assert torch.equal(flip({"image": volume(1, 4, 4)})["image"], volume(1, 4, 4).flip(1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prob": 1.2}, "prob must be a probability from 0 to 1; found 1.2"),
        ({"most": 0}, "most must be a whole number of 1 or more; found 0"),
        ({"spatial_axes": [0, 3]}, r"axes out of 0, 1 and 2.*found \[0, 3\]"),
        ({"spatial_axes": []}, r"spatial_axes.*found \[\]"),
        ({"spatial_axes": 1}, "spatial_axes.*found 1"),
        ({"spatial_axes": [1.0]}, r"spatial_axes.*found \[1.0\]"),
        ({"spatial_axes": [True]}, r"spatial_axes.*found \[True\]"),
        ({"spatial_axes": "01"}, "spatial_axes.*found '01'"),
    ],
)
def test_refusals(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RandAxisFlipsd("image", **options)


def test_an_image_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'image' must be an image \(C, \*spatial\).*found the shape \(4, 4\)"):
        RandAxisFlipsd("image")({"image": torch.zeros(4, 4)})
