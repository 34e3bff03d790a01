"""Distortions of images that lie on a GPU: there they stay, and what comes out is what comes out on a CPU."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Randomizable

from medvol.transforms import RandBezierIntensityd, RandLocalShuffled, RandPaintd

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

CHANGES = {
    "intensity curve": RandBezierIntensityd("image", prob=1),
    "local shuffling": RandLocalShuffled("image", prob=1, windows=500),
    "outer painting": RandPaintd("image", prob=1, outer_prob=1),
    "inner painting": RandPaintd("image", prob=1, outer_prob=0),
}


def changed(change: Randomizable, device: str) -> torch.Tensor:
    image = torch.rand(2, 32, 32, 16, generator=torch.Generator().manual_seed(0)).to(device)
    before = image.clone()
    found = change.set_random_state(1)({"image": image})["image"].as_subclass(torch.Tensor)
    assert torch.equal(image, before), "changed in place"
    assert found.device == image.device
    return found.cpu()


@pytest.mark.parametrize("name", CHANGES)
def test_equal_draws_are_equal(name: str) -> None:
    assert torch.equal(changed(CHANGES[name], "cuda"), changed(CHANGES[name], "cuda"))


def test_curves_are_those_of_the_cpu() -> None:
    change = CHANGES["intensity curve"]
    torch.testing.assert_close(changed(change, "cuda"), changed(change, "cpu"), rtol=0, atol=1e-6)


def test_shuffled_voxels_are_those_of_the_image() -> None:
    found = [changed(CHANGES["local shuffling"], device) for device in ("cuda", "cpu")]
    for channel, other in zip(*found, strict=True):
        assert torch.equal(channel.flatten().sort().values, other.flatten().sort().values)


@pytest.mark.parametrize("name", ["outer painting", "inner painting"])
def test_painted_places_are_those_of_the_cpu(name: str) -> None:
    image = changed(RandPaintd("image", prob=0), "cpu")
    found = {device: changed(CHANGES[name], device) for device in ("cuda", "cpu")}
    assert torch.equal(found["cuda"] != image, found["cpu"] != image)
    assert 0 <= found["cuda"].min() <= found["cuda"].max() <= 1
