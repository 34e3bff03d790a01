import math

import numpy as np
import pytest
import torch
from numpy.random import RandomState

from medvol.transforms.degrading import bias_field, blur, gamma, low_resolution, noise
from medvol.transforms.scan import read_scan


def scan_of(*shape, seed=0, offset=10.0, spacing=None):
    values = torch.as_tensor(RandomState(seed).normal(size=shape)) + offset
    return read_scan(values, spacing or (1.0,) * (len(shape) - 1))


def test_noise_has_the_deviation_asked_for_and_no_mean():
    values = torch.stack([torch.linspace(0, 1, 40**3), torch.linspace(-500, 500, 40**3)]).reshape(2, 40, 40, 40)
    scan = read_scan(values.double(), (1.0,) * 3)
    added = (noise(scan, 0.12, RandomState(0)) - scan.values).numpy()
    for channel, span in zip(added, (0.98, 980.0), strict=True):
        assert channel.std() == pytest.approx(0.12 * span, rel=0.01)
        assert abs(channel.mean()) < 0.12 * span / 80
    assert abs(np.corrcoef(added[0].flatten(), added[1].flatten())[0, 1]) < 0.02  # every channel has its own


def test_blur_is_a_gaussian_in_millimeters():
    values = torch.zeros(1, 21, 23, dtype=torch.float64)
    values[0, 10, 11] = 1.0
    result = blur(read_scan(values, (1.0, 2.0)), 2.0, RandomState(0))[0].numpy()
    weights = [np.exp(-0.5 * (np.arange(-r, r + 1) * size / 2.0) ** 2) for r, size in ((8, 1.0), (4, 2.0))]
    weights = [w / w.sum() for w in weights]
    np.testing.assert_allclose(result[2:19, 7:16], np.outer(*weights), atol=1e-12)


def test_blur_does_not_darken_the_edge():
    scan = read_scan(torch.full((1, 9, 9, 9), 7.0), (1.0,) * 3)
    assert torch.allclose(blur(scan, 3.0, RandomState(0)), scan.values)


@pytest.mark.parametrize("shape", [(2, 12, 14), (2, 12, 14, 10)])
def test_the_bias_field_is_one_cubic_with_the_range_asked_for(shape):
    values = torch.ones(shape, dtype=torch.float64)
    values[1] *= 300.0
    values[:, 0] = 0.0
    scan = read_scan(values, (1.0,) * (len(shape) - 1))
    field = bias_field(scan, 0.4, RandomState(3)) / values.clamp_min(1)
    inside = field[:, 1:].numpy()
    assert inside.min() == pytest.approx(0.8, abs=1e-6)
    assert inside.max() == pytest.approx(1.2, abs=1e-6)
    np.testing.assert_allclose(inside[0], inside[1])
    grids = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape[1:]], indexing="ij")
    powers = [p for p in np.ndindex(*[4] * len(grids)) if sum(p) <= (3 if len(grids) == 3 else 6)]
    terms = np.stack([np.prod([g**n for g, n in zip(grids, p, strict=True)], axis=0)[1:].flatten() for p in powers], 1)
    fitted = terms @ np.linalg.lstsq(terms, inside[0].flatten(), rcond=None)[0]
    np.testing.assert_allclose(fitted, inside[0].flatten(), atol=1e-5)


def test_the_bias_field_leaves_the_floor_of_signed_images():
    values = torch.full((1, 8, 8), -1000.0, dtype=torch.float64)
    values[0, 4:] = 40.0
    result = bias_field(read_scan(values, (1.0, 1.0)), 1.0, RandomState(0))
    assert torch.equal(result[0, :4], values[0, :4])
    assert float(result[0, 4:].std()) > 50


def test_gamma_equals_the_loop_and_keeps_the_percentiles():
    scan = scan_of(2, 9, 11)
    powers = set()
    for seed in range(12):
        result = gamma(scan, 1.6, RandomState(seed))
        power = 1.6 if RandomState(seed).uniform() < 0.5 else 1 / 1.6
        powers.add(power)
        for c in range(2):
            low, high = np.percentile(scan.values[c].numpy(), (1, 99))
            for x, y in zip(scan.values[c].flatten().tolist(), result[c].flatten().tolist(), strict=True):
                u = (x - low) / (high - low)
                assert y == pytest.approx(low + (high - low) * math.copysign(abs(u) ** power, u))
    assert powers == {1.6, 1 / 1.6}
    assert torch.equal(result.flatten(1).argsort(), scan.values.flatten(1).argsort())


@pytest.mark.parametrize("change", [noise, gamma])
def test_without_contrast_nothing_changes(change):
    values = torch.full((1, 20, 20), 5.0)
    values[0, 0, 0] = 900.0  # one bright voxel, beyond both percentiles
    assert torch.equal(change(read_scan(values, (1.0, 1.0)), 1.5, RandomState(0)), values)


@pytest.mark.parametrize("shape", [(1, 24, 30), (2, 24, 30, 18), (1, 24, 30, 3)])
def test_low_resolution_averages_without_a_shift(shape):
    scan = scan_of(*shape)
    for strength in (2.0, 3.0, 5.0):
        result = low_resolution(scan, strength, RandomState(0))
        assert result.shape == scan.values.shape
        assert float(result.std()) < 0.75 * float(scan.values.std())
        turned = read_scan(scan.values.flip(1), scan.spacing)
        torch.testing.assert_close(low_resolution(turned, strength, RandomState(0)).flip(1), result, atol=1e-5, rtol=0)


def test_constant_images_stay():
    scan = read_scan(torch.full((1, 9, 9, 9), 3.0), (1.0,) * 3)
    for change, strength in ((noise, 0.2), (blur, 2.0), (gamma, 2.0), (low_resolution, 3.0)):
        assert torch.allclose(change(scan, strength, RandomState(0)), scan.values)
