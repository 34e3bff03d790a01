"""Places on the map: right, repeatable, and a sentence where there are none."""

from __future__ import annotations

import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from medvol.bundles.embedding.colors import color_cases
from medvol.bundles.embedding.map import Chart, draw_map, project
from medvol.bundles.embedding.spectrum import scaled


def test_pca_keeps_the_distances_that_fit_on_a_plane() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 6)) * 50 + 7
    points, flat = scaled(features), project(features).points
    # Features are scaled first, so it is scaled distances that stay.
    np.testing.assert_allclose(
        np.linalg.norm(flat[:, None] - flat, axis=-1), np.linalg.norm(points[:, None] - points, axis=-1), atol=1e-9
    )
    shares = flat.var(0) / points.var(0).sum()
    assert project(features).axes == tuple(
        f"PC {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares)
    )


def test_the_sign_is_fixed() -> None:
    """The largest loading is positive, whatever the order of the cases and the mood of the solver."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(15, 5)) * [9, 3, 1, 1, 1] + rng.normal(size=(15, 1)) * 5
    order = rng.permutation(15)
    np.testing.assert_allclose(project(features[order]).points, project(features).points[order], atol=1e-9)
    loadings = np.linalg.lstsq(scaled(features), project(features).points, rcond=None)[0]
    for column in loadings.T:
        assert column[np.abs(column).argmax()] > 0


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.ones((1, 3)), "at least 3 cases; this is a set of 1"),
        (np.eye(2), "this is a set of 2"),
        (np.full((9, 4), 0.1 + 0.2), "All vectors are equal"),
    ],
)
def test_a_sentence_where_there_is_no_map(features: np.ndarray, words: str) -> None:
    chart = project(features)
    assert words in chart.note
    assert chart.points.shape == (len(features), 2)
    assert np.isfinite(chart.points).all()
    assert draw_map(chart, color_cases(None, None, len(features)), "demo")[:4] == b"\x89PNG"


def test_one_varying_feature_is_a_line() -> None:
    chart = project([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    assert chart.points[:, 1].tolist() == [0, 0, 0]
    assert chart.axes[1] == "PC 2 (0% of the variance)"


def test_umap_gets_a_seed_and_fitting_neighbors(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    class Umap:
        def __init__(self, **settings: object) -> None:
            seen.update(settings)

        def fit_transform(self, points: np.ndarray) -> np.ndarray:
            return points[:, :2].astype(np.float32)

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Umap))
    chart = project(np.random.default_rng(0).normal(size=(6, 3)), "umap")
    assert (seen["random_state"], seen["n_neighbors"], seen["init"]) == (0, 5, "random")
    assert chart.points.dtype == np.float64
    assert "needs at least 5" in project(np.eye(4), "umap").note


@pytest.mark.slow
def test_umap_for_real() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 1, (15, 8)), rng.normal(12, 1, (15, 8))])
    first, second = project(features, "umap").points, project(features, "umap").points
    assert (first == second).all()
    between = np.linalg.norm(first[:15].mean(0) - first[15:].mean(0))
    assert between > first[:15].std() + first[15:].std()
    assert np.isfinite(project(features[:5], "umap").points).all()


def test_the_picture_is_the_same_again_and_bears_any_name() -> None:
    chart = project(np.random.default_rng(0).normal(size=(12, 4)))
    names = ["$\\frac{x}$", "患者\n1", "x" * 300, "<script>", None, "_a", "b"]
    coloring = color_cases("$name_{", [names[k % 7] for k in range(12)], 12)
    content = draw_map(chart, coloring, "a $title\\")
    assert content == draw_map(chart, coloring, "a $title\\")
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (1040, 780)
        colors = np.array([color for _, color in picture.convert("RGB").getcolors(1_000_000)])
    assert (np.abs(colors - [0xE6, 0x9F, 0x00]).max(1) < 30).any()  # the first class, a little transparent


def test_a_scale_of_numbers_is_drawn() -> None:
    chart = Chart(np.random.default_rng(0).normal(size=(9, 2)), ("a", "b"))
    content = draw_map(chart, color_cases("age", [float(k) for k in range(9)], 9), "t")
    with Image.open(io.BytesIO(content)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    for end in ([0x44, 0x01, 0x54], [0xFD, 0xE7, 0x25]):
        assert (np.abs(pixels - end).max(2) < 3).sum() > 20  # the bar
