"""The record of a pretext transform: what is read, and what is refused in three parts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from medvol.bundles.previews.record import read_record

BOXES = [[[0, 0, 0], [4, 4, 4]], [[4, 0, 0], [8, 4, 4]]]


def test_absent_entries_get_a_value() -> None:
    record = read_record({}, 3)
    assert record.boxes.shape == (0, 2, 3)
    assert (record.crop, record.grid, record.answer, record.names, record.roles) == (None, (), "", (), ())
    assert record.keys == ("image",)


def test_everything_is_read() -> None:
    entries = {"boxes": BOXES, "crop": [[0, 0, 0], [8, 8, 8]], "grid": [2, 1, 1], "class": ["cut", "flip"]}
    more = {"names": ["a", "b"], "roles": ["center", "neighbor"], "permutation": [1, 0], "keys": ["image", "local"]}
    record = read_record({**entries, **more, "something_else": 3}, 3)
    assert record.boxes.tolist() == BOXES
    assert record.crop.tolist() == [[0, 0, 0], [8, 8, 8]]
    assert (record.grid, record.answer, record.permutation) == ((2, 1, 1), "cut, flip", (1, 0))
    assert (record.names, record.roles, record.keys) == (("a", "b"), ("center", "neighbor"), ("image", "local"))


@pytest.mark.parametrize(
    ("record", "axes", "words"),
    [
        ([], 3, "must be a dict; found list"),
        ({"boxes": BOXES}, 2, "'boxes' .* 2 whole numbers each, stop above start; found"),
        ({"boxes": [[[0, 0], [0, 4]]]}, 2, "stop above start"),
        ({"boxes": [[[0, 0.5], [3, 4]]]}, 2, "whole numbers"),
        ({"boxes": [[[0, 0], [3]]]}, 2, "'boxes'"),
        ({"boxes": 3}, 2, "'boxes' .* must be a list; found 3"),
        ({"crop": [[0, 0, 0]]}, 3, "'crop'"),
        ({"boxes": BOXES, "names": ["a"]}, 3, "'names' .* each of the 2 boxes; found 1"),
        ({"boxes": BOXES, "roles": "ab"}, 3, "'roles' .* must be a list; found 'ab'"),
        ({"permutation": [0, 2]}, 3, r"from 0 to 1 once; found \[0, 2\]"),
        ({"boxes": BOXES, "permutation": [0]}, 3, "'permutation' .* each of the 2 boxes; found 1"),
    ],
)
def test_wrong_records_are_refused(record, axes, words) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        read_record(record, axes)
    assert str(raised.value).endswith("correct the transform that leaves it (see docs/previews.md)")


def test_the_examples_of_the_documentation_are_records() -> None:
    page = (Path(__file__).parents[3] / "docs" / "previews.md").read_text(encoding="utf-8")
    examples = re.findall(r"\| `(\{.*?\})` \|", page)
    assert len(examples) == 9
    for example in examples:
        read_record(json.loads(example), 3)
