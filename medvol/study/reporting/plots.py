"""The plots of a report, each narrow enough to be read on a phone; every arm keeps its color, marker and line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medvol.figures import COLORS, new_figure, png_bytes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Bar", "draw_curves", "draw_drops", "draw_efficiency", "draw_forest", "draw_pairs"]

_WIDTH, _DPI = 5.0, 160  # inches, so that a letter of 9 points stays legible on a phone
_SMALL = {"fontsize": 9}
_WORDS = {"helps": ("#00694f", "^"), "harms": ("#a8380a", "v"), "no evidence": ("#3d4a5c", "o"),
          "not judged": ("#6a6a6a", "D")}  # fmt: skip
_MARKERS, _LINES = "osD^vPX*", ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Bar:
    """A difference with its interval.

    Attributes:
        group: heading that it stands under.
        label: the arm.
        word: the verdict's word.
        mean: the difference; above zero is better.
        low: lower end of the interval; NaN if it is not judged.
        high: upper end.
    """

    group: str
    label: str
    word: str
    mean: float
    low: float
    high: float


def draw_forest(bars: Sequence[Bar], margin: float, unit: str) -> bytes:
    """Draw differences with their intervals, one below the other, as PNG.

    Args:
        bars: from top to bottom.
        margin: smallest difference that matters; the band from ``-margin`` to ``margin`` is shaded.
        unit: name of the difference.

    Example:
        >>> draw_forest([Bar("4 patients", "cpc3d", "no evidence", 0.01, -0.02, 0.04)], 0.01, "Dice")[1:4]
        b'PNG'
    """
    lines: list[Bar | str] = []
    for number, bar in enumerate(bars):
        lines += [bar.group] * (number == 0 or bars[number - 1].group != bar.group) + [bar]
    figure = new_figure((_WIDTH, 0.75 + 0.23 * len(lines)), "constrained")
    panel = figure.subplots()
    panel.axvspan(-margin, margin, color="0.9", linewidth=0, label=f"smaller than the margin of {margin:g}")
    panel.axvline(0, color="black", linewidth=1)
    for place, line in enumerate(lines):
        if isinstance(line, Bar):
            color, marker = _WORDS[line.word]
            if np.isfinite([line.low, line.high]).all():
                panel.plot([line.low, line.high], [place, place], color=color, linewidth=1.8, solid_capstyle="butt")
            face = "white" if line.word == "not judged" else color
            panel.plot([line.mean], [place], marker=marker, color=color, markerfacecolor=face, markersize=6)
            panel.annotate(
                line.word, (1.02, place), xycoords=("axes fraction", "data"), color=color, va="center", **_SMALL
            )
    labels = [_short(line.label) if isinstance(line, Bar) else line for line in lines]
    panel.set_yticks(range(len(lines)), labels, **_SMALL)
    for line, label in zip(lines, panel.get_yticklabels(), strict=True):
        label.set_fontweight("normal" if isinstance(line, Bar) else "bold")
    panel.set_ylim(len(lines) - 0.4, -0.6)
    _clean(panel, f"{unit}: difference; right of the line is better")
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    # A zero-width study would have no horizontal extent at all.
    widest = max(margin * 1.5, *(float(np.nanmax(np.abs([b.mean, b.low, b.high]))) for b in bars), 1e-6)
    panel.set_xlim(-1.1 * widest, 1.1 * widest)
    panel.locator_params(axis="x", nbins=5)
    figure.legend(loc="outside lower center", frameon=False, **_SMALL)
    return png_bytes(figure, _DPI)


def draw_efficiency(
    arms: Mapping[str, Sequence[tuple[float, float, float]]], counts: Sequence[str], unit: str
) -> bytes:
    """Draw the score of every arm over the label count, as PNG.

    Args:
        arms: (mean, lower end, upper end) per label count, NaN where there is none, by arm; the first is the reference.
        counts: label counts as text, ascending.
        unit: name of the score.

    Example:
        >>> draw_efficiency({"scratch": [(0.7, 0.6, 0.8), (0.8, 0.7, 0.9)]}, ["4", "all"], "mean dice")[1:4]
        b'PNG'
    """
    figure = new_figure((_WIDTH, 3.4 + 0.2 * -(-len(arms) // 3)), "constrained")
    panel = figure.subplots()
    shift = min(0.09, 0.5 / max(len(arms), 1))
    for number, (arm, values) in enumerate(arms.items()):
        mean, low, high = np.array(values, dtype=float).T
        x = np.arange(len(counts)) + shift * (number - (len(arms) - 1) / 2)
        look = _look(number)
        panel.plot(x, mean, label=_short(arm), markersize=5, linewidth=1.4, **look)
        panel.vlines(x, low, high, color=look["color"], linewidth=1.4, alpha=0.8)
    panel.set_xticks(range(len(counts)), counts, **_SMALL)
    panel.set_xlim(-0.5, len(counts) - 0.5)
    _clean(panel, "labelled patients", unit)
    _legend(figure, len(arms))
    return png_bytes(figure, _DPI)


def draw_curves(curves: pd.DataFrame, arms: Sequence[str], unit: str, target: float | None = None) -> bytes:
    """Draw validation scores over training examples: mean over seeds with one s.d. to either side, as PNG.

    With fewer than three seeds every seed is a line of its own.

    Args:
        curves: columns ``arm``, ``replicate``, ``examples``, ``value``.
        arms: all arms of the study, in the order that gives each its color.
        unit: name of the score.
        target: score whose reaching is timed, drawn as a horizontal line.

    Example:
        >>> import pandas as pd
        >>> rows = [("scratch", 0, 10, 0.5), ("scratch", 0, 20, 0.6)]
        >>> frame = pd.DataFrame(rows, columns=["arm", "replicate", "examples", "value"])
        >>> draw_curves(frame, ["scratch"], "mean dice")[1:4]
        b'PNG'
    """
    shown = [arm for arm in arms if arm in set(curves["arm"])]
    figure = new_figure((_WIDTH, 3.2 + 0.2 * -(-len(shown) // 3)), "constrained")
    panel = figure.subplots()
    for arm in shown:
        table = curves[curves["arm"] == arm].pivot_table(index="examples", columns="replicate", values="value")
        look = _look(list(arms).index(arm)) | {"marker": None}
        if table.shape[1] < 3:
            for number, (_, line) in enumerate(table.items()):
                panel.plot(line.dropna(), label=_short(arm) if not number else None, linewidth=1.3, **look)
            continue
        full = table.dropna()
        mean, spread = full.mean(axis=1), full.std(axis=1, ddof=1)
        panel.fill_between(full.index, mean - spread, mean + spread, color=look["color"], alpha=0.15, linewidth=0)
        panel.plot(full.index, mean, label=_short(arm), linewidth=1.6, **look)
    if target is not None and np.isfinite(target):
        panel.axhline(target, color="0.35", linewidth=0.9, linestyle=(0, (1, 2)))
        panel.annotate("target", (1.0, target), xycoords=("axes fraction", "data"), ha="right", va="bottom", **_SMALL)
    _clean(panel, "training examples seen", unit)
    _legend(figure, len(shown))
    return png_bytes(figure, _DPI)


def draw_pairs(panels: Sequence[tuple[str, np.ndarray, np.ndarray]], arm: str, reference: str, unit: str) -> bytes:
    """Draw one dot per patient, the reference's score across and the arm's score up, as PNG.

    Args:
        panels: (title, ``(P,)`` of the reference, ``(P,)`` of the arm), both means over seeds.
        arm: its name.
        reference: the reference's name.
        unit: name of the score.

    Example:
        >>> draw_pairs([("4 patients", np.array([0.5, 0.6]), np.array([0.6, 0.6]))], "cpc3d", "scratch", "Dice")[1:4]
        b'PNG'
    """
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    side = (_WIDTH - 0.9) / max(columns, 2)
    figure = new_figure((_WIDTH if columns > 1 else 3.6, (side if columns > 1 else 3.0) * rows + 0.75), "constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    values = np.concatenate([scores for _, *pair in panels for scores in pair])
    room = 0.06 * (np.ptp(values) or 0.1)
    limits = (values.min() - room, values.max() + room)
    for panel in axes.flat[len(panels) :]:
        panel.set_visible(False)
    for panel, (title, across, up) in zip(axes.flat, panels, strict=False):
        panel.plot(limits, limits, color="0.4", linewidth=1)
        panel.scatter(across, up, s=16, facecolor=COLORS[5], edgecolor="white", linewidth=0.4, alpha=0.85)
        panel.set(xlim=limits, ylim=limits, aspect="equal")
        panel.set_title(title, fontsize=9)
        panel.locator_params(nbins=4)
        _clean(panel)
    figure.supxlabel(f"{_short(reference)}: {unit} of a patient", **_SMALL)
    figure.supylabel(_short(arm), **_SMALL)
    return png_bytes(figure, _DPI)


def draw_drops(drops: pd.DataFrame, unit: str) -> bytes:
    """Draw what corruptions cost each arm as a map with its numbers, as PNG.

    Args:
        drops: loss of the score, above zero is worse; corruptions as rows and arms as columns.
        unit: name of the score.

    Example:
        >>> import pandas as pd
        >>> draw_drops(pd.DataFrame({"scratch": [0.1]}, index=["noise"]), "Dice")[1:4]
        b'PNG'
    """
    values = drops.to_numpy(dtype=float)
    figure = new_figure((_WIDTH, 1.0 + 0.28 * len(drops)), "constrained")
    panel = figure.subplots()
    worst = float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.0
    # One hue, light to dark: the worse, the darker; a gain stays white.
    limits = {"vmin": 0.0, "vmax": 1.25 * (worst or 1.0)}
    panel.imshow(np.clip(values, 0, None), cmap="Oranges", aspect="auto", **limits)
    digits = 3 if worst < 1 else 2
    for (row, column), value in np.ndenumerate(values):
        text = f"{value:.{digits}f}" if np.isfinite(value) else "-"
        panel.text(column, row, text, ha="center", va="center", fontsize=9 if values.shape[1] < 7 else 7)
    turned = {"rotation": 30, "ha": "right"} if values.shape[1] > 3 else {}
    panel.set_xticks(range(values.shape[1]), [_short(str(name)) for name in drops.columns], **_SMALL, **turned)
    panel.set_yticks(range(len(drops)), [str(name).replace("_", " ") for name in drops.index], **_SMALL)
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.set_xlabel(f"loss of {unit} against the clean images", **_SMALL)
    return png_bytes(figure, _DPI)


def _look(number: int) -> dict[str, Any]:
    """How an arm is drawn; the first, the reference, in black."""
    color = "black" if number == 0 else _ORDER[(number - 1) % len(_ORDER)]
    return {"color": color, "marker": _MARKERS[number % len(_MARKERS)], "linestyle": _LINES[number % len(_LINES)]}


# Yellow is too pale for a line on white; brown stands in for it.
_ORDER = (COLORS[5], COLORS[4], COLORS[2], COLORS[3], COLORS[0], COLORS[1], "#6B4226")


def _clean(panel: Axes, across: str = "", up: str = "") -> None:
    panel.set_xlabel(across, **_SMALL)
    panel.set_ylabel(up, **_SMALL)
    panel.tick_params(labelsize=9)
    panel.grid(alpha=0.25)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _legend(figure: Any, entries: int) -> None:
    figure.legend(loc="outside lower center", ncols=min(3, max(entries, 1)), frameon=False, **_SMALL)


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
