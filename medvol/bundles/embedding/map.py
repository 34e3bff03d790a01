"""A map of vectors on a plane: where each case lies, and the picture of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medvol.figures import new_figure, png_bytes

from ..showing.columns import shorten
from .colors import MARKERS, Coloring
from .spectrum import scaled

__all__ = ["Chart", "draw_map", "project"]

_LETTERS = 32  # of a name in the legend


@dataclass(frozen=True)
class Chart:
    """Places on a plane.

    Attributes:
        points: ``(N, 2)`` float64; zeros where ``note`` says why there is no map.
        axes: names of the two axes; PCA's with the share of the variance.
        note: why there is no map, or "".
    """

    points: np.ndarray
    axes: tuple[str, str]
    note: str = ""


def project(features: ArrayLike, method: str = "pca") -> Chart:
    """Lay vectors out on a plane.

    Features are scaled to mean 0 and variance 1 first (:func:`medvol.bundles.embedding.spectrum.scaled`). The sign of
    a principal axis is that which makes its largest loading positive; UMAP has a fixed seed. So equal vectors always
    give one map.

    Args:
        features: ``(N, F)``.
        method: "pca", or "umap" (McInnes et al., https://arxiv.org/abs/1802.03426).

    Returns:
        The places; a note instead where there are too few cases or they are all equal.

    Example:
        >>> chart = project([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
        >>> chart.points[:, 0].round(3).tolist(), chart.axes[0]
        ([-1.732, 0.0, 1.732], 'PC 1 (100% of the variance)')
    """
    points = scaled(features)
    count, fewest = len(points), 3 if method == "pca" else 5
    note = ""
    if count < fewest:
        note = f"A map by {method.upper()} needs at least {fewest} cases; this is a set of {count}."
    elif not points.shape[1]:
        note = "All vectors are equal, so there is nothing to map: the encoder sees no difference between these images."
    if note:
        return Chart(np.zeros((count, 2)), ("", ""), note)
    return _pca(points) if method == "pca" else _umap(points)


def draw_map(chart: Chart, coloring: Coloring, title: str) -> bytes:
    """Draw the map as a PNG; equal input gives equal bytes.

    Args:
        chart: the places.
        coloring: the colors.
        title: what was embedded by what.

    Example:
        >>> from medvol.bundles.embedding.colors import color_cases
        >>> draw_map(Chart(np.zeros((1, 2)), ("", ""), "No map."), color_cases(None, None, 1), "demo")[1:4]
        b'PNG'
    """
    figure = new_figure((8.0, 6.0), "constrained")
    panel = figure.subplots()
    panel.set_title(shorten(title, 90), fontsize=12, loc="left")
    if chart.note:
        panel.set_axis_off()
        panel.text(0.5, 0.5, chart.note, ha="center", va="center", wrap=True, fontsize=12, transform=panel.transAxes)
    else:
        _draw_points(panel, chart, coloring)
        _draw_legend(figure, panel, coloring)
    return png_bytes(figure)


def _pca(points: np.ndarray) -> Chart:
    from sklearn.decomposition import PCA

    found = PCA(n_components=min(2, *points.shape), svd_solver="full").fit(points)
    axes = found.components_
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).round(6).argmax(1)])
    places = np.zeros((len(points), 2))
    places[:, : len(axes)] = points @ axes.T * signs
    shares = [*found.explained_variance_ratio_, 0.0][:2]
    names = [f"PC {i} ({share:.0%} of the variance)" for i, share in enumerate(shares, 1)]
    return Chart(places, (names[0], names[1]))


def _umap(points: np.ndarray) -> Chart:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba and of scikit-learn's renamed arguments
        from umap import UMAP

        near = min(15, len(points) - 1)
        # With a seed there is one thread anyway; spectral starts need more cases than dimensions.
        layout = UMAP(n_neighbors=near, random_state=0, n_jobs=1, init="spectral" if len(points) > 10 else "random")
        places = layout.fit_transform(points)
    return Chart(np.asarray(places, dtype=np.float64), (f"UMAP 1 (of {near} neighbors)", "UMAP 2"))


def _draw_points(panel: Any, chart: Chart, coloring: Coloring) -> None:
    size = float(np.clip(2500 / len(chart.points), 12, 60))
    for marker in sorted(set(coloring.markers), reverse=True):  # the largest class is drawn last, the unknown first
        chosen = [i for i, found in enumerate(coloring.markers) if found == marker]
        colors = [coloring.colors[i] for i in chosen]
        style = {"s": size, "marker": MARKERS[marker], "edgecolors": "#333333", "linewidths": 0.5, "alpha": 0.9}
        panel.scatter(*chart.points[chosen].T, c=colors, **style)
    panel.set_xlabel(chart.axes[0])
    panel.set_ylabel(chart.axes[1])
    panel.set_aspect("equal", adjustable="datalim")  # distances shall mean the same along both axes
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)


def _draw_legend(figure: Any, panel: Any, coloring: Coloring) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.lines import Line2D

    name = shorten(coloring.name or "", _LETTERS)
    if coloring.limits is not None:
        bar = figure.colorbar(ScalarMappable(Normalize(*coloring.limits), "viridis"), ax=panel, shrink=0.7)
        bar.set_label(name)
    if not coloring.legend:
        return
    style = {"linestyle": "", "markeredgecolor": "#333333", "markeredgewidth": 0.5, "markersize": 8}
    handles = [Line2D([], [], marker=MARKERS[e.marker], color=e.color, **style) for e in coloring.legend]
    texts = [f"{shorten(entry.text, _LETTERS)} ({entry.count})" for entry in coloring.legend]
    figure.legend(handles, texts, loc="outside right upper", title=name, frameon=False)
