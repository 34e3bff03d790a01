"""The page: nothing overlaps, nothing is cut off."""

from __future__ import annotations

import io
import itertools

import numpy as np
from PIL import Image

from medvol.bundles.previews.page import Page
from medvol.bundles.previews.panels import line
from medvol.figures import mark_ends, show_plane


def boxes(page: Page) -> list:
    """Where every panel, title, letter, line of text and legend lies, in pixels."""
    page.png(dpi=100)
    figure = page.figure
    renderer = figure.canvas.get_renderer()
    artists = [*figure.texts, *figure.legends]
    for panel in figure.axes:
        artists += [text for text in (panel.title, *panel.texts) if text.get_text()]
    found = [artist.get_window_extent(renderer) for artist in artists]
    return found + [panel.get_window_extent(renderer) for panel in figure.axes]


def test_nothing_overlaps_or_is_cut_off() -> None:
    page = Page(6.0)
    page.text("a title", size=12, bold=True)
    page.text("words that go on and on, " * 8)
    for panel in page.row(
        [(1.2, 1.0), (1.2, 0.7), (1.5, 1.0)],
        ["one", "two", "t1 with quite a long title of its own, longer than the two lines that it may have here"],
        letters=True,
    ):
        show_plane(panel, np.eye(4), (1.0, 1.0), (0.0, 1.0))
        mark_ends(panel, ("L", "R"), ("P", "A"), outside=True, size=8)
    page.legend([line(f"entry number {n}", "red") for n in range(9)])
    page.row([(0.5, 0.5)] * 3, ["a", None, "b"], left="a modality with a long name")
    page.text("the end")
    found = boxes(page)
    width, height = page.figure.get_size_inches() * 100
    for box in found:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    for one, other in itertools.combinations(found, 2):
        across = min(one.x1, other.x1) - max(one.x0, other.x0)
        along = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(across, along) <= 1.0, (one, other)
    lines = page.figure.axes[2].get_title().split("\n")
    assert len(lines) == 2
    assert lines[1].endswith("...")
    assert len(page.figure.axes) == 5


def test_equal_pages_are_equal_bytes() -> None:
    def png() -> bytes:
        page = Page(2.0)
        (panel,) = page.row([(1.0, 0.5)], [""])
        show_plane(panel, np.arange(8.0).reshape(4, 2), (1.0, 1.0), (0.0, 7.0))
        return page.png(dpi=50)

    first = png()
    assert first == png()
    assert Image.open(io.BytesIO(first)).size[0] == 100


def test_any_word_is_drawn_as_it_stands() -> None:
    def png(words: str) -> bytes:
        page = Page(3.0)
        page.row([(1.0, 0.5)], [words], left=words)
        page.text(words)
        page.legend([line(words, "red")])
        content = page.png(dpi=50)
        for text in (page.figure.texts[-1], page.figure.axes[0].title, *page.figure.legends[0].get_texts()):
            assert not text.get_parse_math()
        return content

    assert png("a$^$b")[1:4] == b"PNG"  # no formula that matplotlib knows
    assert png("患者")[1:4] == b"PNG"  # not in the font: no warning, which is an error here
    assert png("$x$") != png("x")


def test_the_room_of_a_row_is_what_its_panels_take() -> None:
    page = Page(8.0)
    share = page.inner(3, left=True, letters=True) / 3
    page.row([(share, 0.5)] * 3, ["", "", ""], left="t1", letters=True)
    page.png(dpi=20)
    right = page.figure.axes[-1].get_position().x1 * 8.0
    assert abs(right + page.RIM + page.MARGIN - 8.0) < 1e-6
