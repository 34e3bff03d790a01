"""Volume fusion: the map against the boxes, the image against the map, and what is drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from map_transforms import check_missing_keys
from monai.data import MetaTensor

from medvol.data.chunked import open_chunks, pack
from medvol.losses import SegmentationLoss
from medvol.transforms import RandVolumeFusiond, fusion

SHAPE = (20, 13, 17)


def pair(shape: tuple[int, ...] = SHAPE, channels: int = 2, dtype: torch.dtype = torch.float32) -> dict:
    """Noise around 5 and around -5, so that no mixture is another one."""
    generator = torch.Generator().manual_seed(0)
    own, partner = torch.rand(2, channels, *shape, generator=generator)
    return {"image": (own + 5).to(dtype), "partner_image": (partner - 5).to(dtype), "patient": 3}


def slow_map(boxes: list, shape: tuple[int, ...]) -> torch.Tensor:
    """The class of each voxel, one voxel at a time: that of the last box around it."""
    result = torch.zeros(shape, dtype=torch.long)
    for voxel in itertools.product(*map(range, shape)):
        around = [c for start, stop, c in boxes if all(a <= v < b for v, a, b in zip(voxel, start, stop, strict=True))]
        result[voxel] = around[-1] if around else 0
    return result


@pytest.mark.parametrize(("classes", "shape"), [(4, (12, 9, 10)), (1, (14, 9)), (7, (9, 16, 1)), (3, (30,))])
def test_image_and_map_are_those_of_the_boxes(classes: int, shape: tuple[int, ...]) -> None:
    sample = pair(shape)
    fused = RandVolumeFusiond("image", classes=classes, boxes=(3, 9), side=(3, 0.5)).set_random_state(1)(sample)
    expected = slow_map(fused["pretext"]["fusion"], shape)
    assert torch.equal(fused["label"][0].long(), expected)
    assert expected.unique().numel() > 1
    share = expected / classes
    mixed = share * sample["image"] + (1 - share) * sample["partner_image"]
    assert torch.equal(fused["image"], mixed)
    assert torch.equal(fused["image"][:, expected == 0], sample["partner_image"][:, expected == 0])
    assert torch.equal(fused["image"][:, expected == classes], sample["image"][:, expected == classes])


def test_what_leaves_and_what_stays() -> None:
    sample = {**pair(), "pretext": {"crop": [[0, 0, 0], [20, 13, 17]]}, "partner_patient": 8}
    before = {key: value.clone() for key, value in sample.items() if isinstance(value, torch.Tensor)}
    fused = RandVolumeFusiond("image").set_random_state(0)(sample)
    assert set(fused) == {"image", "label", "patient", "partner_patient", "pretext"}
    assert set(fused["pretext"]) == {"crop", "fusion"}
    assert all(torch.equal(sample[key], value) for key, value in before.items()), "inputs are not changed in place"
    assert fused["label"].dtype == torch.uint8
    assert fused["label"].shape == (1, *SHAPE)
    assert torch.isfinite(SegmentationLoss("classes")(torch.zeros(1, 5, *SHAPE), fused["label"][None]))


def test_boxes_are_drawn_as_published() -> None:
    task, shape = RandVolumeFusiond("image").set_random_state(0), (48, 64, 24)
    counts, sides, classes, starts, ends = [], [], [], [], []
    for _ in range(800):
        task.randomize(shape)
        counts.append(len(task.drawn))
        sides.append(task.stop - task.start)
        classes.append(task.drawn)
        starts.append(task.start)
        ends.append(task.stop)
    assert set(counts) == set(range(10, 41))
    side, start, end = np.concatenate(sides), np.concatenate(starts), np.concatenate(ends)
    assert side.min(axis=0).tolist() == [8, 8, 8]
    assert side.max(axis=0).tolist() == [30, 40, 15]  # 0.625 of each axis
    assert start.min(axis=0).tolist() == [0, 0, 0]
    assert end.max(axis=0).tolist() == list(shape)
    middle = (start + end) / 2 / shape
    assert np.abs(middle.mean(axis=0) - 0.5).max() < 0.01
    for axis, most in enumerate((30, 40, 15)):
        share = np.bincount(side[:, axis], minlength=most + 1)[8:] / len(side)
        assert np.abs(share - 1 / (most - 7)).max() < 0.02
    assert np.abs(np.bincount(np.concatenate(classes)) / len(side) - 0.2).max() < 0.02


def test_every_box_has_a_side_and_a_place_of_its_own() -> None:
    task = RandVolumeFusiond("image", boxes=(40, 40)).set_random_state(0)
    task.randomize((64, 64, 64))
    for drawn in (task.start, task.stop - task.start):
        assert min(len(np.unique(drawn[:, axis])) for axis in range(3)) > 10


def test_the_ends_of_what_may_be_set() -> None:
    task, sizes, classes = RandVolumeFusiond("image", classes=255, boxes=(1, 1), side=(1, 1)), set(), set()
    sample = {"image": torch.ones(1, 3, 2), "partner_image": torch.zeros(1, 3, 2)}
    for seed in range(200):
        fused = task.set_random_state(seed)(sample)
        ((start, stop, number),) = fused["pretext"]["fusion"]
        sizes.add((stop[0] - start[0], stop[1] - start[1]))
        classes.add(number)
        assert int(fused["label"].max()) == number
    assert sizes == set(itertools.product((1, 2, 3), (1, 2)))
    assert max(classes) > 250


def test_thin_axes_take_the_largest_side() -> None:
    task = RandVolumeFusiond("image").set_random_state(0)
    task.randomize((64, 10, 2))
    assert set(task.stop[:, 1] - task.start[:, 1]) == {6}
    assert set(task.stop[:, 2] - task.start[:, 2]) == {1}
    assert set(task.start[:, 2]) == {0, 1}
    task.randomize((64, 5, 1))
    assert set(task.stop[:, 1] - task.start[:, 1]) == {3}
    assert set(zip(task.start[:, 2], task.stop[:, 2], strict=True)) == {(0, 1)}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_a_volume_of_depth_one(axis: int) -> None:
    flat, deep = pair((24, 18)), pair((24, 18))
    deep.update({key: deep[key].unsqueeze(1 + axis) for key in ("image", "partner_image")})
    one, other = (RandVolumeFusiond("image").set_random_state(5) for _ in range(2))
    for _ in range(2):  # the second sample, too, has the same random numbers
        thin, thick = one(flat), other(deep)
        assert torch.equal(thin["image"], thick["image"].squeeze(1 + axis))
        assert torch.equal(thin["label"], thick["label"].squeeze(1 + axis))


def test_several_images_share_one_map() -> None:
    sample = {**pair(), "mask": torch.ones(1, *SHAPE), "partner_mask": torch.zeros(1, *SHAPE, dtype=torch.uint8)}
    task = RandVolumeFusiond(["image", "mask"], ["partner_image", "partner_mask"], classes=2).set_random_state(2)
    fused = task(sample)
    assert torch.equal(fused["mask"] * 2, fused["label"].float())
    assert "partner_mask" not in fused
    truth = {**sample, "mask": sample["mask"].bool(), "partner_mask": sample["partner_mask"].bool()}
    assert torch.equal(task.set_random_state(2)(truth)["mask"], fused["mask"])


def test_types_stay_plain_and_floating() -> None:
    sample = {**pair(dtype=torch.float64), "partner_image": MetaTensor(pair(dtype=torch.float64)["partner_image"])}
    fused = RandVolumeFusiond("image").set_random_state(0)(sample)
    assert type(fused["image"]) is torch.Tensor
    assert fused["image"].dtype == torch.float64
    whole = {"image": torch.full((1, 9, 9), 3, dtype=torch.int16), "partner_image": np.zeros((1, 9, 9), dtype="int16")}
    assert RandVolumeFusiond("image").set_random_state(0)(whole)["image"].dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_shares_have_the_precision_of_the_image(dtype: torch.dtype) -> None:
    sample = pair(dtype=dtype)
    fused = RandVolumeFusiond("image", classes=3).set_random_state(0)(sample)
    share = fused["label"].to(dtype) / 3
    assert fused["image"].dtype == dtype
    assert torch.equal(fused["image"], share * sample["image"] + (1 - share) * sample["partner_image"])


def test_a_partner_kept_in_chunks_is_read() -> None:
    sample = pair()
    packed = {**sample, "partner_image": open_chunks(pack(sample["partner_image"], 4))}
    one, other = (RandVolumeFusiond("image").set_random_state(2)(data) for data in (packed, sample))
    assert torch.equal(one["image"], other["image"])


def test_the_result_lies_where_the_own_image_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that computes nothing, whose tensors mix with none of another device and have no values to check."""
    monkeypatch.setattr(fusion, "check_finite", lambda *_: None)
    nowhere = pair()["image"].to("meta")
    for partner in (nowhere, pair()["partner_image"]):
        fused = RandVolumeFusiond("image").set_random_state(0)({"image": nowhere, "partner_image": partner})
        assert fused["image"].device == fused["label"].device == torch.device("meta")
    both = RandVolumeFusiond(["image", "mask"], ["partner_image", "partner_mask"])
    fused = both({**pair(), "mask": nowhere, "partner_mask": nowhere})
    assert (fused["image"].device.type, fused["mask"].device.type) == ("cpu", "meta")


