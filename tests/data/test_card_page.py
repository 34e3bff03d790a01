"""docs/data/sets.md: the committed page is that of the committed cards.

To write the page anew:  python tests/data/test_card_page.py
"""

import os
from pathlib import Path

import pytest

from medvol.data.card_page import render_cards
from medvol.data.cards import card_names, load_card

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/data/sets.md"


@pytest.fixture(autouse=True)
def _in_the_tree(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_page_is_that_of_the_cards():
    assert PAGE.read_text(encoding="utf-8") == render_cards()


def test_the_page_tells_every_card():
    page = render_cards()
    for name in card_names():
        card = load_card(name)
        section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert all(
            sentence in section for sentence in (*card.traps, *card.checked, *card.unverified, card.split, card.url)
        )
        assert all(len(row.split(" | ")) == 2 for row in section.split("\n") if row.startswith("| "))


if __name__ == "__main__":
    os.chdir(ROOT)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render_cards(), encoding="utf-8")
    print(PAGE)
