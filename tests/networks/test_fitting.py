"""Images that a network takes: sentences instead of a traceback from a concatenation, and slices."""

import pytest
import torch
from monai.networks.nets import UNETR, DenseNet, DynUNet, SegResNetDS, SegResNetDS2, UNet, ViT, resnet10
from torch import nn
from unet_oracles import build

from medvol.networks import Encoder, MaskedAutoencoder, Restoration
from medvol.networks.fitting import Fit


@pytest.mark.parametrize(
    ("name", "stride"), [("dynunet", (4,) * 3), ("unet", (4,) * 3), ("basic", (16,) * 2), ("segresnet", (4,) * 2)]
)
def test_the_stride_is_the_networks_whole(name, stride):
    fit = Fit(build(name))
    assert (fit.stride, fit.spatial_dims, fit.in_channels) == (stride, len(stride), 2)


def test_strides_may_differ_from_axis_to_axis():
    strides = [1, [2, 2, 1], [2, 2, 2]]
    fit = Fit(DynUNet(3, 1, 1, [3] * 3, strides, strides[1:], filters=(4, 4, 4)))
    assert fit.stride == (4, 4, 2)
    fit.check(torch.zeros(1, 1, 8, 4, 6), training=True)
    with pytest.raises(ValueError, match=r"along axis Z must be a multiple of 2.*found 5.*to 6"):
        fit.check(torch.zeros(1, 1, 8, 4, 5), training=True)


@pytest.mark.parametrize(
    ("dims", "shape", "words"),
    [
        (3, (1, 2, 8, 10, 8), "axis Y must be a multiple of 4, the stride of this DynUNet; found 10 .* to 12"),
        (3, (1, 2, 8, 8, 0), "axis Z must be a multiple of 4.*found 0.*to 4"),
        (3, (1, 2, 8, 8), r"\(B, 2, X, Y, Z\); found \(1, 2, 8, 8\)"),
        (3, (1, 1, 8, 8, 8), r"\(B, 2, X, Y, Z\).*channels"),
        (2, (1, 3, 2, 8, 8, 1), r"\(B, 2, X, Y\); found \(1, 3, 2, 8, 8, 1\)"),
        (2, (1, 2, 6, 8, 1), "axis X must be a multiple of 4.*found 6"),
        (2, (1, 2, 8, 8, 3), "must train on single slices"),
    ],
)
def test_other_images_are_refused_in_a_sentence(dims, shape, words):
    with pytest.raises(ValueError, match=words):
        Fit(build("dynunet", dims)).check(torch.zeros(shape), training=True)


def test_a_transformer_takes_the_size_that_it_has_positions_for():
    network = UNETR(1, 1, (16, 32), feature_size=4, hidden_size=8, mlp_dim=8, num_heads=2, spatial_dims=2)
    fit = Fit(network)
    fit.check(torch.zeros(1, 1, 16, 32, 1), training=True)
    with pytest.raises(ValueError, match="one for each position embedding; found 2 x 2 in an image of 32 x 32"):
        fit.check(torch.zeros(1, 1, 32, 32), training=True)


def test_networks_that_give_several_outputs_are_refused():
    with pytest.raises(ValueError, match=r"found deep_supervision=True.*build the network with"):
        Fit(DynUNet(3, 1, 1, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 4, 4), deep_supervision=True))
    with pytest.raises(ValueError, match=r"found dsdepth=2, .*build the network with dsdepth=1"):
        Fit(SegResNetDS(2, 4, 1, 1, blocks_down=(1, 1, 1), dsdepth=2))
    with pytest.raises(ValueError, match="found two decoders; take SegResNetDS"):
        Fit(SegResNetDS2(2, 4, 1, 1, blocks_down=(1, 1)))
    with pytest.raises(ValueError, match="found Conv3d"):
        Fit(nn.Conv3d(1, 1, 3))


@pytest.mark.parametrize("task", [Restoration, MaskedAutoencoder])
@pytest.mark.parametrize(
    "network",
    [
        lambda: ViT(1, 16, 8, 12, 12, 1, 2, spatial_dims=2),
        lambda: resnet10(spatial_dims=2, n_input_channels=1),
        lambda: DenseNet(2, 1, 1, init_features=4, growth_rate=4, block_config=(1, 1)),
        lambda: Encoder(UNet(2, 1, 1, (4, 8), (2,))),
    ],
    ids=["ViT", "ResNet", "DenseNet", "Encoder"],
)
def test_networks_that_end_in_features_or_classes_are_refused_before_anything_runs(task, network):
    with pytest.raises(ValueError, match=r"must end at full resolution; found \w+, which .*; take a U-Net"):
        task(network())


@pytest.mark.parametrize(
    ("function", "words"),
    [(lambda x: x[..., ::2], r"found \(2, 2, 8, 4\)"), (lambda x: [x], "found a list"), (lambda x: x[:1], r"\(1, 2")],
)
def test_outputs_of_another_size_are_refused(function, words):
    with pytest.raises(ValueError, match=words):
        Fit(build("dynunet", 2)).run(function, torch.zeros(2, 2, 8, 8))


def test_a_network_that_ends_at_half_resolution_is_refused():
    network = DynUNet(2, 2, 2, [3] * 3, [2] * 3, [2] * 2, filters=(4, 4, 4))
    with pytest.raises(ValueError, match=r"image's size; found \(1, 2, 4, 8\)"):
        Fit(network).run(network, torch.zeros(1, 2, 8, 16))


def test_slices_come_back_in_their_order_with_what_belongs_to_them():
    fit = Fit(build("dynunet", 2))
    image, mask = torch.randn(2, 2, 4, 8, 3), torch.randn(2, 1, 4, 8, 3)
    seen = []

    def function(x, m):
        seen.append((x.shape, m.shape))
        return x * m

    assert torch.equal(fit.run(function, image, mask), image * mask)
    assert seen == [((6, 2, 4, 8), (6, 1, 4, 8))]
    fit.check(image, training=False)


def test_it_keeps_no_network():
    assert not [value for value in vars(Fit(build("dynunet"))).values() if isinstance(value, nn.Module)]
