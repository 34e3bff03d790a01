"""A page of panels of known size: nothing on it overlaps or is cut off."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medvol.figures import new_figure, png_bytes

from ..showing.columns import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Page"]


class Page:
    """Rows of panels of known size on one figure, from top to bottom, so that nothing overlaps or is cut off.

    Args:
        width: inches.

    Example:
        >>> import numpy as np
        >>> from medvol.figures import show_plane
        >>> page = Page(4.0)
        >>> page.text("a gray square")
        >>> (panel,) = page.row([(1.0, 1.0)], ["square"])
        >>> _ = show_plane(panel, np.eye(3), (1.0, 1.0), (0.0, 1.0))
        >>> page.png()[1:4]
        b'PNG'
    """

    # Inches: around the page, between panels, around panels with letters, and for the words before a row.
    MARGIN, GAP, RIM, LEFT = 0.15, 0.1, 0.15, 0.65

    def __init__(self, width: float = 11.0) -> None:
        self.width, self.figure = width, new_figure((width, 1.0))
        self._used = self.MARGIN  # inches from the top
        self._panels: list[tuple[Axes, tuple[float, float, float, float]]] = []
        self._texts: list[tuple[Any, float, float]] = []

    def inner(self, panels: int, left: bool = False, letters: bool = False) -> float:
        """Return the inches that the panels of a row share."""
        rims = 2 * self.RIM * panels if letters else 0.0
        return self.width - 2 * self.MARGIN - (self.LEFT if left else 0.0) - self.GAP * (panels - 1) - rims

    def space(self, height: float) -> None:
        """Leave inches free."""
        self._used += height

    def text(self, words: str, size: float = 8, bold: bool = False, color: str = "black") -> None:
        """Write a line, or several where one is not wide enough."""
        letters = int((self.width - 2 * self.MARGIN) * 72 / (0.5 * size))
        for line in textwrap.wrap(words, letters):
            self._used += size * 1.35 / 72
            self._write(line, self.MARGIN, self._used, size, fontweight="bold" if bold else "normal", color=color)
        self._used += 0.04

    def row(
        self,
        sizes: Sequence[tuple[float, float]],
        titles: Sequence[str | None],
        left: str = "",
        size: float = 8,
        letters: bool = False,
    ) -> list[Axes]:
        """Add panels beside each other.

        Args:
            sizes: (width, height) of each in inches.
            titles: what stands above each, in two lines at most; None leaves its place free.
            left: words before the first one.
            size: of the words, in points.
            letters: leave room for the letters of :func:`medvol.figures.mark_ends` around each.
        """
        rim = self.RIM if letters else 0.0
        gap = self.GAP + 2 * rim
        shown = [
            None if title is None else _in_two_lines(title, wide + 0.8 * gap, size)
            for (wide, _), title in zip(sizes, titles, strict=True)
        ]
        lines = max((title.count("\n") + 1 for title in shown if title), default=0)
        top = self._used + lines * size * 1.5 / 72 + rim
        x, added = self.MARGIN + rim + (self.LEFT if left else 0.0), []
        if left:
            middle = top + max(height for _, height in sizes) / 2 + 0.04
            self._write(_shortened(left, self.LEFT, size), self.MARGIN, middle, size)
        for number, ((wide, high), title) in enumerate(zip(sizes, shown, strict=True)):
            if title is None:  # left free
                x += wide + gap
                continue
            panel = self.figure.add_axes((0, 0, 1, 1), label=f"{len(self._panels)}.{number}")
            panel.set_title(title, fontsize=size, pad=2.5 + rim * 72)
            self._panels.append((panel, (x, top, wide, high)))
            added.append(panel)
            x += wide + gap
        self._used = top + max(height for _, height in sizes) + self.GAP + rim
        return added

    def legend(self, handles: Sequence[Any], size: float = 8) -> None:
        """Add a legend in as many columns as fit."""
        longest = max(len(handle.get_label()) for handle in handles)
        columns = max(1, min(len(handles), int((self.width - 2 * self.MARGIN) / (longest * 0.56 * size / 72 + 0.5))))
        rows = -(-len(handles) // columns)
        legend = self.figure.legend(
            handles=handles, loc="upper left", ncols=columns, fontsize=size, frameon=False, borderpad=0, borderaxespad=0
        )
        self._texts.append((legend, self.MARGIN, self._used))
        self._used += rows * size * 1.75 / 72 + 0.05

    def png(self, dpi: int = 130) -> bytes:
        """Return the page as a PNG file; equal pages give equal bytes."""
        height = self._used + self.MARGIN
        self.figure.set_size_inches(self.width, height)
        for panel, (x, top, wide, high) in self._panels:
            panel.set_position((x / self.width, 1 - (top + high) / height, wide / self.width, high / height))
        for written, x, y in self._texts:
            place = (x / self.width, 1 - y / height)
            written.set_bbox_to_anchor(place) if hasattr(written, "get_texts") else written.set_position(place)
        return png_bytes(self.figure, dpi)

    def _write(self, words: str, x: float, y: float, size: float, **style: Any) -> None:
        self._texts.append((self.figure.text(0, 0, words, fontsize=size, va="baseline", **style), x, y))


def _in_two_lines(words: str, width: float, size: float) -> str:
    """Break words that are wider than ``width`` inches, behind a comma if there is one; cut what is left."""
    if _shortened(words, width, size) == words:
        return words
    first = textwrap.wrap(words, max(3, int(width * 72 / (0.55 * size))))[0]
    first = first[: first.rfind(",") + 1] or first
    return f"{first}\n{_shortened(words[len(first) :].strip(), width, size)}"


def _shortened(words: str, width: float, size: float) -> str:
    """Cut words that are wider than ``width`` inches."""
    return shorten(words, max(3, int(width * 72 / (0.55 * size))))