def test_absent_images_are_skipped_on_request() -> None:
    fused = RandVolumeFusiond("image", allow_missing_keys=True)({"patient": 1, "partner_image": torch.zeros(1, 3)})
    assert fused == {"patient": 1}
    check_missing_keys(lambda keys, **more: RandVolumeFusiond(keys, [f"partner_{key}" for key in keys], **more), pair())


def test_a_wrong_partner_is_refused() -> None:
    task = RandVolumeFusiond("image")
    with pytest.raises(ValueError, match=r"under 'partner_image'; found image, patient; .* partner=\"patient\""):
        task({"image": torch.zeros(1, 4, 4), "patient": 1})
    with pytest.raises(ValueError, match=r"of one shape; found \(1, 4, 5\) and \(1, 4, 4\); pad and cut both"):
        task({"image": torch.zeros(1, 4, 5), "partner_image": torch.zeros(1, 4, 4)})
    with pytest.raises(ValueError, match=r"of one shape; found \(3,\) and \(3,\)"):
        task({"image": torch.zeros(3), "partner_image": torch.zeros(3)})
    for lost in ("image", "partner_image"):
        holed = {name: torch.ones(1, 4, 4) for name in ("image", "partner_image")}
        holed[lost][0, 1, 2] = torch.nan
        with pytest.raises(ValueError, match=f"under '{lost}' must be finite; found 1 values that are not; set"):
            task(holed)
    both = RandVolumeFusiond(["image", "mask"], ["partner_image", "partner_mask"])
    other = {"mask": torch.zeros(1, 4, 4), "partner_mask": torch.zeros(1, 4, 4)}
    with pytest.raises(ValueError, match="must have one spatial shape"):
        both({**pair((5, 5)), **other})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classes": 0}, "classes must be a whole number from 1 to 255; found 0"),
        ({"classes": 2.0}, "classes must be a whole number"),
        ({"classes": 256}, "found 256"),
        ({"boxes": (0, 3)}, "boxes must be two whole numbers"),
        ({"boxes": (5, 3)}, "boxes must be two whole numbers"),
        ({"boxes": (5,)}, "boxes must be two whole numbers"),
        ({"boxes": 5}, "boxes must be two whole numbers"),
        ({"side": (8, "a")}, "side must be a whole number of voxels"),
        ({"side": (0, 0.5)}, "side must be a whole number of voxels"),
        ({"side": (8, 1.5)}, "share of the axis"),
        ({"side": (8, 0.0)}, "share of the axis"),
        ({"side": (True, 0.5)}, "side must be"),
        ({"partner_key": ["a", "b"]}, "one image for each of the 1 keys; found 2"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RandVolumeFusiond("image", **arguments)
