"""Crops around the foreground: which voxels are drawn, what is cut, and how little is read."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandCropByPosNegLabel
from scipy.stats import chisquare

from medvol.data import StreamDataset
from medvol.data.chunked import ChunkedArray, open_chunks, pack
from medvol.transforms import ForegroundMaskd, RandForegroundCropd, RandVolumeFusiond
from medvol.transforms.foreground_crop import nth_voxel

SHAPE = (9, 12, 10)


def volume(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> dict:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand((2, *shape), generator=generator)
    return {"image": image, "mask": torch.rand((1, *shape), generator=generator) > 0.8, "patient": seed}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of all parts that chunked arrays give away."""
    shapes: list[tuple[int, ...]] = []
    original = ChunkedArray.__getitem__

    def noted(self: ChunkedArray, index: object) -> torch.Tensor:
        part = original(self, index)
        shapes.append(tuple(part.shape))
        return part

    monkeypatch.setattr(ChunkedArray, "__getitem__", noted)
    return shapes


@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(5, 1, 7), (4, 6), (1, 1, 1), (11,), (3, 4, 2, 5)])
def test_the_nth_voxel_is_that_of_a_list_of_all(shape: tuple[int, ...], share: float) -> None:
    mask = np.random.RandomState(0).uniform(size=shape) < share
    mask.flat[-1] = True
    for turned in (mask, mask.T):  # in memory, the axes run in another order
        places = np.argwhere(turned).tolist()
        assert [list(nth_voxel(turned, n)) for n in range(len(places))] == places


def test_every_voxel_of_the_foreground_is_drawn_as_often() -> None:
    """So many draws that a voxel twice as likely as another one would show; and none of the background."""
    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[0, 0, 0] = mask[3, 4, 5] = True
    mask[1, 2:4] = mask[2, :, 3] = True
    crop, seen = RandForegroundCropd("image", "mask", 1).set_random_state(0), np.zeros(mask.shape)
    for _ in range(3000):
        crop.randomize(mask)
        seen[crop.center] += 1
    assert not seen[~mask].any()
    assert chisquare(seen[mask]).pvalue > 1e-3


@pytest.mark.parametrize("size", [(3, 4, 4), (4, 5, 2), (9, 12, 10), 3, (-1, 4, 1)])
def test_a_voxel_is_in_the_middle_of_the_crop_that_monai_cuts_there(size: tuple[int, ...] | int) -> None:
    data, flat = volume(), np.arange(np.prod(SHAPE)).reshape(SHAPE)
    crop = RandForegroundCropd("image", "mask", size)
    monai = RandCropByPosNegLabel(size, pos=1, neg=0)
    for seed in range(8):
        found = crop.set_random_state(seed)(data)["image"]
        drawn = torch.as_tensor([flat[crop.center]])
        want = monai(data["image"], data["mask"], fg_indices=drawn, bg_indices=torch.as_tensor([0]))[0]
        assert torch.equal(found, want)
        assert data["mask"][0][crop.center]


def test_image_and_mask_are_cut_at_one_place() -> None:
    data, crop = volume(), RandForegroundCropd(["image", "mask"], "mask", (3, 4, 4))
    data["image"] = data["mask"].float().expand(2, *SHAPE)
    for seed in range(5):
        found = crop.set_random_state(seed)(data)
        assert found["mask"].any()
        assert torch.equal(found["image"], found["mask"].float().expand(2, 3, 4, 4))
        assert type(found["image"]) is torch.Tensor  # what came without metadata leaves without
    assert found["mask"].dtype is torch.bool
    assert found["patient"] == 0


def test_it_stands_twice_in_a_chain() -> None:
    data = volume()
    data |= {"partner_image": data["image"] * 2, "partner_mask": torch.zeros_like(data["mask"])}
    data["partner_mask"][0, 8, 0, 9] = True
    first = RandForegroundCropd(["image", "mask"], "mask", (3, 4, 4))
    second = RandForegroundCropd(["partner_image", "partner_mask"], "partner_mask", (3, 4, 4))
    for seed in range(5):
        found = Compose([first, second]).set_random_state(seed)(data)
        assert found["image"].shape == found["partner_image"].shape == (2, 3, 4, 4)
        # the only foreground voxel lies in a corner of the volume
        assert torch.equal(found["partner_image"], data["partner_image"][:, 6:, :4, 6:])


