"""Drawing: training curves, slices with outlines and boxes; colors are those of Okabe and Ito."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from medvol.writing import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLORS", "add_box", "add_outline", "find_cuts", "gray_range", "mark_ends", "new_figure", "png_bytes",
    "save_curves", "save_overlay", "show_plane",
]  # fmt: skip

COLORS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#F0E442")
"""Okabe and Ito's palette, distinguishable with every common form of color blindness; black and white are left out."""

# Ends of the axes of a RAS volume: (index 0, last index).
_ENDS = (("L", "R"), ("P", "A"), ("I", "S"))


def save_curves(log_csv: str | Path, png: str | Path, names: Sequence[str] | None = None) -> None:
    r"""Draw the columns of a run's ``log.csv`` against the optimizer step, one panel per name.

    Args:
        log_csv: file with the columns ``step``, ``examples``, ``name``, ``value``.
        png: file to write.
        names: which names to draw, in that order; all, in the order of their first line, if not given.

    Raises:
        FileNotFoundError: if there is no log.
        ValueError: if a column or a name is not in it, or it has no lines.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> text = "step,examples,name,value\n1,2,loss,0.7\n2,4,loss,0.6\n"
        >>> _ = (folder / "log.csv").write_text(text)
        >>> save_curves(folder / "log.csv", folder / "log.png")
        >>> (folder / "log.png").exists()
        True
    """
    curves = _read_curves(Path(log_csv))
    names = list(curves) if names is None else list(names)
    unknown = [name for name in names if name not in curves]
    if unknown or not names:
        raise ValueError(
            f"names must be some of {sorted(curves)}, but got {names}; remove {unknown or 'the empty list'}"
        )
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure((4.0 * columns, 2.6 * rows), "constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for number, panel in enumerate(axes.flat):
        if number >= len(names):
            panel.set_visible(False)
            continue
        steps, values = zip(*curves[names[number]], strict=True)
        # A single validation at the end is a point, not a line.
        panel.plot(steps, values, color=COLORS[5], linewidth=1.2, marker="o" if len(steps) < 30 else None, markersize=3)
        panel.set_title(names[number], fontsize=10)
        panel.set_xlabel("optimizer step", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    _save(figure, png)


def save_overlay(
    image: Any,
    prediction: Any | None,
    reference: Any | None,
    spacing: Sequence[float],
    png: str | Path,
    names: Mapping[str, int] | None = None,
    ras: bool = True,
) -> None:
    """Draw three orthogonal slices through the largest region: reference as lines, prediction as filled areas.

    The slices cut the largest connected region of the reference (of the prediction, if the reference is empty or not
    given; the middle, if both are), each where that region's area is largest. Voxels keep their physical proportions.
    With ``ras`` the axes are labeled with their anatomical ends, left of the body on the left of the picture
    (neurological convention). A plane, or a volume of depth one, gives one slice; without ``ras`` a plane is read as
    rows and columns and drawn upright, like a radiograph.

    Only slices are drawn, never a rendered surface; give it skull-stripped or defaced heads.

    Args:
        image: ``(*spatial)`` or ``(C, *spatial)`` array or tensor, of which the first channel is shown.
        prediction: integer label map ``(*spatial)`` or ``(1, *spatial)``, or ``None``.
        reference: the same, or ``None``.
        spacing: voxel size in millimeters, one number per spatial axis.
        png: file to write.
        names: label name -> integer, the data set's ``label_map``; labels without a name are shown by number.
        ras: whether the axes are right, anterior, superior; otherwise they are named by number.

    Raises:
        ValueError: if the shapes do not fit each other or the spacing.

    Example:
        >>> import tempfile
        >>> label = np.zeros((8, 9, 10), dtype=int)
        >>> label[2:5, 3:6, 4:8] = 1
        >>> png = Path(tempfile.mkdtemp()) / "case.png"
        >>> save_overlay(np.random.rand(8, 9, 10), label, label, (1.0, 1.0, 2.0), png, {"tumor": 1})
        >>> png.exists()
        True
    """
    spacing = tuple(float(size) for size in spacing)
    volume = _spatial("image", image, spacing)
    roles = (("prediction", prediction), ("reference", reference))
    maps = [None if labels is None else _spatial(role, labels, spacing) for role, labels in roles]
    for found in maps:
        if found is not None and found.shape != volume.shape:
            raise ValueError(
                f"label maps must have the image's shape {volume.shape}, but one has {found.shape}; "
                "draw all three on one grid"
            )
    is_volume = volume.ndim == 3
    if not is_volume:
        volume, *maps = (None if x is None else _stand_up(x, ras)[..., None] for x in (volume, *maps))
        spacing = (*(spacing if ras else spacing[::-1]), 1.0)
    predicted, labeled = maps
    cuts = find_cuts(volume.shape, labeled, predicted)
    wide = [[axis for axis in range(3) if axis != normal] for normal in cuts]
    widths = [volume.shape[a] * spacing[a] for a, _ in wide]
    height = max(volume.shape[b] * spacing[b] for _, b in wide)
    scale = min(11.0 / sum(widths), 4.5 / height)
    figure = new_figure((scale * sum(widths) + 0.7 * len(widths), scale * height + 1.1), "constrained")
    axes = figure.subplots(1, len(cuts), squeeze=False, width_ratios=widths)
    values = sorted({int(v) for x in maps if x is not None for v in np.unique(x)} - {0})
    named = {number: name for name, number in (names or {}).items()}
    colors = {value: COLORS[number % len(COLORS)] for number, value in enumerate(sorted({*values, *named} - {0}))}
    gray = gray_range([volume])
    for panel, (normal, index), (across, up) in zip(axes.flat, cuts.items(), wide, strict=True):
        planes = [None if x is None else np.take(x, index, axis=normal) for x in (volume, predicted, labeled)]
        _draw_slice(panel, planes, (spacing[across], spacing[up]), colors, gray)
        _name_axes(panel, normal, index, (across, up), ras, is_volume=is_volume)
    _legend(figure, {named.get(v, f"label {v}"): colors[v] for v in values}, predicted is not None, labeled is not None)
    _save(figure, png)


def _spatial(role: str, array: Any, spacing: tuple[float, ...]) -> np.ndarray:
    """Return ``(*spatial)`` of an array or tensor, the first channel if it has channels."""
    array = np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)
    array = array[0] if array.ndim == len(spacing) + 1 else array
    if array.ndim != len(spacing) or array.ndim not in (2, 3):
        raise ValueError(
            f"{role} must be (*spatial) or (C, *spatial) with two or three axes and one spacing for each, but has the "
            f"shape {array.shape} for the spacing {spacing}; give one spacing per spatial axis"
        )
    return array


def _stand_up(plane: np.ndarray, ras: bool) -> np.ndarray:
    """Bring a plane into the order (left to right, bottom to top); one that is not RAS is (rows, columns)."""
    return plane if ras else plane[::-1].T


def find_cuts(shape: tuple[int, ...], reference: np.ndarray | None, prediction: np.ndarray | None) -> dict[int, int]:
    """Return {normal axis: index} of the slices through the largest region; axial first, one for a plane."""
    normals = [2] if shape[2] == 1 else [axis for axis in (2, 1, 0) if shape[axis] > 1]
    for labels in (reference, prediction):
        if labels is not None and (labels > 0).any():
            parts, _ = ndimage.label(labels > 0, structure=np.ones((3, 3, 3)))
            largest = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
            areas = [largest.sum(axis=tuple(a for a in range(3) if a != normal)) for normal in range(3)]
            return {normal: int(np.argmax(areas[normal])) for normal in normals}
    return {normal: shape[normal] // 2 for normal in normals}


def _draw_slice(
    panel: Axes,
    planes: Sequence[np.ndarray | None],
    spacing: tuple[float, float],
    colors: Mapping[int, str],
    gray: tuple[float, float],
) -> None:
    """Draw image, prediction (filled) and reference (line); each plane is ``(across, up)``."""
    from matplotlib.colors import to_rgba

    image, prediction, reference = planes
    extent = show_plane(panel, image, spacing, gray)
    for value, color in colors.items():
        if prediction is not None:
            filled = np.zeros((*prediction.T.shape, 4))
            filled[value == prediction.T] = to_rgba(color, 0.45)
            panel.imshow(filled, origin="lower", extent=extent, interpolation="nearest")
        if reference is not None:
            add_outline(panel, reference == value, spacing, color)


def new_figure(size: tuple[float, float], layout: str | None = None) -> Figure:
    """Make a figure without pyplot: no global state, no window, no display needed.

    Args:
        size: width and height in inches.
        layout: matplotlib's name of the engine that places the panels; None for none.

    Example:
        >>> new_figure((4.0, 3.0)).get_size_inches().tolist()
        [4.0, 3.0]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure, dpi: int = 130) -> bytes:
    """Return a figure as a PNG file; equal figures give equal bytes.

    Every text is drawn as it stands: names of cases, labels and metrics may hold ``$`` or letters of any script.

    Example:
        >>> figure = new_figure((1.0, 1.0))
        >>> _ = figure.text(0.5, 0.5, "a$^$b")
        >>> png_bytes(figure)[1:4]
        b'PNG'
    """
    from matplotlib.text import Text

    # At the end and not by a setting while drawing: texts are made in many places, and titles with their panel.
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        # Without the version of the library in the file, equal data give equal bytes.
        figure.savefig(content, format="png", dpi=dpi, metadata={"Software": None})
    return content.getvalue()


def gray_range(planes: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return what is drawn black and white: all but the lowest and the highest half percent of the finite values.

    Args:
        planes: arrays of any shapes that share one gray scale.

    Returns:
        The two values, which may be equal; 0 and 1 where no value is finite.

    Example:
        >>> gray_range([np.zeros(3), np.ones(3)])
        (0.0, 1.0)
    """
    values = np.concatenate([plane.ravel() for plane in planes])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, (0.5, 99.5))
    return float(low), float(high)


def show_plane(
    panel: Axes, plane: np.ndarray, spacing: Sequence[float], gray: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Draw a plane of voxels in their physical proportions.

    Args:
        panel: where to draw; its axes are millimeters from the lower left corner.
        plane: ``(across, up)`` values.
        spacing: voxel size (across, up) in millimeters.
        gray: values that are drawn black and white.

    Returns:
        Left, right, bottom and top in millimeters.
    """
    extent = (0.0, plane.shape[0] * spacing[0], 0.0, plane.shape[1] * spacing[1])
    low, high = gray if gray[1] > gray[0] else (gray[0] - 0.5, gray[0] + 0.5)
    panel.imshow(plane.T, cmap="gray", origin="lower", extent=extent, vmin=low, vmax=high, interpolation="nearest")
    panel.set(xlim=extent[:2], ylim=extent[2:], aspect="equal", xticks=[], yticks=[])
    return extent


def add_outline(
    panel: Axes, inside: np.ndarray, spacing: Sequence[float], color: str, width: float = 1.6, style: str = "solid"
) -> None:
    """Draw the rim of a region ``(across, up)`` of truth values; one without voxels draws nothing."""
    if not inside.any():
        return
    # One voxel of rim, so that outlines close at the edge of the image; a level above one half, so that the outlines
    # of two labels that touch lie side by side.
    rimmed = np.pad(inside.T.astype(float), 1)
    x, y = ((np.arange(-1, n + 1) + 0.5) * size for n, size in zip(inside.shape, spacing, strict=True))
    panel.contour(x, y, rimmed, levels=[0.8], colors=[color], linewidths=width, linestyles=style)


def add_box(
    panel: Axes, box: Sequence[float], color: str, name: str = "", style: str = "-", width: float = 1.2, size: float = 7
) -> None:
    """Draw a rectangle (left, right, bottom, top) in millimeters with its name in the middle."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    left, right, bottom, top = box
    dark = [withStroke(linewidth=width + 1.2, foreground="black", alpha=0.6)]
    edge = {"fill": False, "edgecolor": color, "linestyle": style, "linewidth": width, "path_effects": dark}
    panel.add_patch(Rectangle((left, bottom), right - left, top - bottom, **edge))
    if name:
        dark = [withStroke(linewidth=1.8, foreground="black")]
        place = {"ha": "center", "va": "center", "clip_on": True, "path_effects": dark}
        panel.text((left + right) / 2, (bottom + top) / 2, name, color="white", fontsize=size, **place)


def mark_ends(
    panel: Axes, across: tuple[str, str], up: tuple[str, str], outside: bool = False, size: float = 9
) -> None:
    """Write the anatomical ends of a plane's axes, (first, last) of each, at the edges of the panel.

    Args:
        panel: where to write.
        across: letters of the left and the right edge.
        up: letters of the lower and the upper edge.
        outside: write beside the panel, where they hide nothing; needs about 12 points there.
        size: of the letters, in points.
    """
    from matplotlib.transforms import offset_copy

    places = (
        ((0, 0.5), (1, 0.5), (0.5, 0), (0.5, 1))
        if outside
        else ((0.035, 0.5), (0.965, 0.5), (0.5, 0.045), (0.5, 0.955))
    )
    box = {"facecolor": "black", "alpha": 0.5, "pad": 1.0, "linewidth": 0}
    inside = {"color": "white", "fontsize": size, "ha": "center", "va": "center", "bbox": box}
    sides = ({"ha": "right"}, {"ha": "left"}, {"va": "top"}, {"va": "bottom"})
    shifts = ((-3, 0), (3, 0), (0, -2), (0, 1))  # points
    for letter, place, side, shift in zip((*across, *up), places, sides, shifts, strict=True):
        style = {"fontsize": size, "ha": "center", "va": "center", **side} if outside else inside
        moved = offset_copy(panel.transAxes, panel.figure, *shift, units="points") if outside else panel.transAxes
        panel.text(*place, letter, transform=moved, **style)


def _name_axes(panel: Axes, normal: int, index: int, axes: tuple[int, int], ras: bool, *, is_volume: bool) -> None:
    """Write the anatomical ends around a slice, and which slice it is."""
    if not ras:
        panel.set_title(f"axis {normal}, slice {index}" if is_volume else "", fontsize=9)
        panel.set_xlabel(f"axis {axes[0]}" if is_volume else "columns", fontsize=8)
        panel.set_ylabel(f"axis {axes[1]}" if is_volume else "rows", fontsize=8)
        return
    panel.set_title(f"{('sagittal', 'coronal', 'axial')[normal]}, slice {index}", fontsize=9)
    mark_ends(panel, _ENDS[axes[0]], _ENDS[axes[1]])


def _legend(figure: Figure, entries: Mapping[str, str], has_prediction: bool, has_reference: bool) -> None:
    """Name the colors, and say what is filled and what is outlined."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(facecolor=color, label=name) for name, color in entries.items()]
    if has_prediction:
        handles.append(Patch(facecolor="0.5", alpha=0.45, label="filled: prediction"))
    if has_reference:
        handles.append(Line2D([], [], color="0.3", linewidth=1.6, label="line: reference"))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), fontsize=8)


def _read_curves(log_csv: Path) -> dict[str, list[tuple[int, float]]]:
    """Return {name: [(step, value), ...]} in the order of the file."""
    if not log_csv.is_file():
        raise FileNotFoundError(f"expected the log of a run, found no file {log_csv}; train first, or correct the path")
    curves: dict[str, list[tuple[int, float]]] = {}
    with log_csv.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = {"step", "name", "value"} - set(table.fieldnames or [])
        if missing:
            raise ValueError(
                f"{log_csv} must have the columns step, examples, name, value, but has {table.fieldnames}; "
                "give it the log.csv of a run"
            )
        for row in table:
            curves.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
    if not curves:
        raise ValueError(f"{log_csv} must have at least one line, but is empty; let the run take a step first")
    return curves


def _save(figure: Figure, png: str | Path) -> None:
    png = Path(png)
    png.parent.mkdir(parents=True, exist_ok=True)
    write_whole(png, png_bytes(figure))
