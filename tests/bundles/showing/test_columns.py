from __future__ import annotations

import pytest

from medvol.bundles.showing.columns import line_width, shorten, table


def test_a_table_fits_by_shortening_the_widest_flexible_column() -> None:
    rows = [("name", "what", "more"), ("a" * 10, "b" * 40, "c" * 30)]
    lines = table(rows, 60, [1, 2]).split("\n")
    assert max(map(len, lines)) <= 60
    assert "a" * 10 in lines[1]
    assert lines[0].index("more") == lines[1].index("ccc")


def test_what_cannot_be_shortened_stays_whole() -> None:
    assert table([("name",), ("a" * 30,)], 5, [0]).split("\n")[1] == "aaaaa..."
    assert "b" * 30 in table([("x", "y"), ("a" * 30, "b" * 30)], 20, [0])


@pytest.mark.parametrize(
    ("text", "shown"), [("\x1b[2Jred", "[2Jred"), ("a\n\tb", "a b"), ("123456789", "12345..."), ("", "")]
)
def test_nothing_that_a_terminal_obeys_is_left(text: str, shown: str) -> None:
    assert shorten(text, 8) == shown


def test_a_narrow_terminal_is_obeyed_and_a_wide_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, width in (("60", 60), ("300", 100), ("3", 40), ("0", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        if columns == "0":  # no terminal: the usual width
            monkeypatch.setattr("sys.__stdout__", None)
        assert line_width(100) == width
