from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from medvol.study.planning.entries import count, entry_name, known_object, number, objects, refuse, text, unique, whole


def test_a_refusal_has_three_parts() -> None:
    with pytest.raises(ValueError, match=r"^margin must be a number above 0; found -1; correct it$"):
        refuse("margin", "a number above 0", -1, "correct it")


@pytest.mark.parametrize(
    ("take", "wrong"),
    [
        (text, ["", "  ", 3, None, ["dice"]]),
        (entry_name, ["", "a b", "../up", ".hidden", "-x", "dot.", "a/b", 3, "a\n", None]),
        (number, [True, "1", None, float("nan"), float("inf"), [1]]),
        (whole, [True, 1.0, "1", -1, None]),
        (count, [0, -4, True, 1.5, "All", "", None]),
    ],
)
def test_what_is_refused(take: Callable[[Any, str], Any], wrong: list[Any]) -> None:
    for value in wrong:
        with pytest.raises(ValueError, match=r"^here must be .+; found .+; .+"):
            take(value, "here")


def test_what_is_taken() -> None:
    assert text("", "x", empty=True) == ""
    assert [entry_name(name, "x") for name in ("a", "scratch-x3", "größe_2.b", "3d")] == [
        "a",
        "scratch-x3",
        "größe_2.b",
        "3d",
    ]
    assert [number(value, "x") for value in (-1, 0.5)] == [-1.0, 0.5]
    assert [count(value, "x") for value in (1, "all")] == [1, "all"]
    assert whole(5, "x", 1, 5) == 5


def test_bounds() -> None:
    with pytest.raises(ValueError, match="a number above 0; found 0;"):
        number(0, "margin", above=0)
    with pytest.raises(ValueError, match="a whole number from 1 to 5; found 6;"):
        whole(6, "severity", 1, 5)
    with pytest.raises(ValueError, match="a list of at least 1 entries"):
        objects([], "counts", list, 1)


def test_a_name_fits_into_the_names_of_files_twice() -> None:
    assert entry_name("a" * 64, "x") == "a" * 64
    for name in ("a" * 65, "ü" * 33):
        with pytest.raises(ValueError, match=r"at most 64 letters .*; found '.{20}\.\.\.' with 6[56]; choose"):
            entry_name(name, "x")


def test_keys_of_an_object() -> None:
    assert known_object({"a": 1}, "here", ["a", "b"], ["a"]) == {"a": 1}
    with pytest.raises(ValueError, match=r"here must be .*; found the key 'metrics'; did you mean 'metric'\?"):
        known_object({"metrics": "dice"}, "here", ["metric", "region"])
    with pytest.raises(ValueError, match=r"with the key 'metric'; found no key; add 'metric'"):
        known_object({}, "here", ["metric"], ["metric"])
    with pytest.raises(ValueError, match=r"an object with the keys a; found \[1\]"):
        known_object([1], "here", ["a"])


def test_twice_is_refused() -> None:
    unique([1, 2, {}], "seeds")
    with pytest.raises(ValueError, match="seeds must be different from one another; found 2 twice"):
        unique([1, 2, 2], "seeds")
