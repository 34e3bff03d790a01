"""Masks of hidden blocks: how many, where, and what the label is."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.engines import PrepareBatchExtraInput
from torch import nn

from medvol.data import StreamDataset, stream_loader
from medvol.engines import PretextValidator, Trainer
from medvol.losses import RestorationLoss
from medvol.transforms.masking import RandBlockMaskd


def volume(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawn(image: torch.Tensor, seed: int = 0, **options: object) -> dict:
    return RandBlockMaskd("image", **{"block": 4, **options}).set_random_state(seed)({"image": image})


@pytest.mark.parametrize(
    ("shape", "block", "ratio", "want"),
    [
        ((8, 12, 20), 4, 0.75, 22),  # of 30, 22.5
        ((8, 12, 20), (2, 4, 10), 0.75, 18),  # of 24
        ((8, 20), 4, 0.75, 7),  # of 10, 7.5
        ((10, 10), 1, 0.29, 29),  # a little less in binary
        ((8, 4, 1), 4, 0.5, 1),
        ((8, 4, 1), (2, 2, 1), 0.6, 4),  # of 8, 4.8
        ((100,), 2, 0.999, 49),
        ((6, 4, 2, 2), 2, 0.5, 3),
    ],
)
def test_exactly_the_floor_of_the_share_and_whole_blocks(
    shape: tuple, block: int | tuple, ratio: float, want: int
) -> None:
    steps = [1 if n == 1 else s for n, s in zip(shape, np.broadcast_to(block, len(shape)), strict=True)]
    for seed in range(5):
        mask = drawn(volume(2, *shape), seed, block=block, ratio=ratio)["mask"]
        assert mask.shape == (1, *shape)
        assert mask.dtype == torch.float32
        assert mask.is_contiguous()
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        hidden = 0
        for corner in product(*(range(0, n, s) for n, s in zip(shape, steps, strict=True))):
            cell = mask[(0, *(slice(c, c + s) for c, s in zip(corner, steps, strict=True)))]
            assert (cell == cell.flatten()[0]).all()
            hidden += int(cell.flatten()[0])
        assert hidden == want


def test_every_block_is_hidden_equally_often() -> None:
    task, image, counts = RandBlockMaskd("image", 1).set_random_state(0), volume(1, 4, 5), np.zeros((4, 5))
    pairs: Counter = Counter()
    for _ in range(800):
        mask = task({"image": image})["mask"][0].numpy()
        counts += mask
        pairs[bool(mask[0, 0]), bool(mask[3, 4])] += 1
    assert ((counts - 600) ** 2 / 150).sum() * 19 / 20 < 43.9  # chi-square, 19 degrees, p = 0.001
    assert pairs[True, True] == pytest.approx(800 * 0.75 * 14 / 19, rel=0.1)


def test_a_slice_is_a_volume_of_depth_one() -> None:
    image = volume(2, 32, 32, 1)
    for ratio in (0.75, (0.3, 0.6)):
        for block in (8, 16):
            deep, flat = (drawn(x, 3, block=block, ratio=ratio) for x in (image, image[..., 0]))
            assert torch.equal(deep["mask"][..., 0], flat["mask"])
            assert torch.equal(deep["label"][..., 0], flat["label"])
    assert torch.equal(drawn(image, block=[8, 8, 1])["mask"], drawn(image, block=8)["mask"])
    assert torch.equal(drawn(image, block=[8, 8, 4])["mask"], drawn(image, block=8)["mask"])


def test_equal_seeds_equal_masks() -> None:
    image = volume(1, 16, 16, 8)
    assert torch.equal(drawn(image, 1)["mask"], drawn(-image, 1)["mask"])
    assert not torch.equal(drawn(image, 1)["mask"], drawn(image, 2)["mask"])


def test_a_share_that_is_drawn_too() -> None:
    """Every count between the ends comes, and no other."""
    task, image = RandBlockMaskd("image", 1, ratio=[0.6, 0.9]).set_random_state(0), volume(1, 10)
    counts = Counter(int(task({"image": image})["mask"].sum()) for _ in range(300))
    assert set(counts) == {6, 7, 8}
    assert max(counts.values()) < 130
    assert int(drawn(image, block=1, ratio=[0.6, 0.6])["mask"].sum()) == 6


@pytest.mark.parametrize("kind", ["tensor", "meta", "array", "mirrored array"])
def test_the_label_is_a_copy_and_the_image_untouched(kind: str) -> None:
    plain = volume(2, 8, 4, 4)
    made = {
        "tensor": plain.clone(),
        "meta": MetaTensor(plain.clone()),
        "array": plain.numpy().copy(),
        "mirrored array": plain.flip(1).numpy().copy()[:, ::-1],
    }
    sample = {"image": made[kind], "label": "a file", "face": torch.ones(1, 8, 4, 4)}
    result = RandBlockMaskd("image", 2, exclude_key="face")(sample)
    assert result["image"] is sample["image"]
    assert np.array_equal(np.asarray(result["image"]), plain.numpy())
    assert result["label"].isnan().all()
    assert sample["label"] == "a file"
    label = RandBlockMaskd("image", 2)(sample)["label"]
    assert type(label) is torch.Tensor
    assert torch.equal(label, plain)
    label.zero_()
    assert np.array_equal(np.asarray(sample["image"]), plain.numpy())


@pytest.mark.parametrize(
    ("image", "dtype"),
    [
        (torch.ones(1, 8, 8).half(), torch.float16),
        (torch.ones(1, 8, 8).double(), torch.float64),
        (torch.ones(1, 8, 8).int(), torch.float32),
        (np.ones((1, 8, 8), np.uint16), torch.float32),
    ],
)
def test_a_label_can_hold_nan(image: object, dtype: torch.dtype) -> None:
    left = torch.zeros(1, 8, 8)
    left[0, 2, 3] = 1
    label = RandBlockMaskd("image", 4, exclude_key="face")({"image": image, "face": left})["label"]
    assert label.dtype == dtype
    assert int(label.isnan().sum()) == 1


def test_what_the_loss_leaves_out() -> None:
    image = volume(2, 8, 8, 4)
    face = torch.zeros(1, 8, 8, 4)
    face[:, 5:, :3] = 1
    tissue = volume(2, 8, 8, 4, seed=1) > -1  # a mask for each channel
    sample = {"image": image, "face": face.numpy(), "foreground": tissue}
    result = RandBlockMaskd("image", 4, exclude_key="face", foreground_key="foreground").set_random_state(0)(sample)
    left = (face == 1) | ~tissue
    assert torch.equal(result["label"].isnan(), left)
    assert torch.equal(result["label"][~left], image[~left])
    assert torch.equal(result["mask"], drawn(image)["mask"])  # draws the same
    assert torch.equal(result["foreground"], tissue)
    half = RandBlockMaskd("image", 4, exclude_key="face")({**sample, "face": face / 2})["label"]
    assert torch.equal(half.isnan(), (face > 0).expand(2, -1, -1, -1))


def test_a_sample_that_is_left_out_altogether_adds_nothing() -> None:
    image = volume(1, 8, 8).requires_grad_()
    sample = RandBlockMaskd("image", 4, foreground_key="tissue")({"image": image, "tissue": torch.zeros(1, 8, 8)})
    assert int(sample["mask"].sum()) == 48
    loss = RestorationLoss()((image[None], sample["mask"][None]), sample["label"][None])
    loss.backward()
    assert loss.item() == 0
    assert (image.grad == 0).all()


class Remembering(nn.Module):
    """Hides, and keeps the masks it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.masks = nn.Conv2d(1, 1, 3, padding=1), []

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.masks.append(mask.clone())
        return self.layer(image * (1 - mask)), mask


