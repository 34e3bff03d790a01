"""Sizes and gray scales of panels."""

from __future__ import annotations

import pytest

from medvol.bundles.previews.geometry import Cut
from medvol.bundles.previews.panels import axis_name, fitted, line, patch, titled


def test_panels_keep_their_proportions() -> None:
    sizes = fitted([(80.0, 100.0), (80.0, 60.0)], width=10.0, height=2.0)
    assert sizes == [pytest.approx((1.6, 2.0)), pytest.approx((1.6, 1.2))]
    assert sum(width for width, _ in fitted([(80.0, 10.0)] * 3, width=9.0, height=5.0)) == pytest.approx(9.0)


def test_words() -> None:
    assert titled(["t1", "t2"], "axial, slice 3") == "t1, axial, slice 3"
    assert titled(["xray"], "") == "xray"
    assert axis_name(Cut(2, 7, 0, 1)) == "axis 2, slice 7"
    assert axis_name(Cut(None, 0, 0, 1)) == ""
    assert line("a", "white").get_color() == "0.75"  # visible on white paper
    assert patch("b", "#E69F00", 0.5).get_label() == "b"
