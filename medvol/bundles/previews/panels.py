"""Sizes, titles and legend entries of a preview's panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .geometry import Cut

__all__ = ["axis_name", "fitted", "line", "patch", "titled"]


def fitted(sizes: Sequence[tuple[float, float]], width: float, height: float) -> list[tuple[float, float]]:
    """Scale millimeters to inches so that all fit beside each other into ``width`` and below ``height``.

    Example:
        >>> fitted([(100.0, 50.0), (100.0, 100.0)], width=4.0, height=3.0)
        [(2.0, 1.0), (2.0, 2.0)]
    """
    scale = min(width / sum(w for w, _ in sizes), height / max(h for _, h in sizes))
    return [(w * scale, h * scale) for w, h in sizes]


def titled(modalities: Sequence[str], plane: str) -> str:
    """Return the title of a panel that shows the first modality."""
    return f"{modalities[0]}, {plane}" if plane else modalities[0]


def axis_name(cut: Cut) -> str:
    """Name a plane by the array's own axis, where the anatomical one is not known or may have been turned."""
    return "" if cut.normal is None else f"axis {cut.normal}, slice {cut.index}"


def line(name: str, color: str, style: str = "-", width: float = 1.6) -> Any:
    """Return the entry of a line in a legend."""
    from matplotlib.lines import Line2D

    # White lines lie on gray images; on white paper they need a shade.
    return Line2D([], [], color="0.75" if color == "white" else color, linestyle=style, linewidth=width, label=name)


def patch(name: str, color: str, alpha: float) -> Any:
    """Return the entry of a filled area in a legend."""
    from matplotlib.patches import Patch

    return Patch(facecolor=color, alpha=alpha, label=name)
