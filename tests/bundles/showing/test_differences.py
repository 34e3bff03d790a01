from __future__ import annotations

from typing import Any

import pytest

from medvol.bundles.showing.differences import ABSENT, differences
from medvol.bundles.showing.resolving import resolve_plain


def rows(one: dict, other: dict, follow: bool = False) -> list[tuple[str, Any, Any]]:
    return [tuple(row) for row in differences(one, other, resolve_plain(one), resolve_plain(other), follow)]


def flip(axis: int) -> dict:
    return {"_target_": "monai.transforms.RandFlipd", "spatial_axis": axis}


LOAD, NOISE, TYPE = ({"_target_": f"monai.transforms.{name}"} for name in ("LoadImaged", "RandNoised", "EnsureTyped"))


def chain(*transforms: Any) -> dict:
    return {"pre": {"_target_": "Compose", "transforms": list(transforms)}}


def test_equal_configs_have_no_rows() -> None:
    config = chain(LOAD, flip(0), "$x()")
    assert rows(config, config) == []


def test_a_changed_value_is_one_row_and_what_refers_to_it_none() -> None:
    one, other = ({"steps": n, "a": {"_target_": "A", "n": "@steps"}, "b": "$@steps + 1"} for n in (1, 2))
    assert rows(one, other) == [("steps", 1, 2)]
    assert [row[0] for row in rows(one, other, follow=True)] == ["steps", "a::n", "b"]


def test_what_is_written_differently_and_means_the_same_is_no_difference() -> None:
    assert rows({"n": 2, "a": "@n"}, {"n": 2, "a": "$1 + 1"}) == []
    assert rows({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}) == []


def test_true_is_not_one_and_null_is_not_absent() -> None:
    assert rows({"a": True, "b": None}, {"a": 1}) == [("a", True, 1), ("b", None, ABSENT)]


def test_an_inserted_transform_is_one_row() -> None:
    assert rows(chain(LOAD, TYPE), chain(LOAD, NOISE, TYPE)) == [("pre::transforms::RandNoised", ABSENT, NOISE)]
    assert rows(chain(LOAD, NOISE, TYPE), chain(LOAD, TYPE)) == [("pre::transforms::RandNoised", NOISE, ABSENT)]


def test_of_several_alike_the_one_that_is_missing_is_found() -> None:
    one, other = chain(LOAD, flip(0), flip(1), flip(2)), chain(LOAD, flip(0), flip(2))
    assert rows(one, other) == [("pre::transforms::RandFlipd(2)", flip(1), ABSENT)]


def test_an_argument_of_one_of_several() -> None:
    (row,) = rows(chain(flip(0), flip(1), flip(2)), chain(flip(0), flip(3), flip(2)))
    assert row == ("pre::transforms::RandFlipd(2)::spatial_axis", 1, 3)


def test_a_moved_transform_is_its_place() -> None:
    (row,) = rows(chain(LOAD, NOISE, TYPE), chain(NOISE, LOAD, TYPE))
    assert row[0].endswith("::(place)")
    assert {row[1], row[2]} == {0, 1}


def test_another_class_is_one_row_whatever_its_arguments() -> None:
    one, other = {"loss": {"_target_": "A", "t": 1}}, {"loss": {"_target_": "B", "u": 2}}
    assert rows(one, other) == [("loss", one["loss"], other["loss"])]


def test_expressions_come_and_go_and_numbers_are_one_value() -> None:
    assert rows({"run": ["$a()", "$b()"], "size": [1, 2]}, {"run": ["$b()"], "size": [1, 3]}) == [
        ("run::0", "$a()", ABSENT),
        ("size", [1, 2], [1, 3]),
    ]


@pytest.mark.parametrize("odd", [None, 1, "x", [], {}, [1], [None], {"_target_": 3}, [[LOAD]], [{"_target_": None}]])
def test_any_two_values_can_be_compared(odd: object) -> None:
    assert rows({"a": odd}, {"a": odd}) == []
    assert [row[0].split("::")[0] for row in rows({"a": odd}, {"a": [LOAD]})][:1] == ["a"]
