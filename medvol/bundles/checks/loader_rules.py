"""What must hold of the data sets and loaders that a bundle builds: whether its samples can be made of these cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..opening import OpenBundle
from ..refusal import Problem
from .network_rules import build_problems
from .trying import side_parser

_MORE = {
    "train": "more patients by --num_patients or in the manifest",
    "validate": "deal more patients into validation ('python -m medvol manifest split')",
}


def apart_rule(opened: OpenBundle) -> Iterator[Problem]:
    """Where batches must hold several patients, or a sample has a partner of another one, there are enough of them."""
    for section, more in _MORE.items():
        node = opened.config.get(section)
        if not isinstance(node, dict):
            continue
        if _asks(node, "dataloader", "apart"):
            part, remedy = "dataloader", f"give a --batch_size of 2 or more, and {more}"
        elif _asks(node, "dataset", "partner"):
            part, remedy = "dataset", more if section == "validate" else f"give {more}"
        else:
            continue
        for problem in build_problems(side_parser(opened.config), f"{section}::{part}"):
            yield replace(problem, remedy=remedy)


def _asks(node: dict[str, Any], part: str, argument: str) -> bool:
    return isinstance(node.get(part), dict) and bool(node[part].get(argument))
