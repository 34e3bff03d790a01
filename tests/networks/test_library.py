"""The rows of MONAI's networks: their own maps, names, tensors and output layers."""

import copy

import pytest
import torch
from monai.networks.nets import (
    BasicUNet,
    DenseNet,
    DynUNet,
    FlexibleUNet,
    ResNet,
    SegResNet,
    SegResNetDS,
    SwinUNETR,
    UNet,
)
from torch import nn

from medvol.networks import Encoder, encoder_keys, encoder_modules, output_keys


def unet(dims, residual=2, **kwargs):
    return UNet(
        dims, 2, 3, (4, 8, 8), (2, 2), num_res_units=residual, **{"norm": ("group", {"num_groups": 1}), **kwargs}
    )


def dynunet(dims, residual=True, **kwargs):
    defaults = {"kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2] * 3}
    return DynUNet(
        dims,
        2,
        3,
        **{**defaults, **kwargs},
        filters=(4, 6, 8, 8),
        res_block=residual,
        norm_name=("group", {"num_groups": 2}),
        deep_supervision=True,
        deep_supr_num=2,
    )


def resnet(dims, block, **kwargs):
    widths = (4, 4, 6, 8)
    return ResNet(block, [1, 1, 1, 1], widths, spatial_dims=dims, n_input_channels=2, num_classes=3, **kwargs)


# builder, then the modules whose outputs in the network's own forward are its feature maps
NETWORKS = {
    "unet": (unet, ["model.0", "model.1.submodule.0", "model.1.submodule.1.submodule"]),
    "unet_plain": (
        lambda d: unet(d, residual=0, dropout=0.2),
        ["model.0", "model.1.submodule.0", "model.1.submodule.1.submodule"],
    ),
    "basic": (
        lambda d: BasicUNet(d, 2, 3, (4, 4, 6, 8, 8, 4), norm="batch", dropout=0.2),
        ["conv_0", "down_1", "down_2", "down_3", "down_4"],
    ),
    "dynunet": (dynunet, ["input_block", "downsamples.0", "downsamples.1", "bottleneck"]),
    "dynunet_plain": (
        lambda d: dynunet(d, residual=False),
        ["input_block", "downsamples.0", "downsamples.1", "bottleneck"],
    ),
    "segresnet": (
        lambda d: SegResNet(d, 8, 2, 3, dropout_prob=0.3, blocks_down=(1, 1, 1), blocks_up=(1, 1)),
        ["down_layers.0", "down_layers.1", "down_layers.2"],
    ),
    "segresnet_ds": (
        lambda d: SegResNetDS(d, 4, 2, 3, blocks_down=(1, 1, 1), dsdepth=2),
        ["encoder.layers.0.blocks", "encoder.layers.1.blocks", "encoder.layers.2.blocks"],
    ),
    "flexible": (
        lambda d: FlexibleUNet(2, 3, "resnet10", spatial_dims=d, decoder_channels=(16, 8, 8, 8, 4)),
        ["encoder.act", "encoder.layer1", "encoder.layer2", "encoder.layer3", "encoder.layer4"],
    ),
    "resnet": (lambda d: resnet(d, "basic"), ["act", "layer1", "layer2", "layer3", "layer4"]),
    "resnet_bottleneck": (
        lambda d: resnet(d, "bottleneck", no_max_pool=True, conv1_t_stride=2, shortcut_type="A"),
        ["act", "layer1", "layer2", "layer3", "layer4"],
    ),
    "densenet": (
        lambda d: DenseNet(d, 2, 3, init_features=6, growth_rate=4, block_config=(1, 2, 1), bn_size=2),
        ["features.relu0", "features.denseblock1", "features.denseblock2", "class_layers.relu"],
    ),
}


CASES = [(name, dims) for name in NETWORKS for dims in (2, 3)]
LIGHT = [case for case in CASES if case != ("flexible", 3)]  # 14 M parameters


def build(name, dims, seed=0):
    torch.manual_seed(seed)
    return NETWORKS[name][0](dims)


def image(name, dims, size=32):
    size = size if name in ("flexible", "basic") else size // 2
    return torch.randn(2, 2, *[size] * dims, generator=torch.Generator().manual_seed(1))


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


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(("name", "dims"), CASES)
def test_pyramid_is_bit_equal_to_the_network_s_own_maps(name, dims, mode):
    network = build(name, dims).train(mode == "train")
    twin = copy.deepcopy(network)
    x = image(name, dims, 64 if (name, dims) == ("flexible", 2) else 32)
    with torch.no_grad():
        expected = own_maps(network, NETWORKS[name][1], x)
        encoder = Encoder(twin)
        torch.manual_seed(3)
        found = encoder.pyramid(x)
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert [tuple(f.shape[1:2]) for f in found] == [(c,) for c in encoder.channels]
    for f, stride in zip(found, encoder.strides, strict=True):
        assert tuple(f.shape[2:]) == tuple(n // stride for n in x.shape[2:])
    # running statistics have moved in the same way
    mine, theirs = encoder.state_dict(), network.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize(
    ("dims", "size", "v2"), [(2, 64, True), (2, 64, False), pytest.param(3, 64, False, marks=pytest.mark.slow)]
)
def test_swin_pyramid_is_bit_equal(dims, size, v2):
    torch.manual_seed(0)
    network = SwinUNETR(2, 3, depths=(1, 1, 1, 1), feature_size=12, spatial_dims=dims, use_v2=v2, drop_rate=0.1)
    x = torch.randn(1, 2, *[size] * dims)
    for mode in (False, True):
        network.train(mode)
        maps = []
        hook = network.swinViT.register_forward_hook(lambda module, args, output, maps=maps: maps.extend(output))
        with torch.no_grad():
            torch.manual_seed(3)
            network(x)
            hook.remove()
            torch.manual_seed(3)
            encoder = Encoder(network)
            found = encoder.pyramid(x)
        assert len(found) == 5
        assert all(torch.equal(a, b) for a, b in zip(found, maps, strict=True))
    assert encoder.strides == (2, 4, 8, 16, 32)
    assert encoder.channels == (12, 24, 48, 96, 192) == tuple(f.shape[1] for f in found)
    assert all(key.startswith("swinViT.") for key in encoder.state_dict())


def test_swin_without_normalized_maps():
    network = SwinUNETR(1, 1, depths=(1, 1, 1, 1), feature_size=12, spatial_dims=2, normalize=False).eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = network.swinViT(x, False)
        assert all(torch.equal(a, b) for a, b in zip(Encoder(network).pyramid(x), expected, strict=True))


def test_efficientnet_body():
    network = FlexibleUNet(2, 3, "efficientnet-b0", spatial_dims=2, decoder_channels=(16, 8, 8, 8, 4)).eval()
    encoder, x = Encoder(network), torch.randn(1, 2, 64, 64)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(encoder.pyramid(x), network.encoder(x), strict=True))
    # the classifier's layers, which make no map, are left out
    assert not any("_fc" in key or "_conv_head" in key for key in encoder.state_dict())


def test_anisotropic_segresnet_ds():
    network = SegResNetDS(3, 4, 2, 3, blocks_down=(1, 1, 1), resolution=(1, 1, 5), norm=("group", {"num_groups": 2}))
    encoder = Encoder(network)
    assert encoder.strides == (1, (2, 2, 1), (4, 4, 1))
    assert [tuple(f.shape[2:]) for f in encoder.pyramid(torch.randn(1, 2, 8, 8, 4))] == [
        (8, 8, 4),
        (4, 4, 4),
        (2, 2, 4),
    ]
    with pytest.raises(ValueError, match="wrap the function in a module"):
        Encoder(SegResNetDS(2, 4, 2, 3, blocks_down=(1, 1), preprocess=torch.abs))
    own = SegResNetDS(2, 4, 2, 3, blocks_down=(1, 1), preprocess=nn.ReLU()).eval()
    x = torch.randn(1, 2, 8, 8)
    assert torch.equal(Encoder(own).pyramid(x)[0], own_maps(own, ["encoder.layers.0.blocks"], x)[0])


@pytest.mark.parametrize(("name", "dims"), LIGHT)
def test_names_and_tensors_are_the_network_s(name, dims):
    network = build(name, dims)
    encoder = Encoder(network)
    theirs = network.state_dict(keep_vars=True)
    mine = encoder.state_dict(keep_vars=True)
    assert set(mine) < set(theirs)
    assert all(mine[key] is theirs[key] for key in mine)
    assert set(mine) == encoder_keys(network)
    assert {id(p) for m in encoder_modules(network) for p in m.parameters()} == {id(p) for p in encoder.parameters()}
    assert not set(mine) & output_keys(network)
    # nothing else is kept: no parameter beyond the adopted ones
    assert len(list(encoder.parameters())) == len({id(p) for p in mine.values() if isinstance(p, nn.Parameter)})


@pytest.mark.parametrize(("name", "dims"), LIGHT)
def test_the_output_layer_is_what_depends_on_out_channels(name, dims):
    network = build(name, dims)
    outputs = output_keys(network)
    assert outputs <= set(network.state_dict())
    lasts = {key for key in network.state_dict() if key in outputs and network.state_dict()[key].shape[:1] == (3,)}
    assert lasts


@pytest.mark.parametrize(("name", "dims"), LIGHT)
def test_a_plain_load_has_nothing_unexpected(name, dims, tmp_path):
    torch.save(Encoder(build(name, dims, seed=1)).state_dict(), tmp_path / "model.pt")
    fresh = build(name, dims, seed=2)
    missing, unexpected = fresh.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True), strict=False)
    assert not unexpected
    assert not set(missing) & encoder_keys(fresh)
    expected = Encoder(build(name, dims, seed=1).eval())
    x = image(name, dims, 64 if (name, dims) == ("flexible", 2) else 32)
    with torch.no_grad():
        pairs = zip(Encoder(fresh.eval()).pyramid(x), expected.pyramid(x), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("name", "dims"), LIGHT)
def test_gradients_reach_every_encoder_parameter(name, dims):
    encoder = Encoder(build(name, dims))
    x = image(name, dims, 64 if (name, dims) == ("flexible", 2) else 32)
    maps = encoder.pyramid(x)
    weights = [torch.randn_like(f) for f in maps]  # a plain sum is constant after a norm
    sum((f * w).sum() for f, w in zip(maps, weights, strict=True)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert all(p.grad.abs().sum() > 0 for p in encoder.parameters() if p.ndim > 1)
