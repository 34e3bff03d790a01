import math

import numpy as np
import pytest

from medvol.transforms.viewing import check_options, filled_slices, numbers_per_axis, view_frame

RIGHT = {
    "views": 2,
    "scale": (0.3, 1.0),
    "ratio": 4 / 3,
    "rotate": 10.0,
    "plane_axes": (0, 1),
    "lateral_axis": 0,
    "min_iou": None,
    "min_foreground": 0.1,
}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("views", 0, "views must be at least 1; found 0"),
        ("scale", (0.0, 1.0), r"scale must be \(lowest, highest\) within \(0, 1\]; found \(0.0, 1.0\); it is linear"),
        ("scale", (0.5, 0.4), "scale must be"),
        ("scale", (0.5, 1.2), "scale must be"),
        ("scale", (0.5,), "scale must be"),
        ("scale", (0.5, math.nan), "scale must be"),
        ("ratio", 0.75, "ratio must be 1 or more; found 0.75; 1 keeps"),
        ("ratio", math.nan, "ratio must be 1 or more"),
        ("ratio", math.inf, "ratio must be 1 or more"),
        ("rotate", 181, "rotate must be between 0 and 180 degrees; found 181"),
        ("rotate", -1, "rotate must be between"),
        ("plane_axes", (0, 0), r"two different axes of 0, 1 and 2; found \(0, 0\)"),
        ("plane_axes", (0, 3), "two different axes"),
        ("plane_axes", (0, 1, 2), "two different axes"),
        ("plane_axes", 0, "two different axes"),
        ("scale", 0.5, "scale must be"),
        ("lateral_axis", -1, "lateral_axis must be 0, 1, 2 or None; found -1; it is the spatial axis"),
        ("min_iou", 1.0, r"min_iou must be in \[0, 1\); found 1.0"),
        ("min_foreground", 1.5, "min_foreground must be between 0 and 1; found 1.5"),
    ],
)
def test_options_out_of_range_are_refused(option, value, message):
    check_options(**RIGHT)
    with pytest.raises(ValueError, match=message):
        check_options(**{**RIGHT, option: value})


@pytest.mark.parametrize(
    "limits",
    [
        {"views": 1, "scale": (1.0, 1.0), "ratio": 1.0, "rotate": 0.0, "min_iou": 0.0, "min_foreground": 0.0},
        {"rotate": 180.0, "min_foreground": 1.0, "plane_axes": (2, 0), "lateral_axis": None},
        {"rotate": 0.5, "min_iou": 0.5, "lateral_axis": 1},
        {"lateral_axis": 2},
    ],
)
def test_options_at_the_ends_of_their_ranges_are_taken(limits):
    check_options(**{**RIGHT, **limits})


def test_numbers_per_axis():
    assert numbers_per_axis("flip", 0.5, 2, 0, 1, rest=0).tolist() == [0.5, 0.5, 0]
    assert numbers_per_axis("flip", (0.1, 0.2, 0.3), 3, 0, 1, rest=0).tolist() == [0.1, 0.2, 0.3]
    assert numbers_per_axis("flip", (0, 1), 2, 0, 1, rest=0).tolist() == [0, 1, 0]
    with pytest.raises(
        ValueError, match=r"spacing must have one number for each of the 3 spatial axes; found \[1.0, 2"
    ):
        numbers_per_axis("spacing", [1, 2], 3, 0, math.inf, rest=1)
    for wrong in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"spacing must be a positive number on every axis; found .* on axis 1"):
            numbers_per_axis("spacing", [1, wrong], 2, 0, math.inf, rest=1)
    with pytest.raises(ValueError, match=r"flip must be between 0 and 1 on every axis; found 1.5 on axis 0; correct"):
        numbers_per_axis("flip", 1.5, 2, 0, 1, rest=0)


def region(shape=(20, 20, 20), size=(8, 8, 8), spacing=(1.0, 1.0, 1.0), smallest=0.5, **options):
    return view_frame(shape, size, np.array(spacing), (0, 1), True, smallest, **options)


def test_the_region_is_the_volume_or_the_box_of_the_mask():
    assert region().low.tolist() == [0, 0, 0]
    assert region().high.tolist() == [19, 19, 19]
    assert region().plane == (0, 1)
    mask = np.zeros((20, 20, 20), bool)
    mask[3, 5:12, 4] = mask[9, 8, 2:15] = mask[9, 8, 0] = True
    assert region(mask=mask, smallest=1.0).low.tolist() == [3, 5, 0]
    assert region(mask=mask, smallest=1.0).high.tolist() == [9, 11, 14]


def test_the_region_of_a_slice_is_that_of_its_own_foreground():
    mask = np.zeros((20, 20, 20), bool)
    mask[:, :, 10], mask[4:9, 6:12, 3], mask[0, 0, 4] = True, True, True  # neighbors of the slice do not count
    found = region(size=(8, 8, 1), mask=mask, places={2: 3})
    assert found.low.tolist() == [4, 6, 3]
    assert found.high.tolist() == [8, 11, 3]


