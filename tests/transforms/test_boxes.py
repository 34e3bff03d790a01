import itertools

import numpy as np
import pytest

from medvol.transforms.boxes import (
    ViewBoxes,
    ViewFrame,
    bounds,
    center_range,
    fit,
    largest_extent,
    overlap,
    samples_per_voxel,
    whole_voxels,
)


def frame(low=(2, 3, 0), high=(40, 30, 20), spacing=(1.0, 1.1, 2.5), size=(12, 16, 20), plane=(0, 1)):
    return ViewFrame(np.array(low), np.array(high), np.array(spacing), np.array(size), plane)


def headings(degrees):
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


def sample_places(frame, center, extent, heading):
    """Every sample of a box, ``(number, 3)`` voxels, from the definition."""
    parts = samples_per_voxel(frame, extent[None])[0]
    lines = [((np.arange(n * m) + 0.5) / (n * m) - 0.5) * e for n, m, e in zip(frame.size, parts, extent, strict=True)]
    points = np.array(list(itertools.product(*[line[[0, -1]] for line in lines])))  # the outermost ones
    first, second = frame.plane
    turned = points.copy()
    turned[:, first] = heading[0] * points[:, first] - heading[1] * points[:, second]
    turned[:, second] = heading[1] * points[:, first] + heading[0] * points[:, second]
    return center + turned / frame.spacing


@pytest.mark.parametrize("plane", [(0, 1), (1, 0), (0, 2), (2, 1)])
def test_no_sample_of_a_fitted_box_lies_outside_the_region(plane):
    random = np.random.RandomState(0)
    where = frame(plane=plane)
    extent = random.uniform(3, 60, size=(200, 3))
    heading = headings(random.uniform(-180, 180, size=200))
    fitted = fit(where, extent, heading)
    assert np.allclose(fitted / fitted[:, :1], extent / extent[:, :1])  # the proportions stay
    assert (fitted <= extent).all()
    for center in center_range(where, fitted, heading):
        for box in zip(center, fitted, heading, strict=True):
            places = sample_places(where, *box)
            assert (places >= where.low - 1e-9).all()
            assert (places <= where.high + 1e-9).all()
    freedom = np.diff(center_range(where, fitted, heading), axis=0).min(axis=-1)[0]
    shrunk = (fitted < extent).any(axis=1)
    assert shrunk.sum() > 20
    assert freedom[shrunk].max() < 1.5  # no smaller than they must be, to a voxel or so
    assert freedom[~shrunk].max() > 5


def test_a_box_as_large_as_the_volume_fits_to_the_bit():
    for size in (5, 7, 13, 80):
        where = frame((0, 0, 0), (size - 1,) * 3, (1.0,) * 3, (size,) * 3)
        extent = np.full((1, 3), float(size))
        assert np.array_equal(fit(where, extent, headings([0.0])), extent)
        low, high = center_range(where, extent, headings([0.0]))
        assert np.array_equal(low, np.full((1, 3), (size - 1) / 2))
        assert np.array_equal(low, high)


def test_a_box_that_fits_but_for_rounding_stays_to_the_bit():
    for size in range(2, 90):
        where = frame((4, 0, 2), (size + 3, size - 1, size + 1), (0.7, 0.7, 1.1), (size,) * 3)
        extent = size * where.spacing[None]
        assert np.array_equal(fit(where, extent, headings([0.0])), extent)


def test_one_voxel_thick_views_keep_their_thickness_and_ask_for_no_room_across():
    for plane, spacing in (((0, 1), (1.0, 1.1, 2.5)), ((0, 2), (1.0, 1.1, 2.5)), ((2, 1), (3.0, 1.1, 0.4))):
        where = frame((2, 3, 7), (40, 30, 7), spacing, (12, 16, 1), plane)
        extent = np.array([[99.0, 60.0, spacing[2]], [9.0, 8.0, spacing[2]]])
        fitted = fit(where, extent, headings([0.0, 0.0]))
        room = np.array([38 * spacing[0], 27 * spacing[1]])
        parts = where.size * samples_per_voxel(where, extent)
        factor = (room / (extent[0] * (parts - 1) / parts)[0, :2]).min()
        assert np.allclose(fitted[0], [99 * factor, 60 * factor, spacing[2]])
        assert np.array_equal(fitted[1], extent[1])


