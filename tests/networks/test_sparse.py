"""Masked convolution and norm: nothing flows out of hidden voxels, and an open mask changes nothing."""

import copy
import pickle

import pytest
import torch
from monai.networks.nets import BasicUNet, DynUNet, FlexibleUNet, SegResNet, SegResNetDS, SwinUNETR, UNet
from monai.networks.nets.unet import CheckpointUNet
from torch import nn

from medvol.networks import Encoder
from medvol.networks.sparse import MaskHolder, make_sparse, masked_normalize

NORMS = {
    "group": ("group", {"num_groups": 2}),
    "instance": ("instance", {"affine": True}),
    "batch": "batch",
}


def dynunet(dims, norm="group"):
    return DynUNet(
        dims, 2, 2, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 6, 8), norm_name=NORMS[norm], res_block=True
    ).double()


NETWORKS = {
    "dynunet": dynunet,
    "unet": lambda d: UNet(d, 2, 2, (4, 8, 8), (2, 2), num_res_units=1, norm="batch").double(),
    "basic": lambda d: BasicUNet(d, 2, 2, (4, 4, 4, 4, 4, 4), norm=("group", {"num_groups": 2})).double(),
    "segresnet": lambda d: SegResNet(d, 8, 2, 2, blocks_down=(1, 1, 1), blocks_up=(1, 1)).double(),
    "segresnet_ds": lambda d: SegResNetDS(d, 4, 2, 2, blocks_down=(1, 1, 1)).double(),
    "flexible": lambda d: FlexibleUNet(2, 2, "resnet10", spatial_dims=d, decoder_channels=(8, 8, 8, 8, 4)).double(),
}
CASES = [(name, dims) for name in NETWORKS for dims in (2, 3) if (name, dims) != ("flexible", 3)]


def image(name, dims):
    # odd sizes where the network takes them: windows of the mask do not divide there
    size = {"basic": 18, "flexible": 64}.get(name, 12)
    return torch.randn(2, 2, *[size] * dims, dtype=torch.float64)


def random_mask(x, share=0.6):
    mask = (torch.rand(x.shape[0], 1, *x.shape[2:]) < share).double()
    return mask