def test_slices_with_enough_foreground():
    mask = np.zeros((10, 10, 6), bool)
    mask[:, :, 2:4], mask[0, 0, 5] = True, True
    assert filled_slices(mask, 2, 0.1).tolist() == [2, 3]
    assert filled_slices(mask, 2, 0.0).tolist() == [2, 3, 5]  # never an empty one
    mask[:, 5:, 2] = False
    assert filled_slices(mask, 2, 0.9).tolist() == [3]
    mask[:, 5:, 3] = False
    assert filled_slices(mask, 2, 0.9).tolist() == [2, 3]  # half a slice is all there is: the box shrinks too
    mask[9, 9, 0] = True
    assert filled_slices(mask, 2, 0.9).tolist() == [2]  # the first of the fullest, although it is too empty
    small = np.zeros((10, 10, 6), bool)
    small[5:9, 6:9, 1], small[5:8, 6:8, 3] = True, True  # 12 and 6 voxels in a box of 4 x 3
    assert filled_slices(small, 2, 0.5).tolist() == [1, 3]
    assert filled_slices(small, 2, 0.51).tolist() == [1]
    with pytest.raises(ValueError, match="must hold foreground; found none; drop this case"):
        filled_slices(np.zeros((2, 2, 2), bool), 2, 0.1)


def test_a_volume_too_thin_is_refused_by_the_name_of_its_axis():
    message = (
        r"axis 2: a view of 8 voxels must span at least 2 .* found 0.5 .* 1 voxels in the volume.* size 1 on axis 2"
    )
    with pytest.raises(ValueError, match=message):
        region(shape=(20, 20, 1))
    with pytest.raises(
        ValueError, match=r"axis 0: a view of 8 .* found 1.5 at the lowest scale, 0.3 \(there are 5 voxels"
    ):
        region(shape=(5, 20, 20), smallest=0.3)
    mask = np.zeros((20, 20, 20), bool)
    mask[:, 7] = True
    with pytest.raises(ValueError, match=r"axis 1: .* found 0.5 .* 1 voxels of foreground"):
        region(mask=mask)
    with pytest.raises(ValueError, match=r"axis 2: .* found 1.6"):  # 0.5 of 32 mm, in slices of 10 mm
        region(shape=(32, 32, 9), spacing=(1.0, 1.0, 10.0))
    with pytest.raises(ValueError, match=r"axis 1: a view of 2 .* found 1 at the lowest scale"):
        region(shape=(20, 2, 20), size=(20, 2, 20))
    with pytest.raises(ValueError, match="must hold foreground; found none"):
        region(mask=np.zeros((20, 20, 20), bool))


def test_two_voxels_are_enough_but_for_rounding():
    for spacing in (0.3, 0.7, 1.1):
        for voxels in range(3, 9):
            region((40, 40, 40), (voxels,) * 3, (spacing,) * 3, 2 / 40)
    with pytest.raises(ValueError, match=r"found 2 at the lowest scale"):
        region((40, 40, 40), smallest=2 / 40 - 1e-8)


def test_the_thinnest_axis_is_named_and_of_equally_thin_ones_that_which_limits_the_others():
    for shape, size, spacing, axis in (
        ((17, 19, 40), (8, 8, 8), (1.2, 1.0, 1.0), 0),  # 1.58 and 1.9 voxels, although axis 1 is the one that limits
        ((5, 7, 20), (8, 4, 8), (2.0, 1.0, 2.0), 0),
        ((7, 5, 20), (8, 4, 8), (2.0, 1.0, 2.0), 1),
    ):
        with pytest.raises(ValueError, match=rf"^axis {axis}: "):
            view_frame(shape, size, np.array(spacing), (0, 1), False, 0.1)


def test_turns_ask_for_nearly_equal_spacing_in_the_plane():
    region(spacing=(1.0, 1.2, 3.0))
    region(spacing=(2.0, 2.5, 3.0))  # a quarter more is the most
    region(spacing=(0.4, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"nearly equal spacing only; found 0.5 and 0.8 mm"):
        region(spacing=(0.5, 0.8, 3.0))
    with pytest.raises(ValueError, match="nearly equal spacing only"):
        region(size=(2, 8, 8), spacing=(1.0, 3.0, 1.0))
    with pytest.raises(ValueError, match="nearly equal spacing only; found 1 and 3 mm on axes 0 and 1; choose other"):
        region(spacing=(1.0, 3.0, 1.0))
    view_frame((20, 20, 20), (8, 8, 8), np.array([1.0, 3.0, 1.0]), (0, 1), False, 0.5)  # nothing turns
    view_frame((20, 20, 20), (8, 1, 8), np.array([1.0, 3.0, 1.0]), (0, 1), True, 0.5)  # nothing can