def test_views_of_two_voxels_are_shrunk_too():
    where = frame((0, 0, 0), (39, 39, 3), (1.0, 1.0, 1.0), (20, 20, 2))
    assert largest_extent(where).tolist() == [40.0, 40.0, 4.0]
    fitted = fit(where, np.array([[20.0, 20.0, 8.0]]), headings([0.0]))
    assert np.allclose(fitted, np.array([[20.0, 20.0, 8.0]]) * 3 / 7)  # 8 samples, 7 steps on 3 voxels


def test_the_largest_extent_has_the_proportions_of_the_view_and_touches_the_region():
    where = frame(low=(0, 0, 0), high=(39, 27, 20), spacing=(1.0, 1.0, 2.5), size=(10, 10, 20))
    extent = largest_extent(where)
    assert extent.tolist() == [26.25, 26.25, 52.5]  # 21 voxels of 2.5 mm for 20 of the view
    step = np.array([5, 9, 2])
    moved = where._replace(low=where.low + step, high=where.high + step)
    assert np.array_equal(largest_extent(moved), extent)
    one = where._replace(size=np.array([10, 10, 1]))
    assert largest_extent(one).tolist() == [28.0, 28.0, 2.5]
    assert largest_extent(one._replace(high=np.array([39, 27, 0]))).tolist() == [28.0, 28.0, 2.5]  # a slice


def test_samples_are_never_more_than_a_voxel_apart():
    where = frame(spacing=(1.0, 0.5, 2.0), size=(10, 10, 10))
    extent = np.random.RandomState(0).uniform(1, 100, size=(50, 3))
    step = extent / 10 / samples_per_voxel(where, extent)
    assert samples_per_voxel(where, extent).dtype == int
    assert (step <= np.array([0.5, 0.5, 2.0]) * (1 + 1e-6)).all()
    assert (samples_per_voxel(where, extent) - 1 < extent / 10 / [0.5, 0.5, 2.0]).all()  # and no more than needed


def test_bounds_hold_every_corner_and_no_more():
    random = np.random.RandomState(1)
    where = frame(plane=(2, 0))
    boxes = ViewBoxes(
        random.uniform(5, 20, (30, 3)), random.uniform(2, 9, (30, 3)), headings(random.uniform(0, 360, 30))
    )
    for center, extent, heading, (start, stop) in zip(*boxes, bounds(where, boxes), strict=True):
        signs = np.array(list(itertools.product([-0.5, 0.5], repeat=3))) * extent
        turned = signs.copy()
        turned[:, 2] = heading[0] * signs[:, 2] - heading[1] * signs[:, 0]
        turned[:, 0] = heading[1] * signs[:, 2] + heading[0] * signs[:, 0]
        corners = center + 0.5 + turned / where.spacing
        assert np.allclose(corners.min(axis=0), start)
        assert np.allclose(corners.max(axis=0), stop)


def test_overlap_counts_voxels():
    random = np.random.RandomState(2)
    starts = random.randint(0, 8, size=(40, 3))
    boxes = np.stack([starts, starts + random.randint(1, 8, size=(40, 3))], axis=1)

    def filled(box):
        volume = np.zeros((16, 16, 16), bool)
        volume[tuple(slice(a, b) for a, b in box.T)] = True
        return volume

    found = overlap(boxes, boxes[0])
    for box, share in zip(boxes, found, strict=True):
        one, other = filled(box), filled(boxes[0])
        assert share == pytest.approx((one & other).sum() / (one | other).sum())
    assert found[0] == 1
    assert (found == 0).any()


def test_whole_voxels_are_those_touched_within_the_region():
    where = frame()
    around = np.array([[[1.5, 4.0, 0.2], [9.2, 8.0, 30.0]]])
    found = whole_voxels(where, around)
    assert found.tolist() == [[[2, 4, 0], [10, 8, 21]]]
    assert found.dtype == int


def test_one_box_of_many():
    boxes = ViewBoxes(np.arange(12).reshape(4, 3), np.arange(12).reshape(4, 3) * 2, np.arange(8).reshape(4, 2))
    assert [part.tolist() for part in boxes.take(2)] == [[[6, 7, 8]], [[12, 14, 16]], [[4, 5]]]
