"""Tests of the glioma in an idealized brain, where the right answer is known."""

import numpy as np
import pytest
from scipy import ndimage

from medvol.data.anatomy import MIDLINE, voxel_centers
from medvol.data.tumor import EDEMA, ENHANCING, NECROSIS, Site, Tumor, draw_tumor, grow, push, reach

CENTER = (124.0, 105.0, 90.0)


def make_tumor(**changes) -> Tumor:
    radius = changes.pop("radius", 15.0)
    settings = {"center": np.float32(CENTER), "shape": np.eye(3) / radius, "pressure": 0.5, "rim": 4.0, "spread": 2.0}
    return Tumor(radius=radius, **(settings | changes))


def make_site(white: float = 1.0, shift: float = 0.0, spacing: int = 4) -> Site:
    """Return a box of pure white matter (`white`, the rest is CSF), deep everywhere."""
    axes = voxel_centers((44, 52, 45), spacing)
    points = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    full = np.full(points.shape[1:], 1, np.float32)
    return Site(axes, points, 50 * full, 0 * full, white * full, points[0] + np.float32(shift))


class TestDraw:
    def test_range_and_orientation(self):
        for seed in range(20):
            tumor = draw_tumor(np.random.default_rng(seed))
            assert 5 < tumor.radius < 30
            assert 0 < tumor.pressure < 1  # swell folds at 1
            # An ellipsoid with the volume of the ball.
            assert np.isclose(abs(np.linalg.det(tumor.shape)), tumor.radius**-3)
        assert {np.isinf(draw_tumor(np.random.default_rng(seed)).rim) for seed in range(40)} == {True, False}


class TestGrow:
    def test_volumes(self):
        """With room on every side, core and edema have the drawn volumes."""
        tumor = make_tumor()
        label = grow(np.random.default_rng(0), tumor, make_site())
        ball = 4 / 3 * np.pi * 15**3 / 4**3
        core = np.isin(label, (NECROSIS, ENHANCING)).sum()
        assert core == pytest.approx(ball, rel=0.15)
        assert (label == EDEMA).sum() == pytest.approx(2 * core, rel=0.2)
        assert (label == NECROSIS).any()

    def test_rim_is_closed_and_follows_its_thickness(self):
        def share(rim: float) -> float:
            label = grow(np.random.default_rng(1), make_tumor(rim=rim, radius=20.0), make_site())
            necrosis, core = label == NECROSIS, np.isin(label, (NECROSIS, ENHANCING))
            assert not (ndimage.binary_dilation(~core, ndimage.generate_binary_structure(3, 2)) & necrosis).any()
            return necrosis.sum() / core.sum()

        assert share(2.0) > share(5.0) > share(np.inf) == 0

    def test_falx_stops_the_core(self):
        """A tumor close to the midline stays on its side, and the side is where the tissue came from."""
        tumor = make_tumor(center=np.float32([MIDLINE + 6, 105, 90]), radius=20.0)
        for shift in (0.0, 6.0):
            site = make_site(shift=shift)
            core = np.isin(grow(np.random.default_rng(2), tumor, site), (NECROSIS, ENHANCING))
            over = core & (site.across < MIDLINE - 4)
            assert over.sum() < 0.04 * core.sum()  # a seventh of a free ball

    def test_fluid_stops_the_core(self):
        site = make_site()
        half = site.points[1] > 110
        site.white[half] = 0
        core = np.isin(grow(np.random.default_rng(3), make_tumor(), site), (NECROSIS, ENHANCING))
        assert (core & (site.points[1] > 118)).sum() < 0.02 * core.sum()
        assert not (grow(np.random.default_rng(3), make_tumor(), site) == EDEMA)[half].any()

    def test_outside_the_brain_nothing_grows(self):
        site = make_site()
        site.depth[site.points[1] > 110] = -1
        site.white[site.depth < 0] = 0
        label = grow(np.random.default_rng(3), make_tumor(), site)
        assert not label[site.depth < 0].any()


class TestPush:
    def test_bone_holds_and_depth_moves(self):
        tumor = make_tumor()
        points = np.float32(CENTER).reshape(3, 1) + np.float32([[12, 12], [0, 0], [0, 0]])
        moved = push(points, np.float32([0, 40]), tumor)
        assert np.array_equal(moved[:, 0], points[:, 0])
        assert moved[0, 1] < points[0, 1] - 1

    def test_midline_shift(self):
        """A large tumor draws midline tissue from its own side, millimeters away: the midline is seen on the other."""
        line = np.float32([[MIDLINE], [105.0], [90.0]])
        big = make_tumor(radius=20.0, center=np.float32([MIDLINE + 25, 105, 90]))
        assert 2 < push(line, np.float32([60.0]), big)[0, 0] - MIDLINE < 15


def test_reach_holds_the_tumor():
    tumor, site = make_tumor(), make_site()
    box = reach(tumor, site.points)
    label = grow(np.random.default_rng(4), tumor, site)
    assert label[box].astype(bool).sum() == label.astype(bool).sum()
    assert label[box].size < label.size
