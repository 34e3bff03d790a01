"""The decoder's own layers, in the order of the library's own forward."""

import pytest
import torch
from monai.networks.nets import DynUNet, SegResNetDS, SegResNetVAE, UNet
from unet_oracles import build, example

from medvol.networks import Encoder
from medvol.networks.decoders import find_decoder


@pytest.mark.parametrize(
    ("name", "dims"), [("dynunet", 2), ("dynunet", 3), ("unet", 2), ("unet", 3), ("basic", 2), ("segresnet", 2)]
)
def test_encoder_and_decoder_are_the_network_bit_for_bit(name, dims):
    network, image = build(name, dims), example(name, dims)[0]
    with torch.no_grad():
        assert torch.equal(find_decoder(network)(network, Encoder(network).pyramid(image)), network(image))


@pytest.mark.parametrize("residual", [0, 2])
def test_other_forms_of_the_same_networks(residual):
    unet = UNet(2, 1, 3, (4, 4, 8, 8), (2, 1, 2), num_res_units=residual)
    plain = DynUNet(2, 1, 3, [3] * 4, [1, 2, (2, 1), 2], [2, (2, 1), 2], filters=(4, 4, 4, 4), res_block=False)
    for network in (unet.eval(), plain.eval()):
        image = torch.randn(1, 1, 16, 24)
        with torch.no_grad():
            assert torch.equal(find_decoder(network)(network, Encoder(network).pyramid(image)), network(image))


class Same(UNet):
    """A subclass that changes nothing."""


class Other(UNet):
    """A subclass that does something else."""

    def forward(self, x):
        return self.model(x).relu()


def test_subclasses_are_served_as_long_as_they_run_alike():
    assert find_decoder(Same(2, 1, 1, (4, 8), (2,))) is find_decoder(UNet(2, 1, 1, (4, 8), (2,)))
    with pytest.raises(ValueError, match="same forward; found Other"):
        find_decoder(Other(2, 1, 1, (4, 8), (2,)))


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (lambda: SegResNetDS(2, 4, 1, 1, blocks_down=(1, 1)), "SegResNetDS"),
        (lambda: SegResNetVAE((16, 16), spatial_dims=2), "SegResNetVAE"),
        (lambda: torch.nn.Conv2d(1, 1, 1), "Conv2d"),
    ],
)
def test_other_networks_are_refused_in_a_sentence(network, name):
    with pytest.raises(ValueError, match=f"BasicUNet, DynUNet, SegResNet, UNet.*found {name}; take one of these"):
        find_decoder(network())
