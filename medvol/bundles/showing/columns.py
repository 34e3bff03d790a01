"""Tables in plain text for a terminal, and for a file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

_GAP = "  "
_LEAST = 8  # characters that a shortened column keeps


def line_width(usual: int) -> int:
    """Return how many characters a line may have: ``usual``, or what a narrower terminal has.

    Example:
        >>> line_width(20)
        20
    """
    return max(40, min(usual, shutil.get_terminal_size((usual, 24)).columns)) if usual > 40 else usual


def shorten(text: str, width: int) -> str:
    r"""Return a text on one line, cut at ``width`` characters; what a terminal would obey becomes a space.

    Example:
        >>> shorten("one part per line", 11), shorten("a\nb", 11)
        ('one part...', 'a b')
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= width else line[: max(0, width - 3)].rstrip() + "..."[:width]


def table(rows: Sequence[Sequence[str]], width: int, flexible: Sequence[int]) -> str:
    """Return rows as aligned columns.

    Args:
        rows: cells of equal number in each row, the first row being the head.
        width: characters in a line.
        flexible: columns that may be shortened to make the rest fit, the widest first.

    Example:
        >>> print(table([("name", "task"), ("cpc3d", "predict the patches below")], 20, [1]))
        name   task
        cpc3d  predict th...
    """
    cells = [[shorten(cell, 10_000) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    room = width - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room:
        widest = max(flexible, key=lambda column: widths[column])
        if widths[widest] <= _LEAST:
            break
        widths[widest] -= 1
    lines = (_GAP.join(shorten(c, w).ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)
