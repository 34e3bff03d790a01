import numpy as np
import pytest
import torch
from numpy.random import RandomState
from scipy.ndimage import affine_transform

from medvol.transforms.rigid import direction, turn, warp


@pytest.mark.parametrize("num_axes", [2, 3])
def test_directions_are_unit_vectors_to_all_sides(num_axes):
    drawn = np.stack([direction(RandomState(seed), num_axes) for seed in range(400)])
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0)
    assert np.abs(drawn.mean(axis=0)).max() < 0.12
    np.testing.assert_allclose((drawn**2).mean(axis=0), 1 / num_axes, atol=0.06)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 2.0), (1.0, 1.0, 1.0), (0.9, 1.1, 5.0)])
def test_a_turn_is_rigid_in_millimeters_and_as_large_as_asked(spacing):
    matrix = turn(25.0, RandomState(3), spacing)
    rigid = np.diag(spacing) @ matrix @ np.diag(1 / np.array(spacing))
    np.testing.assert_allclose(rigid @ rigid.T, np.eye(len(spacing)), atol=1e-12)
    assert np.linalg.det(rigid) == pytest.approx(1.0)
    cosine = (np.trace(rigid) - (len(spacing) - 2)) / 2
    assert np.rad2deg(np.arccos(cosine)) == pytest.approx(25.0)


def test_planes_turn_to_both_sides():
    signs = [np.sign(turn(10.0, RandomState(seed), (1.0, 1.0))[1, 0]) for seed in range(40)]
    assert 10 < signs.count(1.0) < 30


@pytest.mark.parametrize(
    ("shape", "padding", "border"), [((9, 8), "border", "nearest"), ((9, 8, 7), "zeros", "constant")]
)
def test_resampling_equals_scipy(shape, padding, border):
    image = RandomState(0).normal(size=(2, *shape))
    matrix = turn(20.0, RandomState(1), (1.0, 1.5, 2.0)[: len(shape)])
    shift = np.array([0.7, -1.2, 0.4])[: len(shape)]
    middle = (np.array(shape) - 1) / 2
    inside = tuple(slice(2, -2) for _ in shape)  # scipy does not interpolate across the edge
    for mode, order in (("bilinear", 1), ("nearest", 0)):
        result = warp(torch.as_tensor(image), matrix, shift, mode=mode, padding=padding)
        offset = middle + shift - matrix @ middle
        for channel, moved in zip(image, result.numpy(), strict=True):
            expected = affine_transform(channel, matrix, offset, order=order, mode=border)
            np.testing.assert_allclose(moved[inside], expected[inside], atol=1e-4)


def test_the_type_stays_and_nothing_is_written_to():
    image = torch.rand(1, 5, 6, dtype=torch.float64)
    before = image.clone()
    assert warp(image, np.eye(2)).dtype == torch.float64
    assert torch.equal(image, before)
    assert torch.allclose(warp(image, np.eye(2)), image, atol=1e-6)
