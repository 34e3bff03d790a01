"""SimMIM on transformers with and without windows."""

from __future__ import annotations

import pytest
import torch
import transformer_oracles as oracles
from monai.networks.nets import UNETR, DynUNet, ResNet, SwinUNETR, UNet, ViT

from medvol.networks import Encoder, SimMIM

SMALL = {"patch_size": 4, "hidden_size": 12, "mlp_dim": 8, "num_layers": 1, "num_heads": 2}


def flat() -> SimMIM:
    torch.manual_seed(0)
    return SimMIM(Encoder(ViT(1, (8, 12), spatial_dims=2, **SMALL)))


def swin(dims: int = 2) -> SwinUNETR:
    return SwinUNETR(1, 1, depths=(1, 1, 1, 1), feature_size=12, spatial_dims=dims)


def half() -> torch.Tensor:
    mask = torch.zeros(2, 1, 8, 12)
    mask[0, :, :4] = 1
    mask[1, :, 4:, 4:] = 1  # not as many as in the other
    return mask


@pytest.mark.parametrize(
    "check", [oracles.regions, oracles.unread, oracles.reconstruction, oracles.voxels, oracles.aftermath]
)
def test_against_loops(check) -> None:
    check("simmim")


def test_a_transformer_with_windows() -> None:
    oracles.regions("swin")  # its other checks: tests/slow


@pytest.mark.slow
@pytest.mark.parametrize("head", ["linear", "upsample"])
def test_windows_in_a_volume(head: str) -> None:
    torch.manual_seed(0)
    network = SimMIM(Encoder(swin(3)), head)
    image, mask = torch.rand(1, 1, 32, 64, 64, requires_grad=True), torch.zeros(1, 1, 32, 64, 64)
    mask[..., 16:, :32, 16:48] = 1
    found = network(image, mask)[0]
    assert found.shape == image.shape
    (grad,) = torch.autograd.grad(found.square().sum(), image)
    assert torch.equal(grad == 0, mask == 1)


def test_every_parameter_that_takes_part_learns() -> None:
    torch.manual_seed(0)
    windows = torch.zeros(2, 1, 64, 64)
    windows[..., :32, 32:] = 1
    for network, mask in ((flat(), half()), (SimMIM(Encoder(swin()), "upsample"), windows)):
        reconstruction, same = network(torch.rand(2, 1, *mask.shape[2:]), mask)
        assert same is mask
        ((reconstruction - 1).square() * mask).sum().backward()
        left = {name for name, p in network.named_parameters() if not p.requires_grad}
        assert all("norm_cross_attn" in name for name in left)
        assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
        assert all(p.grad.abs().sum() > 0 for p in network.parameters() if p.requires_grad and p.ndim > 1)
        assert network.token.grad.abs().sum() > 0


def test_the_start_of_the_upsampling_head_keeps_the_signal() -> None:
    torch.manual_seed(0)
    network = SimMIM(Encoder(swin()), "upsample")
    answer = network.head(torch.randn(2, 192, 2, 2))
    assert answer.shape == (2, 1, 64, 64)
    assert 0.1 < answer.std() < 2


def test_heads_for_strides_that_differ_by_axis() -> None:
    torch.manual_seed(0)
    vit = ViT(2, (16, 8, 4), (8, 4, 1), 12, 8, 1, 2)
    mask = torch.zeros(1, 1, 16, 8, 4)
    mask[..., :8, :, 2:] = 1
    for head in ("linear", "upsample"):
        network = SimMIM(Encoder(vit), head)
        assert network.token_size == (8, 4, 1)
        assert network(torch.rand(1, 2, 16, 8, 4), mask)[0].shape == (1, 2, 16, 8, 4)


@pytest.mark.parametrize("windows", [False, True])
def test_no_sample_knows_of_another(windows: bool) -> None:
    torch.manual_seed(0)
    network, mask = (SimMIM(Encoder(swin()), "upsample"), torch.zeros(2, 1, 64, 64)) if windows else (flat(), half())
    mask[1, ..., :4, :4] = 1
    image = torch.rand(2, 1, *mask.shape[2:], dtype=torch.float64)
    network = network.double()
    for one in (slice(0, 1), slice(1, 2)):
        alone = network(image[one], mask[one])[0]
        torch.testing.assert_close(alone, network(image, mask)[0][one], rtol=0, atol=1e-12)


