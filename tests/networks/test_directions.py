import itertools
import math

import numpy as np
import pytest
import torch

from medvol.networks.directions import first_steps, overlapping, prediction_groups

GRIDS = [(2, 2, 2), (3, 4, 5), (4, 4, 1), (4, 4), (1, 3, 1), (5,)]


def pairs_of(grid, steps):
    parts = zip(*(group.pairs() for group in prediction_groups(grid, steps)), strict=True)
    return [torch.cat(part).tolist() for part in parts]


@pytest.mark.parametrize(("grid", "first"), [*((grid, 1) for grid in GRIDS), *((grid, 2) for grid in GRIDS[1:])])
def test_every_legal_prediction_is_there_once(grid, first):
    expected = []
    for place in itertools.product(*map(range, grid)):
        for axis, sign in itertools.product(range(len(grid)), (1, -1)):
            for step in range(first, grid[axis]):
                target = list(place)
                target[axis] += sign * step
                if 0 <= target[axis] < grid[axis] and grid[axis] > 1:
                    expected.append((np.ravel_multi_index(place, grid), np.ravel_multi_index(target, grid), step))
    found = list(zip(*pairs_of(grid, (first,) * len(grid)), strict=True))
    assert sorted(found) == sorted(expected)


def test_the_order_of_a_direction_is_the_grid_seen_along_it():
    (group,) = prediction_groups((3, 3), (1, 1))
    raster = torch.arange(9).reshape(3, 3)
    assert torch.equal(group.order, torch.stack([raster, raster.flip(0), raster.T, raster.T.flip(0)]))


def test_axes_of_one_patch_vanish():
    for thin, flat in (((4, 3, 1), (4, 3)), ((4, 1, 3), (4, 3)), ((1, 4, 3), (4, 3))):
        a, b = prediction_groups(thin, (1,) * 3), prediction_groups(flat, (1,) * 2)
        assert all(torch.equal(x.order, y.order) for x, y in zip(a, b, strict=True))


def test_cubes_are_one_call_and_other_grids_one_for_each_shape():
    assert [tuple(g.order.shape) for g in prediction_groups((4, 4, 4), (1, 1, 1))] == [(6, 4, 4, 4)]
    assert [tuple(g.order.shape) for g in prediction_groups((4, 4, 4), (1, 2, 1))] == [(4, 4, 4, 4), (2, 4, 4, 4)]
    assert len(prediction_groups((3, 4, 5), (1, 1, 1))) == 3


@pytest.mark.parametrize(("patch", "stride"), [(4, 4), (4, 3), (4, 2), (4, 1), (5, 2)])
def test_context_and_target_share_no_voxel(patch, stride):
    """Acceptance test 8, by index sets: everything up to the source's layer against the target."""
    grid = (2 + math.ceil(patch / stride),) * 2
    steps = first_steps(grid, (patch,) * 2, (stride,) * 2, None)
    assert steps == (math.ceil(patch / stride),) * 2
    extent = (grid[0] - 1) * stride + patch
    voxels = np.arange(extent**2).reshape(extent, extent)

    def box(index):
        i, j = np.unravel_index(index, grid)
        return set(voxels[i * stride : i * stride + patch, j * stride : j * stride + patch].ravel())

    for source, target, _ in zip(*pairs_of(grid, steps), strict=True):
        (axis,) = np.flatnonzero(np.subtract(np.unravel_index(source, grid), np.unravel_index(target, grid)))
        places = np.indices(grid).reshape(2, -1).T
        at, goal = places[source][axis], places[target][axis]
        read = [q for q, place in enumerate(places) if (place[axis] <= at if at < goal else place[axis] >= at)]
        assert box(target).isdisjoint(set().union(*map(box, read)))
    if steps[0] > 1:  # one step less would share voxels
        assert not box(0).isdisjoint(box((steps[0] - 1) * grid[1]))
        with pytest.raises(
            ValueError, match=rf"axis 0: expected min_step of at least {steps[0]} .* found {steps[0] - 1}"
        ):
            first_steps(grid, (patch,) * 2, (stride,) * 2, steps[0] - 1)


@pytest.mark.parametrize(("patch", "stride"), [((4, 4), (2, 3)), ((4, 1), (4, 1)), ((5, 3), (1, 2))])
def test_overlapping_equals_comparing_boxes(patch, stride):
    grid = (5, 4)
    places = np.indices(grid).reshape(2, -1).T * stride
    table = overlapping(grid, patch, stride)
    for p, q in itertools.product(range(20), repeat=2):
        assert bool(table[p, q]) == bool((np.abs(places[p] - places[q]) < patch).all())
    assert torch.equal(overlapping(grid, None, None), torch.eye(20, dtype=torch.bool))


def test_steps():
    assert first_steps((4, 4), None, None, None) == (1, 1)
    assert first_steps((4, 4), None, None, 2) == (2, 2)
    assert first_steps((5, 5, 1), (32, 32, 1), (16, 32, 1), None) == (2, 1, 1)
    with pytest.raises(ValueError, match=r"axis 1: expected a grid of more than 2 patches.*found 2; use a finer grid"):
        first_steps((5, 2), (32, 32), (16, 16), None)
    with pytest.raises(ValueError, match=r"min_step with 2 numbers, one per axis of the grid, found \[1\]"):
        first_steps((5, 5), None, None, (1,))
    with pytest.raises(ValueError, match="axis 0: expected min_step of at least 1"):
        first_steps((5, 5), None, None, 0)
    with pytest.raises(ValueError, match=r"more than one patch on some axis, found \(1, 1, 1\)"):
        prediction_groups((1, 1, 1), (1, 1, 1))
