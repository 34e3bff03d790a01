"""The pages of docs/data/layouts; ``python tests/data/layouts/test_pages.py`` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from medvol.data import layouts
from medvol.data.layouts.pages import render_pages

FOLDER = Path(__file__).parents[3] / "docs/data/layouts"


def test_the_committed_pages_are_those_of_the_importers() -> None:
    pages = render_pages()
    assert sorted(pages) == sorted(file.name for file in FOLDER.glob("*.md"))
    for name, text in pages.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}: run this file to write it anew"


def test_every_page_draws_the_tree_and_names_every_option() -> None:
    for name, text in render_pages().items():
        if name != "README.md":
            assert text.count("```") >= 4, f"{name} has no tree"
            assert "| `name` |" in text, name


def undescribed(folder, *, name=None, mystery=1) -> None:
    """Import nothing.

    Args:
        folder: where.
        name: what.
    """


def test_an_option_without_a_description_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medvol.data.layouts.pages.find_importer", lambda layout: undescribed)
    monkeypatch.setattr("medvol.data.layouts.pages.LAYOUTS", {"odd": ""})
    with pytest.raises(ValueError, match="option 'mystery'"):
        render_pages()
    assert layouts.LAYOUTS != {"odd": ""}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file_name, page in render_pages().items():
        (FOLDER / file_name).write_text(page, encoding="utf-8")
