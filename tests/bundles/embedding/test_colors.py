"""Classes, numbers and unknown values in colors."""

from __future__ import annotations

import numpy as np

from medvol.bundles.embedding.colors import MARKERS, OTHER, UNKNOWN, color_cases, is_number
from medvol.figures import COLORS


def test_the_seven_largest_classes_have_a_color_and_a_marker() -> None:
    values = [letter for k, letter in enumerate("abcdefghi") for _ in range(9 - k)] + [None]
    found = color_cases("site", values, len(values))
    assert [entry.text for entry in found.legend] == [*"abcdefg", "other (2 values)", "unknown"]
    assert [entry.count for entry in found.legend] == [9, 8, 7, 6, 5, 4, 3, 3, 1]
    assert [entry.color for entry in found.legend[:7]] == list(COLORS)
    assert found.colors[0] == COLORS[0]
    assert found.markers[-2:] == [OTHER, UNKNOWN]
    assert len({(MARKERS[e.marker], e.color) for e in found.legend}) == 9
    assert found.limits is None


def test_equal_counts_stand_by_name() -> None:
    assert [entry.text for entry in color_cases("x", ["b", "a"], 2).legend] == ["a", "b"]


def test_many_numbers_get_a_scale() -> None:
    values = [float(k) for k in range(9)] + [None]
    found = color_cases("age", values, 10)
    assert found.limits == (0.0, 8.0)
    assert found.colors[0] == "#440154"  # both ends of viridis
    assert found.colors[8] == "#fde725"
    assert found.texts[-2:] == ["8", "unknown"]
    assert [entry.text for entry in found.legend] == ["unknown"]


def test_few_numbers_and_truths_are_classes() -> None:
    assert [entry.text for entry in color_cases("n", [1.0, 2.0, 2.0], 3).legend] == ["2", "1"]
    assert color_cases("flag", [True, False] * 9, 18).limits is None


def test_numbers() -> None:
    assert is_number(range(8))
    assert is_number([*np.arange(8), None])
    assert is_number([*map(float, range(8)), 3])
    assert not is_number(range(7))
    assert not is_number([*range(9), True])
    assert not is_number([*range(9), np.True_])
    assert not is_number("abcdefghi")


def test_a_class_called_unknown_is_not_an_unknown_one() -> None:
    found = color_cases("site", ["unknown", None], 2)
    assert found.markers == [0, UNKNOWN]


def test_no_column_no_legend() -> None:
    found = color_cases(None, None, 3)
    assert (len(found.colors), found.legend, found.name) == (3, (), None)
