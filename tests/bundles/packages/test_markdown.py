from __future__ import annotations

import pytest

from medvol.bundles.packages.markdown import cell, code, table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a|b", r"a\|b"), ("two\nlines\r\nhere", "two lines here"), ("<b>", r"\<b\>"), ("`x`", r"\`x\`"),
        ("[here](javascript:x)", r"[here\](javascript:x)"), ("# title", r"\# title"), ("- item", r"\- item"),
        ("back\\slash|", r"back\\slash\|"), ("val_loss", "val_loss"), (None, "null"), (True, "true"), (3, "3"),
        (-0.5, "-0.5"), (1e-8, "1e-08"), ([1.0, 2], "[1.0, 2]"), ({"b": 1, "a|": "é"}, '{"a\\|": "é", "b": 1}'),
    ],
)  # fmt: skip
def test_a_cell_holds_its_place(value: object, text: str) -> None:
    assert cell(value) == text


def test_a_table_has_one_line_per_row() -> None:
    lines = table(("a", "b"), [("x|y", "1\n2"), ("z", [1, 2])]).splitlines()
    assert lines == ["| a | b |", "|---|---|", r"| x\|y | 1 2 |", "| z | [1, 2] |"]


def test_code_cannot_be_left() -> None:
    assert code("a.b`c\n|d") == "`a.bc|d`"
