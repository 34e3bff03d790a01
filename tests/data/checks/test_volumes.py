from dataclasses import replace

import numpy as np
import pytest

from medvol.data.checks.volumes import check_grids, check_header, check_values, distance
from medvol.data.reading import Header

GOOD = Header((8, 9, 10), 1, (1.0, 1.0, 2.0), np.diag([1.0, 1.0, 2.0, 1.0]), "int16", {})
PICTURE = Header((8, 9), 1, (np.nan, np.nan), None, "uint8", {})


def with_affine(matrix):
    affine = np.eye(4)
    affine[:3, :3] = matrix
    return replace(GOOD, affine=affine, spacing=tuple(np.linalg.norm(matrix, axis=0)))


def turned(degrees, axis=2):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.roll([[c, -s, 0], [s, c, 0], [0, 0, 1]], (axis - 2, axis - 2), (0, 1))


def found(problems):
    return [(problem.kind, problem.severity) for problem in problems]


@pytest.mark.parametrize("header", [GOOD, PICTURE, with_affine(turned(20)), with_affine(-turned(5)[:, [2, 0, 1]])])
def test_a_good_header(header):
    assert check_header(header, 1) == []


BAD = [
    (replace(GOOD, channels=2), "channels", "error"),
    (replace(PICTURE, channels=3), "dtype", "error"),
    (with_affine(np.full((3, 3), np.nan)), "affine", "error"),
    (with_affine([[1, 1, 0], [0, 0, 0], [0, 0, 1]]), "affine", "error"),
    (with_affine([[1, 0.05, 0], [0, 1, 0], [0, 0, 1]]), "affine", "warning"),
    (with_affine(turned(40)), "affine", "note"),
    (with_affine(np.diag([1, 1, 0])), "spacing", "error"),
    (replace(GOOD, spacing=(1.0, -1.0, 1.0)), "spacing", "error"),
    (with_affine(np.diag([1, 1, 25])), "spacing", "warning"),
    (with_affine(np.diag([0.1, 0.1, 2.5])), "spacing", "warning"),
    (replace(GOOD, tags={"uneven": "slices lie 3 to 6 mm apart"}), "uneven-slices", "warning"),
    (replace(GOOD, tags={"tilted": "by 9 degrees"}), "affine", "warning"),
    (replace(GOOD, tags={"disagreement": "sform and pixdim"}), "affine", "warning"),
]


@pytest.mark.parametrize(("header", "kind", "severity"), BAD)
def test_a_bad_header(header, kind, severity):
    assert found(check_header(header, 1)) == [(kind, severity)]


def test_a_color_picture_with_three_modalities_is_fine():
    assert check_header(replace(PICTURE, channels=3), 3) == []


def test_any_number_of_channels_where_the_modalities_are_unknown():
    assert check_header(replace(GOOD, channels=5), 0) == []


def test_values():
    values = np.arange(720, dtype=np.float32).reshape(8, 9, 10)
    assert check_values(values, GOOD) == []
    assert check_values(values[..., 0], PICTURE) == []
    assert check_values(values > 5, GOOD) == []
    broken = values.copy()
    broken[0, 0, :3] = np.nan, np.nan, np.inf
    (problem,) = check_values(broken, GOOD)
    assert (problem.kind, problem.found) == ("not-finite", "2 NaN and 1 infinite of 720 voxels")
    assert found(check_values(np.full((8, 9, 10), 3), GOOD)) == [("constant", "error")]
    assert found(check_values(values.astype(complex), GOOD)) == [("dtype", "error")]


def test_one_constant_channel_is_named():
    values = np.random.default_rng(0).normal(size=(8, 9, 10, 3))
    values[..., 1] = 4
    (problem,) = check_values(values, replace(GOOD, channels=3))
    assert problem.found == "4.0 everywhere in channel 1"
    # A plane that happens to be constant is no channel.
    values = values[..., 0]
    values[..., 1] = 4
    assert check_values(values, GOOD) == []


def moved(millimeters):
    affine = GOOD.affine.copy()
    affine[0, 3] += millimeters
    return replace(GOOD, affine=affine)


@pytest.mark.parametrize(("other", "severity"), [(moved(0.5), "error"), (moved(1e-5), "warning"), (moved(0), None)])
def test_grids_of_one_case(other, severity):
    expected = [] if severity is None else [("grid", severity)]
    assert found(check_grids([("t1", GOOD), ("t2", other)])) == expected


def test_distance_is_that_of_the_farthest_corner_in_voxels():
    affine = GOOD.affine.copy()
    affine[2, 2] = 2.1
    assert distance(GOOD, replace(GOOD, affine=affine)) == pytest.approx(0.1 * 9 / 1.0)
    assert distance(PICTURE, GOOD) == 0
