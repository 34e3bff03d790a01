import numpy as np
import pytest
import torch
from map_transforms import check_missing_keys
from scipy.stats import kstest

from medvol.transforms.gamma import RandPatchGammad


def powered(image, seed=0, **options):
    transform = RandPatchGammad("image", **{"prob": 1.0, **options}).set_random_state(seed)
    return transform({"image": image})["image"], transform.drawn


@pytest.mark.parametrize("shape", [(5, 6, 7), (5, 6, 1), (9, 8), (11,)])
@pytest.mark.parametrize("gamma", [(0.5, 0.9), (1.3, 3.0), (2.0, 2.0)])
@pytest.mark.parametrize("scale", [40.0, 0.01])
def test_equals_the_loop_over_voxels(shape, gamma, scale):
    image = (torch.randn(3, 2, *shape, dtype=torch.float64) - 7) * scale
    found, drawn = powered(image, gamma=gamma)
    for v, c in np.ndindex(3, 2):
        x = image[v, c].numpy()
        low, high = x.min(), x.max()
        expected = low + (high - low) * ((x - low) / (high - low)) ** drawn[v, c]
        np.testing.assert_allclose(found[v, c].numpy(), expected, rtol=1e-12)


def test_powers_are_log_uniform_and_of_each_view_and_channel():
    transform = RandPatchGammad("image", gamma=(0.5, 3.0), prob=0.4).set_random_state(0)
    transform.randomize(2000, 3)
    drawn = transform.drawn
    changed = drawn != 1
    assert drawn.shape == (2000, 3)
    assert (changed.all(axis=1) == changed.any(axis=1)).all(), "all channels of a view, or none"
    assert abs(changed.mean() - 0.4) < 0.055  # five standard deviations
    assert kstest(np.log(drawn[changed]), "uniform", (np.log(0.5), np.log(6.0))).pvalue > 0.001
    assert len(set(drawn[changed])) == changed.sum()


def test_views_that_are_left_alone_stay():
    image = torch.randn(30, 2, 6, 6)
    found, drawn = powered(image, prob=0.5)
    assert [bool((a != b).any()) for a, b in zip(image, found, strict=True)] == (drawn != 1).any(axis=1).tolist()
    assert 5 < (drawn != 1).any(axis=1).sum() < 25
    assert torch.equal(powered(image, prob=0.0)[0], image)


def test_range_and_order_of_values_stay():
    image = torch.randn(8, 1, 300, dtype=torch.float64)
    found, drawn = powered(image)
    assert torch.allclose(found.amin(2), image.amin(2))
    assert torch.allclose(found.amax(2), image.amax(2))
    assert torch.equal(found.argsort(2), image.argsort(2))
    darker = (found < image - 1e-9).sum(2)[:, 0] > 200
    assert darker.tolist() == (drawn[:, 0] > 1).tolist()


def test_it_survives_a_z_score_as_an_affine_change_does_not():
    def z(x):
        return (x - x.mean(2, keepdim=True)) / x.std(2, keepdim=True)

    image = torch.rand(4, 1, 500, dtype=torch.float64)
    assert torch.allclose(z(3 * image + 7), z(image))
    assert ((z(powered(image, gamma=(1.4, 1.5))[0]) - z(image)).abs().mean(2) > 0.05).all()


@pytest.mark.parametrize("value", [0.0, -3.7, 1e6])
def test_a_constant_channel_stays_to_the_bit(value):
    image = torch.rand(4, 2, 5, 5)
    image[1, 0] = value
    found = powered(image)[0]
    assert torch.equal(found[1, 0], image[1, 0])
    assert torch.isfinite(found).all()
    assert (found[1, 1] != image[1, 1]).any()


def test_two_axes_and_depth_one_are_equal_to_the_bit():
    image = torch.rand(40, 2, 12, 10)
    assert torch.equal(powered(image, prob=0.5)[0], powered(image[..., None], prob=0.5)[0][..., 0])


def test_input_and_defaults():
    image = torch.rand(2, 1, 6, 6)
    before = image.clone()
    powered(image)
    assert torch.equal(image, before)
    check_missing_keys(RandPatchGammad, {"image": torch.rand(2, 1, 5, 5)})
    plain = RandPatchGammad()
    assert (plain.keys, plain.gamma, plain.share, plain.allow_missing_keys) == (("image",), (0.7, 1.5), 0.5, False)


@pytest.mark.parametrize("gamma", [(1.0, 0.5), (0.0, 1.0), (1.0, float("inf")), (1.0,), (float("nan"), 1.0), 1.0])
def test_errors(gamma):
    with pytest.raises(
        ValueError, match=r"gamma must be \(lowest, highest\), above 0; found .*; \(0.7, 1.5\) is usual"
    ):
        RandPatchGammad("image", gamma=gamma)
