"""Tests of the diffusion that makes the edema."""

import numpy as np
import pytest

from medvol.data.edema import diffuse, find_edema


def make_core(shape=(11, 11, 11)) -> np.ndarray:
    core = np.zeros(shape, bool)
    core[tuple(n // 2 for n in shape)] = True
    return core


class TestDiffuse:
    def test_equals_a_brute_force_step(self):
        """Against loops over voxels and faces in float64."""
        rng = np.random.default_rng(0)
        mobility = rng.random((4, 3, 3)).astype(np.float32)
        core = make_core((4, 3, 3))
        want = core.astype(float)
        for _ in range(8):  # the number of steps at 6 mm
            before = want.copy()
            for a in np.ndindex(core.shape):
                for axis in range(3):
                    for side in (-1, 1):
                        b = tuple(i + side * (k == axis) for k, i in enumerate(a))
                        if all(0 <= i < n for i, n in zip(b, core.shape, strict=True)):
                            want[a] += min(mobility[a], mobility[b]) / 6 * (before[b] - before[a])
            want[core] = 1
        assert np.allclose(diffuse(core, mobility, 6.0), want, atol=1e-6)

    def test_barrier(self):
        mobility = np.ones((11, 11, 11), np.float32)
        mobility[7] = 0
        amount = diffuse(make_core(), mobility, 3.0)
        assert (amount[7:] == 0).all()
        assert amount[2].max() > 0


class TestFindEdema:
    def test_goes_where_it_is_easy(self):
        """A tract in slow tissue fills first."""
        mobility = np.full((21, 21, 21), 0.02, np.float32)
        mobility[8:13, 8:13, :] = 1
        core = np.zeros(mobility.shape, bool)
        core[8:13, 8:13, 8:13] = True
        edema = find_edema(core, np.ones_like(core), mobility, 200, 2.0)
        assert edema[8:13, 8:13, :].sum() > 0.8 * edema.sum()
        assert not (edema & core).any()

    @pytest.mark.parametrize("spacing", [1, 2])
    def test_wanted_volume(self, spacing):
        core = np.zeros((30, 31, 32), bool)
        core[12:18, 12:18, 12:18] = True
        edema = find_edema(core, np.ones_like(core), np.ones(core.shape, np.float32), 1500, spacing)
        assert edema.sum() == pytest.approx(1500, rel=0.12)

    def test_no_tissue_no_edema(self):
        core = make_core()
        assert not find_edema(core, np.zeros_like(core), np.zeros(core.shape, np.float32), 50, 3.0).any()
