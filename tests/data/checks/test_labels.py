from dataclasses import replace

import numpy as np
import pytest

from medvol.data.checks.labels import check_label
from medvol.data.reading import Header

HEADER = Header((4, 4, 4), 1, (1.0, 1.0, 1.0), np.eye(4), "uint8", {})
MAP = {"background": 0, "tumor": 1, "edema": 4}


def label(dtype=np.uint8, **values):
    array = np.zeros((4, 4, 4), dtype)
    array[1, 1] = [0, 1, 4, 4]
    for place, value in values.items():
        array[0, 0, int(place[1:])] = value
    return array


def found(problems):
    return [(problem.kind, problem.severity) for problem in problems]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, np.int64])
def test_a_good_label_of_any_type(dtype):
    assert check_label(label(dtype), HEADER, HEADER, MAP) == []
    assert check_label(label(dtype), HEADER, None, MAP) == []


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (label(v0=9, v1=9), "9 (2 voxels)"),
        (label(np.int16, v0=-1), "-1 (1 voxel)"),
        (label(np.float32, v0=0.5), "0.5 (1 voxel)"),
        (label(np.int32, v0=70000), "70000 (1 voxel)"),
    ],
)
def test_values_that_the_map_does_not_name(values, text):
    (problem,) = check_label(values, HEADER, HEADER, MAP)
    assert (problem.kind, problem.severity, problem.found) == ("label-values", "error", text)


def test_without_a_map_only_fractions_are_wrong():
    assert check_label(label(v0=9), HEADER, HEADER, None) == []
    assert found(check_label(label(np.float32, v0=0.5), HEADER, HEADER, None)) == [("label-values", "error")]


def test_many_values_are_cut_short():
    values = np.arange(64).reshape(4, 4, 4)
    assert check_label(values, HEADER, HEADER, MAP)[0].found.endswith("and 53 more values")


def test_shape_grid_channels_and_emptiness():
    image = replace(HEADER, shape=(4, 4, 5))
    assert found(check_label(label(), HEADER, image, MAP)) == [("label-shape", "error")]
    affine = np.eye(4)
    affine[0, 3] = 2
    assert found(check_label(label(), HEADER, replace(HEADER, affine=affine), MAP)) == [("label-grid", "warning")]
    affine[0, 3] = 1e-4
    assert check_label(label(), HEADER, replace(HEADER, affine=affine), MAP) == []
    two = np.stack([label(), label()], -1)
    assert found(check_label(two, replace(HEADER, channels=2), HEADER, MAP)) == [("label-shape", "error")]
    assert found(check_label(label() * 0, HEADER, HEADER, MAP)) == [("label-empty", "warning")]


def test_voxels_that_are_no_numbers():
    broken = label(np.float32, v0=np.nan)
    assert found(check_label(broken, HEADER, HEADER, MAP)) == [("not-finite", "error")]
    assert found(check_label(label(np.complex64), HEADER, HEADER, MAP)) == [("dtype", "error")]