def block_mask(x, cell):
    coarse = (torch.rand(x.shape[0], 1, *[n // cell for n in x.shape[2:]]) < 0.5).double()
    coarse.flatten(1)[:, 0] = 1
    return nn.functional.interpolate(coarse, size=x.shape[2:], mode="nearest")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize(("name", "dims"), CASES)
def test_an_open_mask_equals_dense(name, dims, mode):
    network = NETWORKS[name](dims).train(mode)
    dense, encoder = Encoder(copy.deepcopy(network)), Encoder(network, sparse=True)
    x = image(name, dims)
    ones = torch.ones(x.shape[0], 1, *x.shape[2:])
    with torch.no_grad():
        pairs = list(zip(encoder.pyramid(x, ones), dense.pyramid(x), strict=True))
    assert all(torch.allclose(a, b, rtol=0, atol=1e-9) for a, b in pairs)
    mine, theirs = encoder.state_dict(), dense.state_dict()
    assert list(mine) == list(theirs)
    # batch norm has tracked the same statistics
    assert all(torch.allclose(mine[k].double(), theirs[k].double(), atol=1e-9) for k in mine)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize(("name", "dims"), CASES)
def test_hidden_voxels_change_nothing_and_stay_zero(name, dims, mode):
    network = NETWORKS[name](dims).train(mode)
    encoder = Encoder(network, output="pyramid", sparse=True)
    x = image(name, dims)
    mask = random_mask(x) if name != "flexible" else block_mask(x, 8)
    other = torch.where(mask == 1, x, 100 * torch.randn_like(x))
    other[:, :1][mask == 0] = float("nan")
    with torch.no_grad():
        one, two = encoder(x, mask), encoder(other, mask)
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b)
        assert a.isfinite().all()
        visible = (
            nn.functional.interpolate(mask, size=a.shape[2:], mode="nearest") if a.shape[2:] == x.shape[2:] else None
        )
        if visible is not None:
            assert (a.masked_select(visible.expand_as(a) == 0) == 0).all()
    # the test has power: without the mask the same change shows
    with torch.no_grad():
        assert not torch.equal(encoder(x)[-1], encoder(x + (1 - mask))[-1])


def test_hidden_blocks_of_the_coarsest_map_are_zero():
    encoder, x = Encoder(dynunet(3), output="pyramid", sparse=True), image("dynunet", 3)
    mask = block_mask(x, 4)
    for f in encoder(x, mask):
        visible = nn.functional.interpolate(mask, size=f.shape[2:], mode="nearest").expand_as(f)
        assert (f[visible == 0] == 0).all()
        assert (f[visible == 1] != 0).any()


@pytest.mark.parametrize("norm", list(NORMS))
def test_a_crop_with_holes_equals_the_crop_alone(norm):
    """Statistics over visible voxels only: a visible block in a dark volume gives what the block alone gives."""
    network = dynunet(2, norm).train()
    encoder = Encoder(network, output="pyramid", sparse=True)
    x = torch.randn(2, 2, 16, 16, dtype=torch.float64)
    mask = torch.zeros(2, 1, 16, 16)
    mask[..., :8, :8] = 1
    with torch.no_grad():
        whole, alone = encoder(x, mask), encoder(x[..., :8, :8])
    for a, b in zip(whole, alone, strict=True):
        half = b.shape[-1]
        assert torch.allclose(a[..., :half, :half], b, atol=1e-9)
        assert a[..., half:, :].abs().sum() == 0


def gather_visible(x, mask):
    return [row[:, keep[0].bool()] for row, keep in zip(x, mask, strict=True)]


def test_norms_equal_brute_force_over_the_visible_voxels():
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64)
    mask = random_mask(x)
    seen = gather_visible(x, mask)
    eps = 1e-5

    def plain(values):
        return (values - values.mean()) / (values.var(unbiased=False) + eps).sqrt()

    def run(layer):
        layer = layer.double().train()
        for p in layer.parameters():
            nn.init.normal_(p)
        holder = make_sparse([layer])
        with holder.hold(mask):
            return layer, gather_visible(layer(x), mask)

    layer, found = run(nn.InstanceNorm2d(4, affine=True))
    for values, got in zip(seen, found, strict=True):
        expected = torch.stack([plain(values[c]) * layer.weight[c] + layer.bias[c] for c in range(4)])
        assert torch.allclose(got, expected)
    layer, found = run(nn.GroupNorm(2, 4))
    for values, got in zip(seen, found, strict=True):
        expected = torch.cat([plain(values[:2]), plain(values[2:])]) * layer.weight[:, None] + layer.bias[:, None]
        assert torch.allclose(got, expected)
    layer, found = run(nn.LayerNorm((4, 5, 6)))
    for n, (values, got) in enumerate(zip(seen, found, strict=True)):
        weight, bias = (gather_visible(p[None], mask[n : n + 1])[0] for p in (layer.weight, layer.bias))
        assert torch.allclose(got, plain(values) * weight + bias)
    layer, found = run(nn.BatchNorm2d(4))
    every = torch.cat(seen, 1)
    expected = torch.stack([plain(every[c]) * layer.weight[c] + layer.bias[c] for c in range(4)])
    assert torch.allclose(torch.cat(found, 1), expected)
    assert torch.allclose(layer.running_mean, 0.1 * every.mean(1))
    assert torch.allclose(layer.running_var, 0.9 + 0.1 * every.var(1))
    assert layer.num_batches_tracked == 1


def test_batch_norm_without_momentum_and_without_tracking():
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    for kwargs in ({"momentum": None}, {"track_running_stats": False}, {"affine": False}):
        sparse, dense = (nn.BatchNorm2d(3, **kwargs).double() for _ in range(2))
        holder = make_sparse([sparse])
        for _ in range(2):
            with holder.hold(torch.ones(2, 1, 4, 4)):
                assert torch.allclose(sparse(x), dense(x))
        sparse.eval()
        dense.eval()
        with holder.hold(torch.ones(2, 1, 4, 4)):
            assert torch.allclose(sparse(x), dense(x))
        assert all(torch.allclose(a, b) for a, b in zip(sparse.buffers(), dense.buffers(), strict=True))


def test_max_pooling_takes_the_largest_visible_value():
    pool = nn.MaxPool2d(2)
    holder = make_sparse([pool])
    x = torch.tensor([[[[-3.0, -1.0, 5.0, 5.0], [-2.0, -4.0, 5.0, 5.0]]]])
    mask = torch.tensor([[[[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]]])
    with holder.hold(mask):
        assert pool(x).tolist() == [[[[-2.0, 0.0]]]]
    assert pool(x).tolist() == [[[[-1.0, 5.0]]]]
    # five columns give two: the mask's first window is 0-2, the pool's is 0-1 and holds nothing visible
    with holder.hold(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]] * 2]])):
        assert pool(torch.full((1, 1, 2, 5), -7.0)).tolist() == [[[[0.0, -7.0]]]]


