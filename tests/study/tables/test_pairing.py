from __future__ import annotations

import numpy as np

from medvol.study.tables.pairing import pair
from medvol.study.tables.table import Cube


def cube(values: object, replicates: tuple[int, ...] = (0, 1), patients: tuple[str, ...] = ("a", "b", "c")) -> Cube:
    return Cube(np.asarray(values, dtype=np.float64), replicates, patients)


VALUES = np.arange(6.0).reshape(2, 3)


def test_rows_and_columns_are_matched_by_name() -> None:
    shuffled = cube(VALUES[::-1, ::-1], (1, 0), ("c", "b", "a"))
    got = pair(shuffled, cube(VALUES))
    assert (got.arm == got.against).all()
    assert (got.replicates, got.patients, got.problem) == ((0, 1), ("a", "b", "c"), "")


def test_only_replicates_of_both_count() -> None:
    got = pair(cube(VALUES, (1, 2)), cube(VALUES, (0, 1)))
    assert got.replicates == (1,)
    assert got.arm.tolist() == [[0.0, 1.0, 2.0]]
    assert got.against.tolist() == [[3.0, 4.0, 5.0]]


def test_no_replicate_in_common() -> None:
    none = Cube(np.zeros((0, 0)), (), ())
    for other in (none, cube(VALUES, (5, 6))):
        got = pair(other, cube(VALUES))
        assert got.problem == "no replicate is finished in both arms"
        assert got.arm.shape == (0, 0)
    assert pair(cube(VALUES), none).problem


def test_other_patients_are_named() -> None:
    got = pair(cube(VALUES, patients=("a", "b", "x")), cube(VALUES))
    assert "other patients (2 are in one of them only: c, x)" in got.problem
    many = tuple(map(str, range(9)))
    assert ", ..." in pair(cube(np.zeros((2, 9)), patients=many), cube(VALUES)).problem


def test_gaps_are_counted() -> None:
    gap = VALUES.copy()
    gap[1, 2] = np.nan
    assert pair(cube(gap), cube(VALUES)).problem.startswith("1 scores of these patients are missing")
    assert pair(cube(VALUES), cube(gap)).problem
