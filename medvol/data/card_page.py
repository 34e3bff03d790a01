"""The page about public sets that is made of their cards."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .cards import Card, card_names, load_card
from .datalist import SECTIONS


def render_cards() -> str:
    """Return the page about all cards in Markdown: a table, then for each set its layout, labels, split and traps.

    Example:
        >>> render_cards().startswith("# Public data sets")
        True
    """
    cards = [load_card(name) for name in card_names()]
    lines = [
        "# Public data sets",
        "",
        "What is known of each set before you import it with",
        "`python -m medvol manifest import <name> <folder> --out mine.json`.",
        "No data come with medvol; the terms of a set are its owner's: read them there. Numbers are cases / patients,",
        "`?` is unknown. *Checked* says what was looked up where, *Not verified* what was not; papers have the rest.",
        "This page is made from `data_manifests/cards/` by `python tests/data/test_card_page.py`: edit the cards.",
        "",
        "| name | what | modalities | training | validation | test | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in cards:
        counts = " | ".join(_count(card.counts.get(section)) for section in SECTIONS)
        cells = (f"[{card.name}](#{card.name})", card.title, ", ".join(card.modalities) or "yours to choose")
        lines.append(f"| {' | '.join(cells)} | {counts} | {card.licence} |")
    return "\n".join([*lines, *(line for card in cards for line in _section(card))]) + "\n"


def _count(count: Mapping[str, int | None] | None) -> str:
    if count is None:
        return "-"
    return " / ".join("?" if count[key] is None else f"{count[key]:,}" for key in ("cases", "patients"))


def _section(card: Card) -> list[str]:
    options = ", ".join(f"`{key}={json.dumps(value)}`" for key, value in card.layout["options"].items())
    labels = ", ".join(f"{value} {name}" for name, value in card.label_map.items())
    regions = "; ".join(f"{region}: {', '.join(names)}" for region, names in card.regions.items())
    targets = "; ".join(f"{target}: {', '.join(classes)}" for target, classes in card.targets.items())
    names = "; ".join(f"{theirs} is {ours}" for theirs, ours in card.layout.get("names", {}).items() if theirs != ours)
    overlaps = "; ".join(f"[{other['set']}](#{other['set']}): {other['what']}" for other in card.overlaps)
    rows = {
        "access": f"{card.access} <{card.url}>",
        "cite": card.reference,
        "split": card.split,
        "labels": labels,
        "regions": regions,
        "targets": targets,
        "overlaps": overlaps,
        "names": names,
        "importer": f"`{card.layout['importer']}`" + (f" with {options}" if options else ""),
    }
    lines = ["", f"## {card.name}", "", card.title, "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in rows.items() if value]
    lines += ["", "```", *card.layout["tree"].rstrip("\n").split("\n"), "```"]
    for heading, sentences in (("Traps", card.traps), ("Checked", card.checked), ("Not verified", card.unverified)):
        if sentences:
            lines += ["", f"*{heading}*", "", *(f"- {sentence}" for sentence in sentences)]
    return lines