def test_without_foreground_the_crop_lies_anywhere_and_without_a_warning() -> None:
    crop = RandForegroundCropd("image", "mask", 1).set_random_state(0)
    for mask in (np.zeros((3, 4), dtype=bool), np.ones((3, 4), dtype=bool)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            places = {crop.randomize(mask) or crop.center for _ in range(200)}
        assert len(places) == 12


@pytest.mark.parametrize(
    "kind", ["bool", "uint8", "float32", "bfloat16", "numpy", "read-only", "MetaTensor", "two channels"]
)
def test_masks_of_any_kind_draw_the_same(kind: str) -> None:
    data = volume()
    plain = data["mask"]
    masks = {
        "numpy": plain.numpy().astype(np.int16),
        "MetaTensor": MetaTensor(plain),
        "two channels": torch.cat([plain & False, plain]),
        "read-only": plain.numpy().copy(),
    }
    masks["read-only"].setflags(write=False)
    data["mask"] = masks.get(kind, plain.to(getattr(torch, kind, torch.bool)))
    crop, other = (RandForegroundCropd("image", "mask", 4).set_random_state(3) for _ in range(2))
    assert torch.equal(crop(data)["image"], other(volume())["image"])


def test_a_slice_is_a_volume_of_depth_one() -> None:
    flat = volume(shape=(9, 12))
    deep = {key: value[..., None] if isinstance(value, torch.Tensor) else value for key, value in flat.items()}
    for seed in range(5):
        one = RandForegroundCropd("image", "mask", (3, 4)).set_random_state(seed)(flat)
        other = RandForegroundCropd("image", "mask", (3, 4, 1)).set_random_state(seed)(deep)
        assert torch.equal(one["image"], other["image"][..., 0])


def test_a_signal_has_one_axis() -> None:
    data = {"image": torch.arange(30.0)[None], "mask": torch.arange(30)[None] == 12}
    assert RandForegroundCropd("image", "mask", 5)(data)["image"].tolist() == [[10, 11, 12, 13, 14]]


def test_metadata_follow_the_crop() -> None:
    data = volume()
    data["image"] = MetaTensor(data["image"], affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    crop = RandForegroundCropd("image", "mask", 1).set_random_state(1)
    found = crop(data)["image"]
    assert found.affine[:3, 3].tolist() == [2 * crop.center[0], 3 * crop.center[1], 4 * crop.center[2]]


def test_only_the_crops_are_read(reads: list) -> None:
    data = volume()
    packed = {
        **data,
        "image": open_chunks(pack(data["image"], 4)),
        "partner_image": open_chunks(pack(data["image"], 4)),
    }
    crop = RandForegroundCropd(["image", "mask"], "mask", 2).set_random_state(3)
    found = crop(packed)
    assert reads == [(2, 2, 2, 2)]
    assert torch.equal(found["image"], crop.set_random_state(3)(data)["image"])
    RandForegroundCropd("partner_image", "mask", 2)({**found, "mask": data["mask"]})
    assert reads == [(2, 2, 2, 2)] * 2
    reads.clear()
    RandForegroundCropd("image", "mask", 2)({**packed, "mask": open_chunks(pack(data["mask"], 4))})
    assert reads == [(1, *SHAPE), (2, 2, 2, 2)], "the mask is read whole, for a voxel is drawn among all of it"
    reads.clear()
    RandForegroundCropd("image", "mask", 2)({**packed, "other": open_chunks(pack(data["image"], 4))})
    assert reads == [(2, *SHAPE), (2, 2, 2, 2)], "whoever comes next may be a transform that needs a tensor"


@pytest.mark.parametrize("chunked_from", [1500, 2**30])
def test_a_chain_with_a_partner_reads_two_crops(reads: list, tmp_path: object, chunked_from: int) -> None:
    """As volumefusion3d has it: of the images the crops only, the masks whole."""
    rows = [{"image": volume(seed)["image"], "patient": seed} for seed in range(3)]
    parts = [
        ForegroundMaskd("image", "mask"),
        RandForegroundCropd(["image", "mask"], "mask", (5, 4, 6)),
        RandForegroundCropd(["partner_image", "partner_mask"], "partner_mask", (5, 4, 6)),
        RandVolumeFusiond("image", side=(2, 0.5)),
    ]
    data = StreamDataset(rows, Compose(parts), 0, tmp_path / str(chunked_from), chunked_from, partner="patient")
    for position in range(3):
        data[position, position]  # fills the cache
        reads.clear()
        sample = data[position, position]
        assert reads == ([(1, *SHAPE), (2, 5, 4, 6)] * 2 if chunked_from < 2**30 else [])
        whole = StreamDataset(rows, Compose(parts), 0, tmp_path / "whole", partner="patient")[position, position]
        assert torch.equal(sample["image"], whole["image"])


def test_what_is_not_cut_is_neither_copied_nor_changed() -> None:
    data = {**volume(), "partner_image": torch.rand(2, 4, 4)}
    found = RandForegroundCropd("image", "mask", 3)(data)
    assert found["partner_image"] is data["partner_image"]
    assert data["image"].shape == (2, *SHAPE)
    assert RandForegroundCropd.reads_parts is True


@pytest.mark.parametrize(
    ("size", "change", "words"),
    [
        (3, {"mask": None}, r"mask of the foreground must stand under 'mask'; found image, patient; make it with"),
        (3, {"mask": torch.ones(5)}, r"must be \(1, \*spatial\) with voxels; found the shape \(5,\)"),
        (3, {"mask": torch.ones(1, 9, 0, 10)}, r"found the shape \(1, 9, 0, 10\)"),
        (3, {"image": torch.ones(1, 9, 12, 11)}, r"'image' must have the spatial .*; found \(9, 12, 11\); load it"),
        (3, {"image": "a/scan.nii.gz"}, r"'image' must have the spatial shape .*; found \(\); load it"),
        ((3, 20, 3), {}, r"found a crop of \(3, 20, 3\) voxels in \(9, 12, 10\); pad first with SpatialPadd"),
        ((3, 4.5, 3), {}, r"whole numbers of voxels; found \(3, 4\.5, 3\)"),
        ((3, 3), {}, r"one for each axis of the volume; found \(3, 3\) for the spatial shape .*; give 3"),
    ],
)
def test_refusals(size: object, change: dict, words: str) -> None:
    data = {key: value for key, value in {**volume(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=words):
        RandForegroundCropd("image", "mask", size)(data)


def test_absent_images() -> None:
    with pytest.raises(KeyError, match="other"):
        RandForegroundCropd(["image", "other"], "mask", 3)(volume())
    assert "other" not in RandForegroundCropd(["image", "other"], "mask", 3, allow_missing_keys=True)(volume())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_on_an_accelerator() -> None:
    data = {key: value.cuda() if isinstance(value, torch.Tensor) else value for key, value in volume().items()}
    crop = RandForegroundCropd("image", "mask", 3)
    found, want = (crop.set_random_state(0)(one)["image"] for one in (data, volume()))
    assert found.device.type == "cuda"
    assert torch.equal(found.cpu(), want)