def test_layers_write_zero_into_holes():
    x, mask = torch.randn(1, 2, 6, 6, 6), torch.ones(1, 1, 6, 6, 6)
    mask[..., 3:] = 0
    for layer in (nn.Conv3d(2, 2, 3, padding=1), nn.GroupNorm(1, 2), nn.BatchNorm3d(2), nn.MaxPool3d(3, 1, 1)):
        for p in layer.parameters():
            nn.init.constant_(p, 0.5)
        holder = make_sparse([layer])
        for mode in (True, False):
            with holder.hold(mask):
                out = layer.train(mode)(x)
            assert (out[..., 3:] == 0).all()
            assert (out[..., :3] != 0).all()


def test_maps_are_zero_in_holes_whatever_the_activation():
    network = DynUNet(2, 2, 2, [3] * 3, [1, 2, 2], [2, 2], filters=(4, 6, 8), norm_name="batch", act_name="sigmoid")
    encoder, x = Encoder(network.double(), output="pyramid", sparse=True), image("dynunet", 2)
    mask = block_mask(x, 4)
    for f in encoder(x, mask):
        visible = nn.functional.interpolate(mask, size=f.shape[2:], mode="nearest").expand_as(f)
        assert (f[visible == 0] == 0).all()
        assert (f[visible == 1] > 0).all()


def test_masked_normalize_gradient():
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    visible = torch.rand(2, 1, 4) < 0.7
    assert torch.autograd.gradcheck(lambda t: masked_normalize(t, visible, [2], 1e-5)[0] * visible, x)


def test_gradients_flow_through_visible_voxels_only():
    encoder = Encoder(dynunet(2), sparse=True)
    x = image("dynunet", 2).requires_grad_()
    mask = block_mask(x, 4)
    (encoder(x, mask) * torch.randn(8, 3, 3)).sum().backward()
    hidden = (mask == 0).expand_as(x)
    assert (x.grad[hidden] == 0).all()
    assert (x.grad[~hidden] != 0).any()
    assert all(p.grad is not None for p in encoder.parameters())


def test_the_mask_lives_as_long_as_the_call():
    network = dynunet(2)
    encoder, x = Encoder(network, sparse=True), image("dynunet", 2)
    dense = network.eval()(x)
    encoder(x, block_mask(x, 4))
    assert not encoder._holder.active
    assert torch.equal(network(x), dense)

    def fail(module, args):
        raise RuntimeError("stop")

    handle = network.bottleneck.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="stop"):
        encoder(x, block_mask(x, 4))
    handle.remove()
    assert not encoder._holder.active
    assert torch.equal(network(x), dense)


def test_the_library_network_itself_can_run_with_a_mask():
    network = dynunet(2).eval()
    encoder, x = Encoder(network, sparse=True), image("dynunet", 2)
    mask, maps = block_mask(x, 4), []
    network.bottleneck.register_forward_hook(lambda module, args, output: maps.append(output))
    with encoder.masked(mask, x):
        network(x)
    assert torch.equal(encoder(x, mask), maps[0].masked_fill(encoder_hidden(mask, maps[0]), 0))