def test_the_masks_of_two_validations_are_the_same(tmp_path) -> None:
    items = [{"image": volume(1, 16, 8, seed=n)} for n in range(3)]
    network, found = Remembering(), []
    batch = {key: value[None] for key, value in drawn(items[0]["image"]).items()}
    trainer = Trainer(
        "cpu", 1, [batch], network, torch.optim.SGD(network.parameters(), lr=0.1), RestorationLoss(), steps=1,
        prepare_batch=PrepareBatchExtraInput(["mask"]),
    )  # fmt: skip
    for seed in (0, 1):
        dataset = StreamDataset(items, RandBlockMaskd("image", 4), seed, tmp_path)
        validator = PretextValidator(
            network, stream_loader(dataset, 2, seed=5), RestorationLoss(), prepare_batch=trainer.prepare_batch
        )
        for noise in (1, 2):
            torch.manual_seed(noise)
            network.masks.clear()
            loss = validator.run(trainer)["val_loss"]
            found.append((loss, torch.cat(network.masks)))
    assert found[0][0] == found[1][0] != found[2][0]
    assert torch.equal(found[0][1], found[1][1])
    assert torch.equal(found[2][1], found[3][1])
    assert not torch.equal(found[0][1], found[2][1])
    assert len({mask.numpy().tobytes() for mask in found[0][1]}) > 1  # not one mask for all


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (volume(1, 8, 50, 8), {"block": 16}, "found 8 voxels along axis 0, where block is 16; crop or pad .* to 16,"),
        (volume(1, 48, 50), {"block": 16}, "found 50 voxels along axis 1, where block is 16; .* to 48 or 64"),
        (volume(1, 8, 8, 2), {"block": (4, 4, 4)}, "found 2 voxels along axis 2"),
        (volume(1, 8, 0), {}, "found 0 voxels along axis 1"),
        (volume(1, 8, 8), {"block": (4, 4, 4)}, r"found \[4, 4, 4\] for the spatial shape \(8, 8\); give 2"),
        (volume(5), {}, r"spatial shape \(\)"),
        (volume(1, 4, 4), {}, r"found 1 in all, of \(4, 4\) voxels each, of which ratio 0.75 hides 0"),
        (volume(1, 4, 8), {"ratio": 0.4}, "found 2 in all, .* hides 0; choose smaller blocks"),
        (volume(1, 16, 4), {"ratio": [0.2, 0.9]}, r"found 4 in all, .* ratio \[0.2, 0.9\] hides 0"),
        (volume(1, 16, 4), {"ratio": 1 - 1e-12}, "found 4 in all, .* hides 4"),
        (torch.tensor([[[0.0, math.nan, 1.0, math.inf, 2.0]]]), {}, "found 2 values that are not"),
        (volume(1, 8, 8).log(), {}, "must be finite.*found .* values.*exclude_key"),
        (volume(1, 8, 8), {"block": 0}, "block must be a positive number of voxels.*found 0"),
        (volume(1, 8, 8), {"block": 4.0}, "found 4.0"),
        (volume(1, 8, 8), {"block": True}, "found True"),
        (volume(1, 8, 8), {"block": []}, r"found \[\]"),
        (volume(1, 8, 8), {"block": "16"}, "found '16'"),
        (volume(1, 8, 8), {"ratio": 0}, "ratio must be a number between 0 and 1.*found 0;"),
        (volume(1, 8, 8), {"ratio": 1.0}, "found 1.0"),
        (volume(1, 8, 8), {"ratio": math.nan}, "found nan"),
        (volume(1, 8, 8), {"ratio": [0.9, 0.6]}, r"found \[0.9, 0.6\]"),
        (volume(1, 8, 8), {"ratio": [0.9]}, r"found \[0.9\]"),
        (volume(1, 8, 8), {"ratio": "0.75"}, "found '0.75'"),
        (volume(1, 8, 8), {"exclude_key": "mask"}, "names of their own; found 'image', 'mask', 'label', 'mask'"),
        (volume(1, 8, 8), {"mask_key": "label"}, "names of their own; found 'image', 'label', 'label'"),
        (volume(1, 8, 8), {"label_key": "image"}, "names of their own"),
        (volume(1, 8, 8), {"foreground_key": "mask"}, "ForegroundMaskd"),
    ],
)
def test_refusals(image: torch.Tensor, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        drawn(image, **options)


def test_refusals_of_samples() -> None:
    sample = {"image": volume(1, 8, 8)}
    with pytest.raises(ValueError, match=r"keys must be one image.*'image', 't1'"):
        RandBlockMaskd(["image", "t1"], 4)
    with pytest.raises(KeyError, match="image"):
        RandBlockMaskd("image", 4)({"t1": volume(1, 8, 8)})
    with pytest.raises(ValueError, match=r"must stand under 'face'; found image; load it, or .* null$"):
        RandBlockMaskd("image", 4, exclude_key="face")(sample)
    for shape in ((1, 8, 4), (2, 8, 8), (8, 8)):
        with pytest.raises(ValueError, match=r"'face' must have the shape \(1, 8, 8\); found"):
            RandBlockMaskd("image", 4, exclude_key="face")({**sample, "face": torch.zeros(shape)})
    for unread in ("face.nii.gz", None):
        with pytest.raises(ValueError, match=r"an array, loaded under 'face'; found .*args_defaced\.json"):
            RandBlockMaskd("image", 4, exclude_key="face")({**sample, "face": unread})


def test_what_is_left_out_may_stand_where_the_label_will():
    removed = torch.zeros(1, 8, 8, 8)
    removed[:, :3] = 1
    image = torch.rand(2, 8, 8, 8)
    mask = RandBlockMaskd("image", block=4, exclude_key="label")
    found = mask.set_random_state(0)({"image": image, "label": removed})
    assert torch.equal(found["label"].isnan(), removed.bool().expand(2, -1, -1, -1))
    assert torch.equal(found["label"][:, 3:], image[:, 3:])
