"""The example of a prediction shows what the network really reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medvol.bundles.previews.prediction import example_prediction
from medvol.networks import CPC


class Means(nn.Module):
    """An encoder that returns the mean of a patch."""

    channels, strides, in_channels = (4,), (1,), 1

    def __init__(self, axes: int) -> None:
        super().__init__()
        self.spatial_dims = axes
        self.layer = (nn.Conv2d if axes == 2 else nn.Conv3d)(1, 4, 1)

    def forward(self, x):
        return self.layer(x)


def network(grid, **options):
    torch.manual_seed(0)
    return CPC(Means(len(grid)), grid, embedding=6, hidden=8, **options)


@pytest.mark.parametrize("context", ["masked", "gru"])
def test_the_context_is_an_inverted_pyramid(context) -> None:
    found = example_prediction(network((4, 4, 4), context=context), [1.0] * 64)
    place = {n: np.array(np.unravel_index(n, (4, 4, 4))) for n in range(64)}
    move = place[found.target] - place[found.source]
    assert abs(move).tolist() == [0, 0, 1]
    assert (found.step, found.least_step, found.axis, found.forward) == (1, 1, 2, bool(move[2] > 0))
    expected = {}
    for number, at in place.items():
        back = int((place[found.source] - at)[2] * np.sign(move[2]))
        if back >= 0 and abs(at - place[found.source])[:2].max() <= back:
            expected[number] = back
    assert found.layers == expected
    assert set(found.layers.values()) == {0, 1, 2}
    assert found.target not in found.layers


def test_depth_and_steps_of_the_network_are_told() -> None:
    found = example_prediction(network((5, 5), depth=1, patch_stride=4, patch_size=8), [1.0] * 25)
    assert (found.step, found.least_step) == (2, 2)
    assert set(found.layers.values()) == {0, 1}


def test_the_target_has_tissue() -> None:
    foreground = [0.0] * 27
    foreground[5] = 0.5
    assert example_prediction(network((3, 3, 3)), foreground).target == 5
    foreground[5] = 0.05  # below the threshold everywhere: still an example
    assert example_prediction(network((3, 3, 3)), foreground).layers


def test_a_prediction_may_look_back_along_its_axis() -> None:
    foreground = [0.0] * 27
    foreground[12] = 0.5  # place (1, 1, 0): only predictions toward lower indices reach it
    found = example_prediction(network((3, 3, 3)), foreground)
    assert (found.target, found.source, found.forward) == (12, 13, False)
    assert found.layers == {13: 0, **{2 + 3 * n: 1 for n in range(9)}}


def test_an_axis_of_one_patch_is_passed_over() -> None:
    assert example_prediction(network((3, 3, 1)), [1.0] * 9).axis == 1
