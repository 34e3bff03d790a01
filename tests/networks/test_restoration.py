"""The library network itself, from image to image."""

import pytest
import torch
from unet_oracles import build, example

from medvol.networks import Restoration


@pytest.mark.parametrize("name", ["dynunet", "unet", "basic", "segresnet"])
def test_it_returns_what_the_network_returns(name):
    network = build(name, 2)
    image = example(name, 2)[0]
    restoration = Restoration(network)
    assert torch.equal(restoration(image), network(image))
    assert restoration.network is network
    assert list(restoration.state_dict()) == [f"network.{key}" for key in network.state_dict()]


def test_no_sample_knows_of_another():
    image = example("dynunet")[0]
    restoration = Restoration(build("dynunet"))  # in training: also its norms look at one sample alone
    torch.testing.assert_close(restoration(image[:1]), restoration(image)[:1], rtol=0, atol=1e-12)


def test_a_slice_of_depth_one_gives_the_same_and_a_volume_slice_by_slice():
    image = example("dynunet", 2)[0]
    restoration = Restoration(build("dynunet", 2)).train()
    assert torch.equal(restoration(image[..., None])[..., 0], restoration(image))
    volume = torch.stack([image, 2 * image - 1], dim=-1)
    with pytest.raises(ValueError, match="single slices"):
        restoration(volume)
    restored = restoration.eval()(volume)
    assert restored.shape == volume.shape
    torch.testing.assert_close(restored[..., 1], restoration(2 * image - 1))


def test_sizes_that_do_not_fit_are_refused_before_anything_runs():
    restoration, calls = Restoration(build("dynunet")), []
    restoration.network.register_forward_pre_hook(lambda *_: calls.append(1))
    with pytest.raises(ValueError, match="axis X must be a multiple of 4"):
        restoration(torch.zeros(1, 2, 9, 8, 8, dtype=torch.float64))
    assert not calls
