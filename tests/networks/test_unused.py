"""Every parameter that is trained gets a gradient: distributed training stops at one that does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from monai.networks.nets import UNETR, BasicUNet, DynUNet, FlexibleUNet, SegResNet, SegResNetDS, SwinUNETR, UNet, ViT
from torch import nn

from medvol.networks import (
    Encoder,
    MaskedAutoencoder,
    MaskedViT,
    Restoration,
    SimMIM,
    SparseAutoencoder,
)
from medvol.networks.decoders import _DECODERS
from medvol.networks.registry import _ROWS
from medvol.networks.unused import freeze_unused

SIZE = (64, 32)
TOKENS = {"hidden_size": 12, "mlp_dim": 12, "num_heads": 2, "spatial_dims": 2}
WHOLE: dict[str, Callable[[], nn.Module]] = {
    "BasicUNet": lambda: BasicUNet(2, 1, 1, (4,) * 6),
    "DynUNet": lambda: DynUNet(2, 1, 1, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 4, 4)),
    "FlexibleUNet": lambda: FlexibleUNet(1, 1, "efficientnet-b0", spatial_dims=2, decoder_channels=(8, 8, 4, 4, 4)),
    "SegResNet": lambda: SegResNet(2, 8, 1, 1, blocks_down=(1, 1), blocks_up=(1,)),
    "SegResNetDS": lambda: SegResNetDS(2, 8, 1, 1, blocks_down=(1, 1)),
    "SwinUNETR": lambda: SwinUNETR(1, 1, depths=(1, 1, 1, 1), feature_size=12, spatial_dims=2),
    "UNETR": lambda: UNETR(1, 1, SIZE, feature_size=4, **TOKENS),
    "UNet": lambda: UNet(2, 1, 1, (4, 8), (2,)),
}
PRETEXT = {
    "masked vit": lambda: MaskedViT(Encoder(ViT(1, SIZE, 8, num_layers=1, **TOKENS)), 8, heads=2),
    "masked vit of UNETR": lambda: MaskedViT(Encoder(WHOLE["UNETR"]()), 8, heads=2),
    "simmim of ViT": lambda: SimMIM(Encoder(ViT(1, SIZE, 8, num_layers=1, **TOKENS))),
    "simmim of UNETR": lambda: SimMIM(Encoder(WHOLE["UNETR"]())),
    "simmim of SwinUNETR": lambda: SimMIM(Encoder(WHOLE["SwinUNETR"]()), head="upsample"),
}


def without_gradient(network: nn.Module, masked: bool) -> list[str]:
    """What is trained and gets no gradient."""
    torch.manual_seed(0)
    image, mask = torch.randn(2, 1, *SIZE), torch.zeros(2, 1, *SIZE)
    mask[..., :16, 16:] = 1
    restored = network(image, mask)[0] if masked else network(image)
    (restored - image).square().mean().backward()
    return [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]


def test_every_network_that_ends_at_full_resolution_is_tried() -> None:
    whole = {cls.__name__ for cls, row in _ROWS.items() if row.full_size and cls.__module__.startswith("monai.")}
    assert whole == {*WHOLE}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_network_that_restores(name: str) -> None:
    assert without_gradient(Restoration(WHOLE[name]()), masked=False) == []


@pytest.mark.parametrize("name", ["UNETR", pytest.param("FlexibleUNet", marks=pytest.mark.slow)])
def test_a_whole_network_with_holes_in_its_image(name: str) -> None:
    assert without_gradient(MaskedAutoencoder(WHOLE[name]()), masked=True) == []


@pytest.mark.parametrize("name", [known.__name__ for known in _DECODERS])
def test_a_whole_network_with_a_sparse_encoder(name: str) -> None:
    assert without_gradient(SparseAutoencoder(WHOLE[name]()), masked=True) == []


@pytest.mark.parametrize("name", PRETEXT)
def test_an_encoder_of_tokens(name: str) -> None:
    assert without_gradient(PRETEXT[name](), masked=True) == []


@pytest.mark.parametrize(
    ("name", "words"), [("UNETR", "norm_cross_attn"), pytest.param("FlexibleUNet", "_fc", marks=pytest.mark.slow)]
)
def test_without_it_there_are_some(name: str, words: str) -> None:
    network = WHOLE[name]()
    left = without_gradient(network, masked=False)
    assert any(words in key for key in left)
    freeze_unused(network)
    assert left == [key for key, p in network.named_parameters() if not p.requires_grad]