def encoder_hidden(mask, f):
    return nn.functional.adaptive_max_pool2d(mask, f.shape[2:]) == 0


def test_two_encoders_do_not_see_one_another_s_mask():
    one, two = (Encoder(dynunet(2), sparse=True) for _ in range(2))
    x = image("dynunet", 2)
    with one.masked(block_mask(x, 4), x):
        assert not two._holder.active
    # over one network they share the layers, hence the holder
    network = dynunet(2)
    first, second = Encoder(network, sparse=True), Encoder(network, until="input_block", sparse=True)
    mask = block_mask(x, 4)
    assert torch.equal(first.pyramid(x, mask)[0], second(x, mask))
    with pytest.raises(ValueError, match="2 other sparse Encoders"):
        make_sparse([one, two])


def test_copies_keep_their_own_holder():
    encoder, x = Encoder(dynunet(2), sparse=True), image("dynunet", 2)
    mask = block_mask(x, 4)
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(x, mask), encoder(x, mask))
        with encoder.masked(mask, x):
            assert not other._holder.active


def test_mask_broadcasts_and_is_checked():
    encoder, x = Encoder(dynunet(3), sparse=True), image("dynunet", 3)
    slab = torch.ones(1, 1, 12, 1, 1)
    slab[:, :, 4:] = 0
    assert torch.equal(encoder(x, slab), encoder(x, slab.expand(2, 1, 12, 12, 12)))
    assert torch.equal(encoder(x, slab.bool()), encoder(x, slab))
    with pytest.raises(ValueError, match=r"broadcasts to \(2, 1, 12, 12, 12\), found \(2, 1, 6, 6, 6\)"):
        encoder(x, torch.ones(2, 1, 6, 6, 6))
    with pytest.raises(ValueError, match=r"1 \(visible\) or 0 \(hidden\).*found 0\.5"):
        encoder(x, slab * 0.5)
    with pytest.raises(ValueError, match=r"found none in \[1\]"):
        encoder(x, torch.cat([torch.ones(1, 1, 12, 12, 12), torch.zeros(1, 1, 12, 12, 12)]))


def test_half_precision_statistics_do_not_overflow():
    layer, x = nn.GroupNorm(1, 4), (300 * torch.randn(1, 4, 8, 8)).half()  # 300 squared is infinite
    holder = make_sparse([layer])
    with holder.hold(torch.ones(1, 1, 8, 8)):
        out = layer(x)
    assert out.dtype == torch.float16
    assert (out.float() - nn.functional.group_norm(x.float(), 1)).abs().max() < 0.05


@pytest.mark.parametrize(
    ("network", "named"),
    [
        (lambda: SwinUNETR(1, 1, depths=(1, 1, 1, 1), feature_size=12, spatial_dims=2), "Linear"),
        (lambda: FlexibleUNet(1, 1, "efficientnet-b0", spatial_dims=2), "AdaptiveAvgPool2d"),
        (lambda: CheckpointUNet(2, 1, 1, (4, 8), (2,)), "ActivationCheckpointWrapper"),
        (lambda: UNet(2, 1, 1, (4, 8), (2,), norm=("instance", {"track_running_stats": True})), "InstanceNorm2d"),
    ],
)
def test_networks_without_a_sparse_form_are_refused_untouched(network, named):
    network = network()
    before = [type(module) for module in network.modules()]
    with pytest.raises(ValueError, match=f"found .*{named}.*sparse=False"):
        Encoder(network, sparse=True)
    assert [type(module) for module in network.modules()] == before


def test_the_mask_at_other_sizes():
    holder = MaskHolder()
    mask = torch.zeros(1, 1, 4, 4)
    mask[0, 0, 0, 1] = 1
    with holder.hold(mask):
        assert holder.hidden(torch.zeros(1, 3, 2, 2)).tolist() == [[[[False, True], [True, True]]]]
        with holder.hold(None):
            assert not holder.active
        assert holder.active
    assert not holder.active