def test_slices_of_volumes_are_restored_one_by_one() -> None:
    network = flat().double().eval()
    volume, mask = torch.rand(2, 1, 8, 12, 3, dtype=torch.float64), torch.stack([half(), 1 - half(), half()], -1)
    found, same = network(volume, mask)
    assert same is mask
    for z in range(3):
        torch.testing.assert_close(found[..., z], network(volume[..., z], mask[..., z])[0])
    network.train()
    assert network(volume[..., :1], mask[..., :1])[0].shape == (2, 1, 8, 12, 1)
    with pytest.raises(ValueError, match="fold views or patches into the batch first"):
        network(volume, mask)


def test_a_unetr_with_its_own_names() -> None:
    torch.manual_seed(0)
    net = UNETR(1, 2, (16, 32), 4, 12, 8, 2, spatial_dims=2)
    network = SimMIM(Encoder(net))
    mask = torch.zeros(1, 1, 16, 32)
    mask[..., 16:] = 1
    assert network(torch.rand(1, 1, 16, 32), mask)[0].shape == (1, 1, 16, 32)
    assert set(network.encoder.state_dict()) < set(net.state_dict())


def test_half_precision() -> None:
    network, image, mask = flat(), torch.rand(2, 1, 8, 12), half()
    with torch.autocast("cpu", torch.bfloat16):
        found = network(image, mask)[0]
    assert (found.float() - network(image, mask)[0]).abs().max() < 0.1


def test_a_hidden_nan_reaches_no_gradient() -> None:
    for network, image, mask in (
        (flat(), torch.rand(2, 1, 8, 12), half()),
        (SimMIM(Encoder(swin()), head="upsample"), torch.rand(1, 1, 32, 64), torch.zeros(1, 1, 32, 64)),
    ):
        mask[:, :, :4, :4] = 1
        image[mask == 1] = torch.nan
        network(image, mask)[0].square().sum().backward()
        assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_no_hook_is_left_where_a_call_fails() -> None:
    network, mask = flat(), half()
    layer = network.encoder.patch_embedding.patch_embeddings
    network.encoder.norm.weight.data = torch.ones(3)  # a norm that does not fit
    with pytest.raises(RuntimeError):
        network(torch.rand(2, 1, 8, 12), mask)
    assert not layer._forward_hooks


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ViT(1, 8, **SMALL), r"must be a medvol\.networks\.Encoder; found ViT; wrap"),
        (lambda: Encoder(UNet(2, 1, 1, (4, 8), (2,))), r"that of UNet, .*\(3, 3\).*mae3d or spark3d"),
        (
            lambda: Encoder(DynUNet(2, 1, 1, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 8, 8))),
            "that of DynUNet, .*spark3d",
        ),
        (lambda: Encoder(ResNet("basic", [1] * 4, [4] * 4, 2, 1)), "that of ResNet, .*spark3d"),
    ],
)
def test_convolutional_networks_are_refused(build, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SimMIM(build())


def test_images_masks_and_heads_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="'linear' or 'upsample'; found 'conv'"):
        SimMIM(Encoder(swin()), "conv")
    with pytest.raises(ValueError, match=r"powers of two; found \(6, 6\); use head='linear'"):
        SimMIM(Encoder(ViT(1, 12, **{**SMALL, "patch_size": 6}, spatial_dims=2)), "upsample")
    network = SimMIM(Encoder(swin()), "upsample")
    with pytest.raises(ValueError, match=r"multiple of \(32, 32\).*found \(48, 64\)"):
        network(torch.rand(1, 1, 48, 64), torch.zeros(1, 1, 48, 64))
    odd = torch.zeros(1, 1, 64, 64)
    odd[..., 1:17, :16] = 1
    with pytest.raises(ValueError, match="whole tokens of 2 x 2 voxels; found tokens that are hidden in part"):
        network(torch.rand(1, 1, 64, 64), odd)
    with pytest.raises(ValueError, match=r"images \(B, 1, H, W\), found shape"):
        network(torch.rand(1, 2, 64, 64), odd)
