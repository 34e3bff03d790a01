"""The masked autoencoder on a transformer, against loops over its tokens."""

from __future__ import annotations

import copy

import pytest
import torch
import transformer_oracles as oracles
from monai.networks.nets import UNETR, SwinUNETR, UNet, ViT
from torch import nn

from medvol.networks import Encoder, MaskedViT
from medvol.networks.masked_vit import grid_positions

SMALL = {"patch_size": 4, "hidden_size": 12, "mlp_dim": 8, "num_layers": 1, "num_heads": 2}


def flat(**more: object) -> MaskedViT:
    torch.manual_seed(0)
    return MaskedViT(Encoder(ViT(1, (8, 12), spatial_dims=2, **SMALL)), decoder_hidden=8, heads=2, **more)


def half(batch: int = 2) -> torch.Tensor:
    mask = torch.zeros(batch, 1, 8, 12)
    mask[0, :, :4] = 1
    mask[1:, :, 4:] = 1
    return mask


@pytest.mark.parametrize("check", [oracles.regions, oracles.unread, oracles.reconstruction, oracles.voxels])
def test_against_loops(check) -> None:
    check("masked")


def test_the_mask_is_returned_as_it_came() -> None:
    mask = half()
    assert flat()(torch.rand(2, 1, 8, 12), mask)[1] is mask


def test_every_parameter_that_takes_part_learns() -> None:
    network = flat()
    assert network.decoder[0].norm_cross_attn.__class__ is nn.Identity
    reconstruction, mask = network(torch.rand(2, 1, 8, 12), half())
    ((reconstruction - 1).square() * mask).sum().backward()
    left = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert left == {f"encoder.blocks.0.norm_cross_attn.{name}" for name in ("weight", "bias")}
    assert all(p.grad.abs().sum() > 0 for p in network.parameters() if p.requires_grad)


def test_a_hidden_nan_reaches_no_gradient() -> None:
    network, image, mask = flat(), torch.rand(2, 1, 8, 12), half()
    image[mask == 1] = torch.nan
    network(image, mask)[0].square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.requires_grad)


def test_no_sample_knows_of_another() -> None:
    network, image, mask = flat().double(), torch.rand(2, 1, 8, 12, dtype=torch.float64), half()
    for one in (slice(0, 1), slice(1, 2)):
        alone = network(image[one], mask[one])[0]
        torch.testing.assert_close(alone, network(image, mask)[0][one], rtol=0, atol=1e-12)


def test_slices_of_volumes_are_restored_one_by_one() -> None:
    network = flat().double().eval()
    volume = torch.rand(2, 1, 8, 12, 3, dtype=torch.float64)
    mask = torch.stack([half(), 1 - half(), half()], -1)
    found, same = network(volume, mask)
    assert same is mask
    for z in range(3):
        alone = network(volume[..., z], mask[..., z])[0]
        torch.testing.assert_close(found[..., z], alone)
        assert network(volume[..., z : z + 1], mask[..., z : z + 1])[0].shape == (2, 1, 8, 12, 1)
    network.train()
    assert network(volume[..., :1], mask[..., :1])[0].shape == (2, 1, 8, 12, 1)
    with pytest.raises(ValueError, match="fold views or patches into the batch first"):
        network(volume, mask)


def test_a_unetr_with_its_own_names() -> None:
    torch.manual_seed(0)
    net = UNETR(1, 2, (16, 32), 4, 12, 8, 2, spatial_dims=2)
    network = MaskedViT(Encoder(net), decoder_hidden=8, heads=2)
    mask = torch.zeros(1, 1, 16, 32)
    mask[..., 16:] = 1
    assert network(torch.rand(1, 1, 16, 32), mask)[0].shape == (1, 1, 16, 32)
    assert set(network.encoder.state_dict()) < set(net.state_dict())


def test_half_precision() -> None:
    network, image, mask = flat(), torch.rand(2, 1, 8, 12), half()
    with torch.autocast("cpu", torch.bfloat16):
        found = network(image, mask)[0]
    assert (found.float() - network(image, mask)[0]).abs().max() < 0.1


def test_positions_are_told_apart() -> None:
    found = grid_positions((2, 3, 4), 14)
    assert found.shape == (24, 14)
    assert (found[:, 12:] == 0).all()
    assert torch.cdist(found, found).add(torch.eye(24)).min() > 0.01
    for n, place in enumerate(oracles.PLACES):
        torch.testing.assert_close(found[n], oracles._position(place, 14))


def test_a_copy_is_independent() -> None:
    network = flat()
    other = copy.deepcopy(network)
    nn.init.zeros_(other.encoder.blocks.get_submodule("0").mlp.linear1.weight)
    image, mask = torch.rand(2, 1, 8, 12), half()
    assert not torch.equal(network(image, mask)[0], other(image, mask)[0])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ViT(1, 8, **SMALL), r"must be a medvol\.networks\.Encoder; found ViT; wrap"),
        (lambda: Encoder(UNet(2, 1, 1, (4, 8), (2,))), "found that of UNet; .*mae3d or spark3d"),
        (
            lambda: Encoder(SwinUNETR(1, 1, depths=(1, 1, 1, 1), feature_size=12, spatial_dims=2)),
            r"found that of SwinUNETR; use SimMIM \(simmim3d\)",
        ),
    ],
)
def test_other_networks_are_refused(build, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MaskedViT(build())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"decoder_hidden": 10, "heads": 4}, "multiple of heads, 4; found 10; take 12"),
        ({"decoder_hidden": 3, "heads": 1}, "decoder_hidden must be a whole number of at least 4; found 3"),
        ({"decoder_layers": 0}, "decoder_layers must be a whole number of at least 1; found 0"),
        ({"heads": 2.0}, r"heads must be .*; found 2\.0"),
    ],
)
def test_sizes_out_of_range(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MaskedViT(Encoder(ViT(1, 8, spatial_dims=2, **SMALL)), **given)


def test_images_and_masks_that_do_not_fit() -> None:
    network, image = flat(), torch.rand(2, 1, 8, 12)
    uneven = half()
    uneven[0, :, :, :4] = 1
    with pytest.raises(ValueError, match=r"equally many tokens .*; found \[2, 3\]; give RandBlockMaskd one ratio"):
        network(image, uneven)
    with pytest.raises(ValueError, match="hidden in part"):
        network(image, torch.cat([half()[..., 1:], half()[..., :1]], -1).roll(1, 2))
    with pytest.raises(ValueError, match=r"6 tokens of 4 x 4 voxels.*found 3 x 3 in an image of 12 x 12"):
        network(torch.rand(2, 1, 12, 12), torch.zeros(2, 1, 12, 12))
    with pytest.raises(ValueError, match=r"images \(B, 1, H, W\), found shape \(2, 2, 8, 12\)"):
        network(torch.rand(2, 2, 8, 12), half())
    for mask in (half()[..., None], half()[:1]):
        with pytest.raises(ValueError, match=r"shape \(2, 1, 8, 12\)"):
            network(image, mask)
