"""The open table: who is served by which row, and how a network is added."""

import pytest
import torch
from monai.networks.nets import AttentionUnet, BasicUNet, SegResNetVAE
from monai.networks.nets.unet import CheckpointUNet
from torch import nn

from medvol.networks import (
    Encoder,
    EncoderRow,
    Stage,
    encoder_keys,
    encoder_modules,
    known_networks,
    output_keys,
    register_encoder,
)
from medvol.networks.registry import is_listed


def own_maps(network, paths, x):
    """The maps inside the library network's own forward, as copies taken by hooks at the time they are handed out."""
    maps, hooks = {}, []
    for path in paths:
        hook = lambda module, args, output, path=path: maps.__setitem__(path, output.clone())  # noqa: E731
        hooks.append(network.get_submodule(path).register_forward_hook(hook))
    torch.manual_seed(3)
    network(x)
    for hook in hooks:
        hook.remove()
    return [maps[path] for path in paths]


def test_subclasses_use_the_nearest_row():
    network = SegResNetVAE((16, 16), spatial_dims=2, init_filters=8, in_channels=2, blocks_down=(1, 1), blocks_up=(1,))
    assert Encoder(network).channels == (8, 16)
    checkpointed = CheckpointUNet(2, 2, 3, (4, 8, 8), (2, 2), norm="batch").eval()
    encoder, x = Encoder(checkpointed), torch.randn(1, 2, 8, 8)
    assert set(encoder.state_dict()) < set(checkpointed.state_dict())
    maps = own_maps(checkpointed, encoder.stage_names, x)
    assert all(torch.equal(a, b) for a, b in zip(encoder.pyramid(x), maps, strict=True))
    assert Encoder(checkpointed).in_channels == 2

    class Renamed(BasicUNet):
        def __init__(self):
            super().__init__(2, 1, 1, (4, 4, 4, 4, 4, 4))
            self.first = self.conv_0
            del self.conv_0

    with pytest.raises(ValueError, match=r"Renamed is served by the row of BasicUNet.*conv_0.*register"):
        Encoder(Renamed())


def test_unknown_networks_are_refused_and_can_be_registered():
    with pytest.raises(ValueError, match=r"BasicUNet, .*DynUNet.*found AttentionUnet.*register_encoder\(AttentionUnet"):
        Encoder(AttentionUnet(2, 1, 1, (4, 8), (2,)))
    with pytest.raises(ValueError, match=r"subclass of torch\.nn\.Module, found 3"):
        register_encoder(3, EncoderRow(list, list, list))
    assert {"UNet", "BasicUNet", "DynUNet", "SegResNet", "SegResNetDS", "SwinUNETR", "FlexibleUNet"} <= set(
        known_networks()
    )

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv3d(1, 4, 3, 2, 1), nn.ReLU())
            self.last = nn.Conv3d(4, 2, 1)

    row = EncoderRow(lambda n: [Stage(("body",), 4, 2)], lambda n: ["body.0"], lambda n: ["last"])
    register_encoder(Own, row)
    encoder = Encoder(Own())
    assert (encoder.channels, encoder.strides, encoder.spatial_dims, encoder.in_channels) == ((4,), (2,), 3, 1)
    assert sorted(encoder.state_dict()) == ["body.0.bias", "body.0.weight"]
    assert encoder_keys(Own()) == {"body.0.bias", "body.0.weight"}
    assert output_keys(Own()) == {"last.bias", "last.weight"}
    network = Own()
    assert encoder_modules(network) == [network.body]
    assert is_listed(network)
    assert not is_listed(network.last)
