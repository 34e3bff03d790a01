"""Which color each case of a map has, and the legend of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from medvol.figures import COLORS

__all__ = ["MARKERS", "Coloring", "Entry", "color_cases", "is_number"]

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "o", "o")
"""Matplotlib's markers of the seven largest classes, of all others and of unknown values: color alone tells little."""
OTHER, UNKNOWN = 7, 8
_GRAY, _WHITE = "#9a9a9a", "#ffffff"


@dataclass(frozen=True)
class Entry:
    """One line of a legend: its text, color, place in ``MARKERS`` and number of cases."""

    text: str
    color: str
    marker: int
    count: int


@dataclass(frozen=True)
class Coloring:
    """How the cases are colored.

    Attributes:
        name: of the column; None if there is none, and all have one color.
        values: the values themselves, None where unknown.
        texts: the values as they are shown.
        colors: "#rrggbb" of each case.
        markers: place in ``MARKERS`` of each case.
        legend: the classes, largest first, then "other" and "unknown"; () without a column.
        limits: least and largest value of a column of numbers, which is shown by a color bar; None for classes.
    """

    name: str | None
    values: list[Any]
    texts: list[str]
    colors: list[str]
    markers: list[int]
    legend: tuple[Entry, ...] = ()
    limits: tuple[float, float] | None = None


def is_number(values: Sequence[Any]) -> bool:
    """Say whether a column is one of numbers: more than seven different ones; all else is one of classes.

    Args:
        values: one per case, None where unknown; truths are no numbers.

    Example:
        >>> is_number(range(40, 60)), is_number([1, 2, 3, None]), is_number(["40", "41"])
        (True, False, False)
    """
    known = [value for value in values if value is not None]
    numeric = all(isinstance(value, Real) and not isinstance(value, bool) for value in known)
    return numeric and len(set(known)) > len(COLORS)


def color_cases(name: str | None, values: Sequence[Any] | None, count: int) -> Coloring:
    """Choose a color for every case.

    Numbers (:func:`is_number`) get a continuous scale (viridis); of classes the seven largest get Okabe and Ito's
    colors and a marker each, the rest is "other". Both are safe for color-blind readers.

    Args:
        name: of the column, None for no coloring.
        values: one per case, None where unknown.
        count: number of cases.

    Example:
        >>> [(entry.text, entry.count) for entry in color_cases("sex", ["f", "m", "f", None], 4).legend]
        [('f', 2), ('m', 1), ('unknown', 1)]
    """
    if name is None or values is None:
        return Coloring(None, [None] * count, [""] * count, [COLORS[5]] * count, [0] * count)
    if is_number(values):
        return _by_number(name, list(values))
    texts = ["unknown" if value is None else _text(value) for value in values]
    counts = Counter(text for text, value in zip(texts, values, strict=True) if value is not None)
    largest = sorted(counts, key=lambda text: (-counts[text], text))[: len(COLORS)]
    places = {text: i for i, text in enumerate(largest)}
    markers = [UNKNOWN if value is None else places.get(text, OTHER) for text, value in zip(texts, values, strict=True)]
    shades = [*COLORS, _GRAY, _WHITE]
    legend = [Entry(text, COLORS[i], i, counts[text]) for text, i in places.items()]
    rest = len(counts) - len(largest)
    legend += [Entry(f"other ({rest} values)", _GRAY, OTHER, markers.count(OTHER))] * (rest > 0)
    legend += [Entry("unknown", _WHITE, UNKNOWN, markers.count(UNKNOWN))] * (UNKNOWN in markers)
    return Coloring(name, list(values), texts, [shades[i] for i in markers], markers, tuple(legend))


def _by_number(name: str, values: list[Any]) -> Coloring:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    known = [float(value) for value in values if value is not None]
    low, high = min(known), max(known)
    shades = [_WHITE if v is None else to_hex(colormaps["viridis"]((v - low) / (high - low))) for v in values]
    markers = [UNKNOWN if value is None else 0 for value in values]
    legend = (Entry("unknown", _WHITE, UNKNOWN, markers.count(UNKNOWN)),) if UNKNOWN in markers else ()
    texts = ["unknown" if value is None else _text(value) for value in values]
    return Coloring(name, values, texts, shades, markers, legend, (low, high))


def _text(value: Any) -> str:
    is_number = isinstance(value, float) and not isinstance(value, bool)
    return f"{value:.6g}" if is_number else str(value)
