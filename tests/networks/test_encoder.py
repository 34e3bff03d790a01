"""The encoder: what it returns, what it keeps, what it refuses."""

import copy
import pickle
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets import DynUNet, UNet

from medvol.networks import Encoder


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


def test_forward_obeys_output_and_pyramid_does_not():
    network, x = unet(2), torch.randn(1, 2, 8, 8)
    last, pyramid = Encoder(network), Encoder(network, output="pyramid")
    assert torch.equal(last(x), last.pyramid(x)[-1])
    assert isinstance(pyramid(x), tuple)
    assert [tuple(f.shape) for f in pyramid(x)] == [(1, 4, 4, 4), (1, 8, 2, 2), (1, 8, 2, 2)]
    with pytest.raises(ValueError, match=r"'last' or 'pyramid', found 'all'"):
        Encoder(network, output="all")


def test_until_cuts_what_runs_and_what_is_kept():
    network = dynunet(2)
    encoder = Encoder(network, until="downsamples.0")
    assert encoder.stage_names == ("input_block", "downsamples.0")
    assert encoder.channels == (4, 6)
    assert encoder.strides == (1, 2)
    assert {key.split(".")[0] for key in encoder.state_dict()} == {"input_block", "downsamples"}
    x = torch.randn(1, 2, 16, 16)
    assert torch.equal(encoder(x), Encoder(network).pyramid(x)[1])
    assert Encoder(Encoder(network), until="input_block").channels == (4,)
    with pytest.raises(ValueError, match=r"bottleneck.*found 'downsample\.0'; Did you mean 'downsamples\.0'"):
        Encoder(network, until="downsample.0")


@settings(max_examples=25, deadline=None)
@given(data=st.data(), dims=st.sampled_from([2, 3]), depth=st.integers(3, 4))
def test_channels_and_strides_are_what_comes_out(data, dims, depth):
    steps = [data.draw(st.tuples(*[st.sampled_from([1, 2])] * dims)) for _ in range(depth)]
    widths = data.draw(st.lists(st.integers(1, 5), min_size=depth, max_size=depth))
    channels, which = data.draw(st.integers(1, 3)), data.draw(st.sampled_from(["dynunet", "unet"]))
    if which == "dynunet":
        kernels = [tuple(3 if s == 2 else data.draw(st.sampled_from([1, 3])) for s in step) for step in steps]
        network = DynUNet(
            dims, channels, 2, kernels, steps, steps[1:], filters=widths, norm_name="batch", res_block=True
        )
    else:
        network = UNet(dims, channels, 2, widths, steps[:-1], num_res_units=data.draw(st.integers(0, 2)), norm="batch")
    encoder = Encoder(network.eval())
    size = [16 * data.draw(st.integers(1, 2)) if a == 0 else 16 for a in range(dims)]
    with torch.no_grad():
        maps = encoder.pyramid(torch.zeros(1, channels, *size))
    assert encoder.channels == tuple(f.shape[1] for f in maps)
    assert (encoder.spatial_dims, encoder.in_channels) == (dims, channels)
    full = [s if isinstance(s, tuple) else (s,) * dims for s in encoder.strides]
    assert [tuple(f.shape[2:]) for f in maps] == [tuple(n // s for n, s in zip(size, t, strict=True)) for t in full]
    assert all(a <= b for one, two in pairwise(full) for a, b in zip(one, two, strict=True))
    assert all(isinstance(s, int) or len(set(s)) > 1 for s in encoder.strides)


def test_a_volume_of_one_slice():
    network = dynunet(
        3, kernel_size=[[3, 3, 1]] * 4, strides=[[1, 1, 1]] + [[2, 2, 1]] * 3, upsample_kernel_size=[[2, 2, 1]] * 3
    )
    encoder = Encoder(network)
    maps = encoder.pyramid(torch.randn(1, 2, 16, 16, 1))
    assert [tuple(f.shape[2:]) for f in maps] == [(16, 16, 1), (8, 8, 1), (4, 4, 1), (2, 2, 1)]
    assert encoder.strides == (1, (2, 2, 1), (4, 4, 1), (8, 8, 1))
    # the same weights in a network of two dimensions give the same features
    flat = dynunet(2)
    flat.load_state_dict({k: v.squeeze(-1) if v.ndim == 5 else v for k, v in network.state_dict().items()})
    x = torch.randn(1, 2, 16, 16)
    assert torch.allclose(Encoder(flat)(x), encoder(x[..., None])[..., 0], atol=1e-5)


def test_an_encoder_of_two_axes_takes_volumes_slice_by_slice():
    torch.manual_seed(0)
    net = UNet(2, in_channels=2, out_channels=1, channels=(4, 8), strides=(2,), norm=("group", {"num_groups": 1}))
    encoder = Encoder(net, sparse=True).eval()
    volume, mask = torch.rand(3, 2, 12, 10, 5), torch.rand(3, 1, 12, 10, 5) > 0.3
    for hidden in (None, mask):
        maps = encoder.pyramid(volume, hidden)
        for depth in range(5):
            alone = encoder.pyramid(volume[..., depth], None if hidden is None else hidden[..., depth])
            for found, want in zip(maps, alone, strict=True):
                torch.testing.assert_close(found[..., depth], want)
    assert encoder.train()(volume[..., :1]).shape == (3, 8, 6, 5, 1)
    with pytest.raises(ValueError, match="fold views or patches into the batch first"):
        encoder(volume)  # perhaps views, which must not pass for slices


def test_each_patch_is_encoded_alone():
    encoder, x = Encoder(unet(3)), torch.randn(6, 2, 8, 8, 8)
    order = torch.randperm(6)
    with torch.no_grad():
        assert torch.allclose(encoder.train()(x)[order], encoder(x[order]), atol=1e-5)


def test_wrong_images_are_refused():
    encoder = Encoder(unet(3))
    for shape in [(1, 2, 8, 8), (1, 1, 8, 8, 8), (1, 2, 2, 8, 8, 8)]:
        with pytest.raises(ValueError, match=r"expects images \(B, 2, D, H, W\), found shape"):
            encoder(torch.zeros(shape))
    with pytest.raises(ValueError, match="sparse=True"):
        encoder(torch.zeros(1, 2, 8, 8, 8), mask=torch.ones(1, 1, 8, 8, 8))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # as torch's own group norm
def test_mode_copy_pickle_and_trace():
    network = unet(2).eval()
    encoder, x = Encoder(network), torch.randn(1, 2, 8, 8)
    assert not encoder.training
    assert not any(module.training for module in encoder.modules())
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(x), encoder(x))
        assert not {id(p) for p in other.parameters()} & {id(p) for p in encoder.parameters()}
    traced = torch.jit.trace(encoder, x)
    y = torch.randn(1, 2, 16, 16)
    assert torch.equal(traced(y), encoder(y))
