"""Plots: what they show, the same every time, and nothing that breaks them."""

import numpy as np
import pandas as pd
import pytest

from medvol.study.reporting import plots
from medvol.study.reporting.plots import Bar, draw_curves, draw_drops, draw_efficiency, draw_forest, draw_pairs


@pytest.fixture
def figures(monkeypatch):
    """The figures instead of their files, which take most of the time."""
    kept = []
    monkeypatch.setattr(plots, "png_bytes", lambda figure, dpi: kept.append(figure) or b"")
    return kept


def _texts(panel) -> list[str]:
    return [text.get_text() for text in panel.texts]


def test_a_forest_says_its_words_and_shades_the_margin(figures):
    bars = [Bar("4 patients", "cpc3d", "helps", 0.02, 0.01, 0.03), Bar("all", "cpc3d", "harms", -0.02, -0.03, -0.01)]
    draw_forest(bars, 0.005, "Dice")
    panel = figures[0].axes[0]
    assert _texts(panel) == ["helps", "harms"]
    assert [t.get_text() for t in panel.get_yticklabels()] == ["4 patients", "cpc3d", "all", "cpc3d"]
    assert panel.patches[0].get_x() == -0.005
    assert panel.get_xlim()[0] < -0.03 < 0.03 < panel.get_xlim()[1]


def test_what_is_not_judged_has_no_interval(figures):
    draw_forest([Bar("4", "cpc3d", "not judged", 0.02, np.nan, np.nan)], 0.01, "Dice")
    lines = [
        line for line in figures[0].axes[0].lines if len(line.get_xdata()) == 2 and len(set(line.get_ydata())) == 1
    ]
    assert not lines


def test_an_arm_looks_the_same_in_every_plot(figures):
    arms = [f"arm{n}" for n in range(9)]
    looks = [tuple(plots._look(n).values()) for n in range(9)]
    assert len(set(looks)) == 9
    rows = [(arm, 0, x, 0.5) for arm in arms[3:] for x in (1, 2)]
    draw_curves(pd.DataFrame(rows, columns=["arm", "replicate", "examples", "value"]), arms, "Dice")
    assert figures[0].axes[0].lines[0].get_color() == plots._look(3)["color"]


def test_a_band_needs_three_seeds(figures):
    rows = [("scratch", seed, x, 0.5 + seed / 10) for seed in range(3) for x in (1, 2)]
    frame = pd.DataFrame(rows, columns=["arm", "replicate", "examples", "value"])
    draw_curves(frame, ["scratch"], "Dice", target=0.5)
    draw_curves(frame[frame["replicate"] < 2], ["scratch"], "Dice")
    assert [len(figure.axes[0].collections) for figure in figures] == [1, 0]
    assert np.allclose(figures[0].axes[0].lines[0].get_ydata(), 0.6)
    assert len(figures[1].axes[0].lines) == 2


def test_points_stand_at_their_scores(figures):
    draw_efficiency({"scratch": [(0.7, 0.6, 0.8), (np.nan,) * 3]}, ["4", "all"], "Dice")
    assert figures[0].axes[0].lines[0].get_ydata()[0] == 0.7


def test_pairs_share_their_axes(figures):
    draw_pairs([("4", np.array([0.1]), np.array([0.2])), ("all", np.array([0.9]), np.array([0.8]))], "a", "b", "Dice")
    first, second = figures[0].axes
    assert first.get_xlim() == first.get_ylim() == second.get_xlim()
    assert first.collections[0].get_offsets().tolist() == [[0.1, 0.2]]


def test_drops_are_numbers_too(figures):
    draw_drops(pd.DataFrame({"a": [0.1, np.nan]}, index=["bias_field", "mean"]), "Dice")
    panel = figures[0].axes[0]
    assert _texts(panel) == ["0.100", "-"]
    assert [t.get_text() for t in panel.get_yticklabels()] == ["bias field", "mean"]


def test_equal_numbers_give_equal_files_and_strange_names_are_drawn():
    bar = Bar("a$^$b", "Größe <b> 試 " + "x" * 40, "no evidence", 0.0, 0.0, 0.0)
    first, second = (draw_forest([bar], 0.0, "Dice") for _ in range(2))
    assert first == second
    assert first[1:4] == b"PNG"
