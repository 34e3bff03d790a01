"""What must hold of the loaders that a bundle builds: whether its batches can be made of these cases."""

from __future__ import annotations

from collections.abc import Iterator

from ..opening import OpenBundle
from ..refusal import Problem
from .network_rules import build_problems
from .trying import side_parser

LOADERS = ("train", "validate")


def apart_rule(opened: OpenBundle) -> Iterator[Problem]:
    """Where batches must hold several patients, the cases and the size of a batch allow it."""
    for section in LOADERS:
        node = opened.config.get(section)
        loader = node.get("dataloader") if isinstance(node, dict) else None
        if isinstance(loader, dict) and loader.get("apart"):
            yield from build_problems(side_parser(opened.config), f"{section}::dataloader")
