"""Test-time flips, and a sliding window without seams."""

import itertools

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from medvol.engines.inference import FlipInferer


class Constant(torch.nn.Module):
    def forward(self, x):
        return torch.tensor([0.3, -2.0]).view(1, 2, *[1] * (x.ndim - 2)).repeat(len(x), 1, *x.shape[2:])


class Skewed(torch.nn.Module):
    """A convolution without any symmetry, so that each flip gives another answer."""

    def __init__(self, dims):
        super().__init__()
        conv = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[dims]
        torch.manual_seed(0)
        self.conv = conv(1, 2, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


@pytest.mark.parametrize(("dims", "axes"), [(3, (0, 1, 2)), (3, (2,)), (3, (2, 0)), (2, (0, 1)), (3, ())])
@torch.no_grad()
def test_mean_over_all_flips(dims, axes):
    x, network = torch.randn(2, 1, *(5, 6, 4)[:dims]), Skewed(dims).eval()
    expected = []
    for signs in itertools.product([False, True], repeat=len(axes)):
        flip = [axis + 2 for axis, sign in zip(axes, signs, strict=True) if sign]
        expected.append(torch.flip(network(torch.flip(x, flip)), flip))
    assert len(expected) == 2 ** len(axes)
    expected = torch.stack(expected).mean(0)
    assert torch.allclose(FlipInferer(axes=axes)(x, network), expected, atol=1e-6)
    window = SlidingWindowInferer((5, 6, 4)[:dims], mode="gaussian")
    assert torch.allclose(FlipInferer(window, axes)(x, network), expected, atol=1e-5)
    if axes:
        assert not torch.allclose(network(x), expected, atol=1e-3)
        # A flipped input gives the flipped answer.
        flip = [axes[0] + 2]
        assert torch.allclose(FlipInferer(axes=axes)(x.flip(flip), network).flip(flip), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["constant", "gaussian"])
@pytest.mark.parametrize("shape", [(23, 17, 19), (9, 30, 12), (31, 14)])
def test_a_constant_network_leaves_no_seams(mode, shape):
    x = torch.randn(1, 1, *shape)
    window = SlidingWindowInferer([16] * len(shape), sw_batch_size=2, overlap=0.5, mode=mode)
    out = FlipInferer(window, axes=(0, 1))(x, Constant())
    assert out.shape == (1, 2, *shape)
    assert torch.allclose(out, Constant()(x), atol=1e-6)


def test_the_network_is_not_changed_in_place_and_metadata_stay():
    x = MetaTensor(torch.randn(1, 1, 4, 4, 4), affine=torch.diag(torch.tensor([1.0, 2, 3, 1])))
    memory = {}

    def network(batch):
        memory.setdefault("first", batch)
        return batch

    before = x.clone()
    out = FlipInferer(axes=(0, 1, 2))(x, network)
    assert isinstance(out, MetaTensor)
    assert torch.equal(out.affine, x.affine)
    assert torch.equal(x, before)
    assert out.data_ptr() != x.data_ptr()
    assert torch.allclose(out, x)


def test_wrong_axes_and_outputs_are_refused():
    for axes in [(0, 0), (-1,)]:
        with pytest.raises(ValueError, match="distinct spatial axes from 0"):
            FlipInferer(axes=axes)
    with pytest.raises(ValueError, match=r"number of spatial axes, 2, but are \[2\]"):
        FlipInferer(axes=[2])(torch.zeros(1, 1, 4, 4), torch.nn.Identity())
    with pytest.raises(ValueError, match="returned tuple"):
        FlipInferer(axes=[0])(torch.zeros(1, 1, 4, 4), lambda x: (x, x))
    with pytest.raises(ValueError, match=r"returned \(1, 1\)"):
        FlipInferer(axes=[0])(torch.zeros(1, 1, 4, 4), lambda x: x.mean((2, 3)))
