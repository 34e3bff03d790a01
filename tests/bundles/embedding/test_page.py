"""The page: nothing from outside, names escaped, small, and every case in it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from medvol.bundles.embedding import page as embedding_page
from medvol.bundles.embedding.colors import color_cases
from medvol.bundles.embedding.file import Embeddings
from medvol.bundles.embedding.map import project
from medvol.bundles.embedding.page import render

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a'b&amp;c",
    "{{ 7 * 7 }}",
    "</table>",
    "é患者",
]


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page(
    count: int = 12, names: list[str] | None = None, values: list | None = None, picture: str | None = None
) -> str:
    names = [f"c{k}" for k in range(count)] if names is None else names
    table = pd.DataFrame({"case": names, "patient": [f"of {name}" for name in names]})
    features = np.random.default_rng(0).normal(size=(len(names), 6)).astype(np.float32)
    record = {"medvol": "1", "weights": "0123456789", "run": {"bundle": "cpc3d", "run": "r"}, "left_out": []}
    found = Embeddings(table, np.arange(len(names)), features, np.zeros(6, int), record=record)
    coloring = color_cases(None if values is None else "<b>site", values, len(names))
    facts = [("warning", "Beware <now>.")]
    return render("demo <i>", found, project(features), coloring, [picture] * len(names), facts)


def test_hostile_names_stay_text() -> None:
    text = page(names=HOSTILE, values=HOSTILE)
    found = Reader(text)
    assert sum(tag == "script" for tag, _ in found.tags) == 1
    assert not any(tag in ("img", "i", "b") or "onerror" in attributes for tag, attributes in found.tags)
    for name in HOSTILE:
        assert name in found.text
        labels = [attributes["aria-label"] for tag, attributes in found.tags if attributes.get("role") == "option"]
        assert any(label.startswith(f"{name}, patient of {name}, <b>site {name}") for label in labels), name


def test_nothing_comes_from_outside() -> None:
    text = page(picture="data:image/webp;base64,AAAA")
    assert not re.search(r"https?:|//\w|@import|url\(", text)
    found = Reader(text)
    assert not any(tag in ("link", "iframe", "object") for tag, _ in found.tags)
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in found.tags)


def test_every_case_is_a_mark_and_a_line() -> None:
    found = Reader(page(12))
    marks = [attributes for _, attributes in found.tags if attributes.get("role") == "option"]
    assert sorted(mark["id"] for mark in marks) == sorted(f"p{k}" for k in range(12))
    assert all(len(mark["data-near"].split()) == 5 for mark in marks)
    assert all(mark["id"][1:] not in mark["data-near"].split() for mark in marks)
    assert sum(tag == "tr" for tag, _ in found.tags) == 13
    places = np.array([re.findall(r"[\d.]+", mark["transform"]) for mark in marks], float)
    assert (places.min(0) >= [60, 16]).all()
    assert (places.max(0) <= [744, 508]).all()


def test_marks_lie_as_on_the_map() -> None:
    """One scale for both axes, the second axis up."""
    points = np.array([[0.0, 0.0], [4.0, 1.0], [2.0, 3.0]])
    placed = embedding_page._placed(points) * [1, -1]
    scale = (placed[1, 0] - placed[0, 0]) / 4
    assert scale > 0
    np.testing.assert_allclose(placed - placed[0], points * scale)


def test_colors_have_a_legend() -> None:
    found = Reader(page(12, values=["x", "y", None] * 4))
    assert "x (4)" in found.text
    assert "unknown (4)" in found.text
    numbers = page(12, values=[float(k) for k in range(12)])
    assert "linear-gradient(to right, #440154" in numbers
    assert "Beware &lt;now&gt;." in numbers


def test_many_cases_are_thinned_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_page, "_MOST_POINTS", 20)
    found = Reader(page(50))
    assert sum(attributes.get("role") == "option" for _, attributes in found.tags) == 20
    assert "20 in all; the file has them all" in " ".join(found.text.split())


@pytest.mark.slow
def test_a_page_stays_below_five_megabytes() -> None:
    """3,000 cases with long names; the pictures have 3.5 MB."""
    names = [f"{'case_of_some_length_' * 2}{k}" for k in range(3000)]
    assert len(page(names=names, values=[n[-1] for n in names]).encode()) < 1_500_000


@pytest.mark.parametrize("count", [1, 2])
def test_a_sentence_where_there_is_no_map(count: int) -> None:
    found = Reader(page(count))
    assert f"this is a set of {count}" in found.text
    assert not any(tag in ("svg", "script") for tag, _ in found.tags)
    assert sum(tag == "tr" for tag, _ in found.tags) == count + 1
