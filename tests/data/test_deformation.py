"""Tests of the random fields and deformations."""

import numpy as np
import pytest
from scipy.interpolate import BSpline

from medvol.data import deformation
from medvol.data.anatomy import voxel_centers
from medvol.data.deformation import smooth_noise, swell, warp


def jacobian(points: np.ndarray, spacing: float) -> np.ndarray:
    """Determinants of a map `(3, X, Y, Z)` by central differences."""
    rows = np.stack([np.stack(np.gradient(row.astype(float), spacing), -1) for row in points], -2)
    return np.linalg.det(rows)


class TestSmoothNoise:
    def test_unit_variance_and_reproducible(self):
        axes = voxel_centers((44, 52, 45), 4)
        field = smooth_noise(np.random.default_rng(0), axes, (8,), (1.0,))
        assert 0.9 < field.std() < 1.1
        assert np.array_equal(field, smooth_noise(np.random.default_rng(0), axes, (8,), (1.0,)))

    def test_equals_the_tensor_product_of_splines(self):
        """Against scipy's own B-spline basis, with the same coefficients."""
        coefficients = np.random.default_rng(1).standard_normal((7, 8, 6), dtype=np.float32)
        positions = [np.float32([3.0, 17.5]), np.float32([0.0, 31.0, 9.9]), np.float32([25.0])]
        got = deformation._spline(coefficients, positions, 10.0)
        want = coefficients.astype(float)
        for axis, x in enumerate(positions):
            knots = np.arange(-3, want.shape[axis] + 1) * 10.0
            basis = BSpline.design_matrix(x.astype(float), knots, 3).toarray()
            want = np.moveaxis(np.tensordot(basis, want, (1, axis)), 0, axis)
        assert np.allclose(got, want, atol=1e-5)

    def test_the_same_field_on_another_grid(self):
        """A field is a function of place: a part of a grid, or a coarser one, shows the same values."""
        fine = voxel_centers((88, 105, 90), 2)
        whole = smooth_noise(np.random.default_rng(2), fine, (40, 20), (1.0, 0.5))
        part = smooth_noise(np.random.default_rng(2), tuple(a[10:30] for a in fine), (40, 20), (1.0, 0.5))
        assert np.array_equal(part, whole[10:30, 10:30, 10:30])
        odd = smooth_noise(np.random.default_rng(2), tuple(a[1::3] for a in fine), (40, 20), (1.0, 0.5))
        assert np.array_equal(odd, whole[1::3, 1::3, 1::3])

    def test_octaves_add_up(self):
        axes = voxel_centers((29, 35, 30), 6)
        both = smooth_noise(np.random.default_rng(3), axes, (50, 25), (3.0, 0.0))
        coarse = smooth_noise(np.random.default_rng(3), axes, (50,), (3.0,))
        assert np.corrcoef(both.ravel(), coarse.ravel())[0, 1] > 0.98  # one more smoothing by a spline


class TestWarp:
    def test_is_a_deformation_without_folds(self):
        axes = voxel_centers((44, 52, 45), 4)
        for seed in range(8):
            points = warp(np.random.default_rng(seed), axes)
            determinant = jacobian(points, 4)
            assert determinant.min() > 0.15
            assert 0.7 < determinant.mean() < 1.4
            identity = np.stack(np.meshgrid(*axes, indexing="ij"))
            moved = np.linalg.norm(points - identity, axis=0)
            assert 1 < moved.mean() < 15


class TestSwell:
    def test_magnifies_at_the_center_and_dies_away(self):
        axes = [np.linspace(-60, 60, 41, dtype=np.float32)] * 3
        grid = np.stack(np.meshgrid(*axes, indexing="ij"))
        source = swell(grid, (0, 0, 0), 20, 0.5)
        determinant = jacobian(source, 3.0)
        assert np.isclose(determinant[20, 20, 20], 0.5**3, rtol=0.15)  # a difference over two voxels blurs the peak
        assert determinant.min() > 0
        moved = np.linalg.norm(grid - source, axis=0)
        assert moved[0, 20, 20] < 0.6 * moved.max()
        assert axes[0][20 + moved[20:, 20, 20].argmax()] == pytest.approx(0.7 * 20, abs=3)

    def test_tissue_moves_away(self):
        """The tissue at a point comes from nearer to the center."""
        source = swell(np.float32([[12.0], [0.0], [0.0]]), (2, 0, 0), 10, 0.5)
        assert 2 < source[0, 0] < 12
        want = 12 - 0.5 * 10 / (1 + 1) ** 1.5
        assert np.isclose(source[0, 0], want, atol=1e-4)

    def test_weight_zero_holds(self):
        points = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
        assert np.array_equal(swell(points, (0, 0, 0), 10, 0.5, np.zeros(5, np.float32)), points)
