"""What is drawn is what training draws, bit by bit, and what it was before."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from monai.transforms import RandGaussianNoised

from medvol.bundles.opening import open_bundle
from medvol.bundles.previews.observation import is_random, observe
from medvol.data.chunked import ChunkedArray


def drawn_by_training(bundle: str, values: dict, count: int) -> list:
    loader = open_bundle(bundle, overrides=values).parser.get_parsed_content("train::dataloader")
    places = islice((place for batch in loader.stream for place in batch), count)
    found = [loader.dataset[place] for place in places]
    return [one[0] if isinstance(one, list) else one for one in found]


@pytest.mark.parametrize("bundle", ["cpc3d", "unet_brats", "unet_hippocampus"])
def test_samples_are_those_of_training(bundle, overrides) -> None:
    values = overrides(bundle, seed=3, modalities=["t1"])
    seen = observe(open_bundle(bundle, overrides=values).parser, "train::", 4)
    for one, sample in zip(seen, drawn_by_training(bundle, values, 4), strict=True):
        assert set(one.sample) == set(sample)
        assert torch.equal(one.sample["image"], sample["image"])
        assert one.case == sample["case"]
    assert [one.position for one in seen] == [0, 1, 2, 3]


def test_the_cache_of_training_is_used_and_chunks_stay_chunks(overrides, tmp_path) -> None:
    values = overrides("cpc3d", **{"train::dataset::chunked_from": 1})
    samples = drawn_by_training("cpc3d", values, 3)
    entries = sorted(path.name for path in (tmp_path / "cache").rglob("*.pt"))
    seen = observe(open_bundle("cpc3d", overrides=values).parser, "train::", 3)
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*.pt")) == entries
    for one, sample in zip(seen, samples, strict=True):
        assert isinstance(one.source, ChunkedArray)
        for number in (0, 13, 26):
            window = tuple(slice(a, b) for a, b in zip(*one.record.boxes[number], strict=True))
            assert one.source[(slice(None), *window)].shape == sample["image"][number].shape


def test_boxes_lie_on_the_source(overrides) -> None:
    """Without per-patch changes, what stands in a box is the patch."""
    opened = open_bundle("cpc3d", overrides=overrides("cpc3d"))
    del opened.config["train"]["preprocessing"]["transforms"][-1]
    (one,) = observe(opened.parser, "train::", 1)
    for number, box in enumerate(one.record.boxes):
        window = tuple(slice(a, b) for a, b in zip(*box, strict=True))
        assert torch.equal(one.source[(slice(None), *window)], one.sample["image"][number])
    assert (one.turned, one.chance, one.plain) == (False, True, None)
    assert one.geometry.ends == (("L", "R"), ("P", "A"), ("I", "S"))
    assert one.geometry.spacing == pytest.approx((1, 1, 1))


def test_the_state_before_chance_is_a_piece_of_the_source(overrides) -> None:
    (one,) = observe(open_bundle("unet_brats", overrides=overrides("unet_brats")).parser, "train::", 1)
    assert one.plain["image"].shape == one.sample["image"].shape == (4, 16, 16, 16)
    assert one.plain["label"].shape == one.sample["label"].shape  # as regions, although those come last
    piece, whole = one.plain["image"].numpy(), one.source.numpy()
    starts = np.argwhere(whole[0] == piece[0, 0, 0, 0])
    windows = [whole[(slice(None), *(slice(n, n + 16) for n in start))] for start in starts]
    assert sum(np.array_equal(window, piece) for window in windows) == 1
    assert one.record is None


def test_a_random_transform_before_the_cut_turns_the_source(overrides) -> None:
    opened = open_bundle("cpc3d", overrides=overrides("cpc3d"))
    transforms = opened.config["train"]["preprocessing"]["transforms"]
    flip = {"_target_": "monai.transforms.RandFlipd", "keys": ["image", "mask"], "prob": 1.0, "spatial_axis": 0}
    transforms.insert(-2, flip)
    (one,) = observe(opened.parser, "train::", 1)
    assert one.turned
    window = tuple(slice(a, b) for a, b in zip(*one.record.boxes[4], strict=True))
    foreground = one.source[(slice(None), *window)].any(dim=0).float().mean()
    assert one.sample["foreground"][4] == pytest.approx(float(foreground), abs=0.02)


def test_inference_is_drawn_without_a_stream(overrides, dataset) -> None:
    values = {"manifest": str(dataset), "spacing": [1.0] * 3, "weights": None}
    (one,) = observe(open_bundle("cpc3d", "inference", values).parser, "", 1)
    assert (one.position, one.chance, one.record, one.plain) == (None, False, None, None)
    assert torch.equal(torch.as_tensor(one.source), torch.as_tensor(one.sample["image"]))


def test_what_is_random() -> None:
    assert is_random(RandGaussianNoised("image"))
    assert is_random(lambda data: data)
