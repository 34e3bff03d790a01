"""Planes of voxels side by side as one picture, painted in hundredths of a second."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["HIDDEN", "UNCOUNTED", "Mosaic", "Panel", "paint"]

HIDDEN = (230, 159, 0)
"""Orange of Okabe and Ito: hidden from the network."""
UNCOUNTED = (0, 90, 75)
"""A dark green, which neither gray images nor the color map of errors hold: not counted by the loss."""

_CELL, _LEAST, _GAP, _MARGIN, _TEXT = 168, 84, 8, 10, 16  # pixels
_BAR, _BAR_WORDS = 12, 62


@dataclass(frozen=True)
class Panel:
    """One plane of voxels.

    Attributes:
        title: what it shows.
        values: ``(rows, columns)``, rows from the top; NaN where nothing is counted.
        window: values that are drawn with the first and the last color.
        colored: whether it is an error, drawn in color and not in gray.
        tint: ``(rows, columns)`` truth values of what gets an orange tint, or None.
        words: a line below it.
    """

    title: str
    values: np.ndarray
    window: tuple[float, float]
    colored: bool = False
    tint: np.ndarray | None = None
    words: str = ""


def paint(panel: Panel) -> np.ndarray:
    """Return the colors of a panel.

    Args:
        panel: what to paint.

    Returns:
        ``(rows, columns, 3)`` bytes.

    Example:
        >>> paint(Panel("", np.array([[0.0, 1.0, np.nan]]), (0.0, 1.0))).tolist()
        [[[0, 0, 0], [255, 255, 255], [0, 90, 75]]]
    """
    low, high = panel.window if panel.window[1] > panel.window[0] else (panel.window[0] - 0.5, panel.window[0] + 0.5)
    missing = np.isnan(panel.values)
    levels = np.clip((np.where(missing, low, panel.values) - low) / (high - low), 0.0, 1.0)
    colors = _color_map()[np.round(255 * levels).astype(int), :3] if panel.colored else _gray(levels)
    if panel.tint is not None:
        colors = np.where(panel.tint[..., None], (colors.astype(int) + HIDDEN) // 2, colors)
    return np.where(missing[..., None], UNCOUNTED, colors).astype(np.uint8)


@dataclass
class Mosaic:
    """Rows of panels below one line of words, with a scale of the errors' colors.

    Attributes:
        title: the line at the top.
        size: (row, column) millimeters of a voxel, for true proportions.
        rows: the panels; the titles of the first row stand above the columns.
        notes: colors and what they mean, for the line at the bottom.

    Example:
        >>> mosaic = Mosaic("one", (1.0, 1.0), [[Panel("a", np.eye(4), (0.0, 1.0))]])
        >>> mosaic.png()[1:4]
        b'PNG'
    """

    title: str
    size: tuple[float, float]
    rows: Sequence[Sequence[Panel]]
    notes: Sequence[tuple[tuple[int, int, int], str]] = field(default_factory=tuple)

    def png(self) -> bytes:
        """Return the picture as a PNG file; equal panels give equal bytes."""
        content = io.BytesIO()
        self.picture().save(content, format="PNG")
        return content.getvalue()

    def picture(self) -> Picture:
        """Return the picture."""
        from PIL import Image, ImageDraw

        sizes = [self._pixels(row[0].values.shape) for row in self.rows]
        across = max(_LEAST, *(width for _, width in sizes))
        count = max(len(row) for row in self.rows)
        errors = [panel for row in self.rows for panel in row if panel.colored]
        width = 2 * _MARGIN + count * (across + _GAP) + (_BAR + _BAR_WORDS if errors else 0)
        tops = np.cumsum([_MARGIN + 2 * _TEXT + 6, *(height + _TEXT + _GAP for height, _ in sizes)]).tolist()
        canvas = Image.new("RGB", (max(width, 420), tops[-1] + (_TEXT if self.notes else 0) + _MARGIN // 2), "white")
        pen = ImageDraw.Draw(canvas)
        pen.text((_MARGIN, _MARGIN - 2), self.title, fill="black", font=_font(13))
        for row, top, (height, wide) in zip(self.rows, tops, sizes, strict=False):
            for place, panel in enumerate(row):
                left = _MARGIN + place * (across + _GAP)
                if top == tops[0]:
                    pen.text((left, top - _TEXT), panel.title, fill="black", font=_font(11))
                tile = Image.fromarray(paint(panel)).resize((wide, height), Image.Resampling.NEAREST)
                canvas.paste(tile, (left, top))
                pen.text((left, top + height + 1), panel.words, fill=(70, 70, 70), font=_font(11))
        if errors:
            self._scale(canvas, pen, errors[0].window, (_MARGIN + count * (across + _GAP), tops[0], sizes[0][0]))
        self._legend(pen, tops[-1] - 2)
        return canvas

    def _pixels(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of a plane: the longer one fills its place."""
        sides = np.array(shape[:2]) * self.size
        return tuple(int(side) for side in np.maximum(np.round(sides * _CELL / sides.max()), 4))  # type: ignore[return-value]

    def _scale(self, canvas: Picture, pen: Any, window: tuple[float, float], place: tuple[int, int, int]) -> None:
        from PIL import Image

        left, top, height = place
        ramp = np.linspace(window[1], window[0], height)[:, None].repeat(_BAR, axis=1)
        canvas.paste(Image.fromarray(paint(Panel("", ramp, window, colored=True))), (left, top))
        for share in (0.0, 0.5, 1.0):
            value = window[1] + share * (window[0] - window[1])
            words = f"{value:.3g}" if share else f"\N{GREATER-THAN OR EQUAL TO} {value:.3g}"
            pen.text((left + _BAR + 4, top + share * (height - 12) - 1), words, fill="black", font=_font(11))

    def _legend(self, pen: Any, top: float) -> None:
        left: float = _MARGIN
        for color, words in self.notes:
            pen.rectangle((left, top + 3, left + 10, top + 13), fill=color)
            pen.text((left + 15, top), words, fill="black", font=_font(11))
            left += 35 + pen.textlength(words, font=_font(11))


def _gray(levels: np.ndarray) -> np.ndarray:
    return np.round(255 * levels).astype(np.uint8)[..., None].repeat(3, axis=-1)


@cache
def _color_map() -> np.ndarray:
    """Return 256 colors ``(256, 4)`` as bytes, from black over red to a pale yellow."""
    from matplotlib import colormaps

    return colormaps["inferno"](np.arange(256), bytes=True)


@cache
def _font(size: int) -> Any:
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
