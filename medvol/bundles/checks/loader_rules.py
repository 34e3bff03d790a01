"""What must hold of the loaders that a bundle builds: whether its batches can be made of these cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..opening import OpenBundle
from ..refusal import Problem
from .network_rules import build_problems
from .trying import side_parser

_REMEDIES = {
    "train": "give a --batch_size of 2 or more, and more patients by --num_patients or in the manifest",
    "validate": "give a --batch_size of 2 or more, and deal more patients into validation "
    "('python -m medvol manifest split')",
}


def apart_rule(opened: OpenBundle) -> Iterator[Problem]:
    """Where batches must hold several patients, the cases and the size of a batch allow it."""
    for section in _REMEDIES:
        node = opened.config.get(section)
        loader = node.get("dataloader") if isinstance(node, dict) else None
        if not isinstance(loader, dict) or not loader.get("apart"):
            continue
        for problem in build_problems(side_parser(opened.config), f"{section}::dataloader"):
            yield replace(problem, remedy=_REMEDIES[section])
