import numpy as np
import pytest
from scipy.stats import kstest

from medvol.transforms.boxes import ViewBoxes, ViewFrame, bounds, center_range, fit, overlap
from medvol.transforms.drawing import draw_boxes, moved_toward


def make_frame(shape=(50, 50, 50), size=(20, 20, 20), spacing=(1.0, 1.0, 1.0), plane=(0, 1)):
    return ViewFrame(np.zeros(3, int), np.array(shape) - 1, np.array(spacing), np.array(size), plane)


def random(seed=0):
    return np.random.RandomState(seed)


def test_scale_is_linear_and_so_volume_its_cube():
    """Table of the page: area a in the plane is volume a^(3/2)."""
    boxes = draw_boxes(random(), make_frame(), 4000, scale=(0.3, 0.9))
    linear = boxes.extent[:, 0] / 50
    assert kstest(linear, "uniform", (0.3, 0.6)).pvalue > 0.001
    assert np.allclose(boxes.extent.prod(axis=1) / 50**3, linear**3)
    assert np.allclose(boxes.extent[:, :2].prod(axis=1) / 50**2, linear**2)
    slices = draw_boxes(random(), make_frame((50, 50, 1), (20, 20, 1)), 10, scale=(0.447, 0.447))
    assert np.allclose(slices.extent.prod(axis=1) / 50**2, 0.2, atol=1e-3)


def test_an_axis_of_two_voxels_is_scaled_and_one_of_one_voxel_is_not():
    flat, slices = (make_frame((50, 40, n), (20, 16, m), plane=(0, 2)) for n, m in ((5, 2), (1, 1)))
    assert draw_boxes(random(), flat, 2, scale=(0.8, 0.8)).extent.tolist() == [[40.0, 32.0, 4.0]] * 2
    boxes = draw_boxes(random(), slices, 2, scale=(0.8, 0.8), rotate=30.0, quarter_turns=True)
    assert boxes.extent.tolist() == [[40.0, 32.0, 1.0]] * 2
    assert boxes.heading.tolist() == [[1.0, 0.0]] * 2  # nothing is turned out of the slice


def test_stretching_keeps_the_volume_and_the_range():
    boxes = draw_boxes(random(), make_frame(), 2000, scale=(0.5, 0.5), ratio=4 / 3)
    stretch = boxes.extent / 25
    assert np.allclose(stretch.prod(axis=1), 1)
    assert stretch.max() < (4 / 3) ** (4 / 3)
    assert stretch.std(axis=0).min() > 0.05
    assert np.abs(np.log(stretch).mean(axis=0)).max() < 0.02


def test_places_are_uniform_and_inside():
    where = make_frame((60, 50, 40), (20, 20, 20))
    boxes = draw_boxes(random(), where, 4000, scale=(0.5, 0.5))
    for axis, size in enumerate((60, 50, 40)):
        low, high = 9.5, size - 10.5  # boxes of 20 voxels
        assert kstest(boxes.center[:, axis], "uniform", (low, high - low)).pvalue > 0.001
    assert np.abs(np.corrcoef(boxes.center.T) - np.eye(3)).max() < 0.06


def test_turns():
    boxes = draw_boxes(random(), make_frame(), 2000, scale=(0.3, 0.5), rotate=12.0)
    degrees = np.degrees(np.arctan2(boxes.heading[:, 1], boxes.heading[:, 0]))
    assert kstest(degrees, "uniform", (-12, 24)).pvalue > 0.001
    quarters = draw_boxes(random(), make_frame(), 2000, scale=(0.3, 0.5), quarter_turns=True).heading
    found, counts = np.unique(quarters, axis=0, return_counts=True)
    assert found.tolist() == [[-1, 0], [0, -1], [0, 1], [1, 0]]  # to the bit
    assert counts.min() > 400
    both = draw_boxes(random(), make_frame(), 2000, scale=(0.3, 0.5), rotate=5.0, quarter_turns=True).heading
    degrees = np.degrees(np.arctan2(both[:, 1], both[:, 0]))
    assert (np.abs((degrees + 45) % 90 - 45) <= 5 + 1e-9).all()


def test_no_random_number_where_there_is_no_choice():
    def used(where, **options):
        generator = random()
        draw_boxes(generator, where, 3, **options)
        position = generator.get_state()[2]
        return 0 if position == 624 else position // 2  # a double takes two words

    cube, plane, line = make_frame(), make_frame((50, 50, 1), (20, 20, 1)), make_frame((50, 1, 1), (20, 1, 1))
    still = {"scale": (1.0, 1.0)}
    assert [used(where, **still) for where in (cube, plane, line)] == [9, 6, 3]
    assert used(cube) == 12
    assert [used(where, ratio=1.3) for where in (cube, plane, line)] == [21, 15, 6]
    assert [used(where, rotate=5.0) for where in (cube, plane, line)] == [15, 12, 6]
    assert used(cube._replace(plane=(0, 2)), rotate=5.0) == 15
    assert used(plane._replace(plane=(0, 2)), rotate=5.0) == 9


@pytest.mark.parametrize("size", [(20, 20, 20), (40, 10, 20), (20, 20, 1)])
def test_a_box_comes_near_enough_and_stays_in_the_region(size):
    where = make_frame((50, 40, 50 if size[2] > 1 else 1), size)
    boxes = draw_boxes(random(), where, 100, (0.15, 1.0), 4 / 3, 180.0)
    inside = moved = 0
    for number in range(0, 100, 2):
        box, target = boxes.take(number), boxes.take(number + 1)
        for least in (0.25, 0.8):
            found = moved_toward(where, box, target, least)
            assert overlap(bounds(where, found), bounds(where, target)[0])[0] >= least
            assert np.array_equal(found.extent, fit(where, found.extent, found.heading))
            low, high = center_range(where, found.extent, found.heading)
            inside += bool(((found.center >= low - 1e-9) & (found.center <= high + 1e-9)).all())
            moved += not np.array_equal(found.center, target.center)
    assert inside == 100
    assert moved > 80  # it is no mere copy of the target


def test_a_box_goes_no_further_than_it_must():
    where = make_frame((90, 90, 90))
    upright = np.array([[1.0, 0.0]])
    box = ViewBoxes(np.array([[25.0, 30.0, 60.0]]), np.array([[12.0, 20.0, 30.0]]), upright)
    target = ViewBoxes(np.array([[55.0, 52.0, 41.0]]), np.array([[24.0, 18.0, 20.0]]), upright)
    around = bounds(where, target)[0]
    for least in (0.0, 0.1, 0.3, 0.6):
        found = moved_toward(where, box, target, least)
        for step in range(16):
            left = 0.75**step
            center = box.center * left + target.center * (1 - left)
            extent = np.exp(np.log(box.extent) * left + np.log(target.extent) * (1 - left))
            if overlap(bounds(where, ViewBoxes(center, extent, upright)), around)[0] >= least:
                break
        assert np.allclose(found.center, center)
        assert np.allclose(found.extent, extent)
    still = moved_toward(where, box, target, 0.0)  # no overlap is asked for
    assert np.array_equal(still.center, box.center)
