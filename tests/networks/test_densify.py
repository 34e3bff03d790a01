"""One stage made dense: against loops in double precision, and where hardly anything is visible."""

import pytest
import torch
from torch import nn
from unet_oracles import check_densify, densified, scramble

from medvol.networks.densify import Densify


def test_it_equals_loops_over_positions():
    check_densify()


def test_slices_have_layers_of_two_axes():
    layer = Densify(3, 2).double()
    scramble(layer)
    x, visible = torch.randn(2, 3, 4, 7, dtype=torch.float64), torch.rand(2, 1, 4, 7) < 0.5
    torch.testing.assert_close(layer(x, visible), densified(layer, x, visible), rtol=0, atol=1e-12)


def test_what_lies_under_the_mask_changes_nothing():
    layer, x = Densify(4, 3), torch.randn(2, 4, 3, 4, 5)
    visible = torch.rand(2, 1, 3, 4, 5) < 0.3
    other = torch.where(visible, x, 1000 * torch.randn_like(x))
    assert torch.equal(layer(x, visible), layer(other, visible))


def test_a_single_visible_position_is_no_special_case():
    layer, x = Densify(8, 2, convolution=False).double(), torch.randn(1, 8, 5, 5, dtype=torch.float64)
    visible = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    visible[..., 2, 3] = True
    values = layer(x, visible)[0, :, 2, 3]
    assert values.std(correction=0).item() == pytest.approx(1, abs=1e-3)  # an instance norm would give zeros
    none = layer(x, torch.zeros_like(visible))  # a sample without any, deep in a loop, stays finite
    assert torch.equal(none, layer.token.expand_as(x))


def test_an_open_map_is_normed_as_by_the_library():
    layer, x = Densify(4, 3, convolution=False), torch.randn(2, 4, 3, 4, 5)
    torch.testing.assert_close(layer(x, torch.ones(2, 1, 3, 4, 5) == 1), nn.functional.group_norm(x, 1))


def test_tokens_are_small_and_cut_off_and_every_parameter_is_trained():
    layer = Densify(512, 2, token_std=0.5)
    assert layer.token.abs().max() <= 1
    assert layer.token.std().item() == pytest.approx(0.44, abs=0.05)  # 0.88 of it after the cut
    layer = Densify(4, 2)
    layer(torch.randn(2, 4, 6, 6), torch.eye(6).expand(2, 1, 6, 6) == 1).square().sum().backward()
    assert all((p.grad != 0).all() for p in layer.parameters())


def test_half_precision_comes_back_as_it_went_in():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = torch.randn(1, 4, 6, 6).bfloat16()
        for convolution in (True, False):
            found = Densify(4, 2, convolution)(x, torch.eye(6).reshape(1, 1, 6, 6) == 1)
            assert found.dtype == torch.bfloat16
            assert found.isfinite().all()


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"channels": 0, "spatial_dims": 3}, "at least 1 channel"),
        ({"channels": 4, "spatial_dims": 1}, "2 or 3 axes"),
        ({"channels": 4, "spatial_dims": 3, "token_std": 0.0}, "token_std must be a number above 0; found 0.0"),
        ({"channels": 4, "spatial_dims": 3, "token_std": float("nan")}, "found nan"),
    ],
)
def test_numbers_out_of_range_are_refused(kwargs, words):
    with pytest.raises(ValueError, match=words):
        Densify(**kwargs)
