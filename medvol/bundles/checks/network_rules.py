"""What must hold of the network and of the transforms that a bundle builds from its settings."""

from __future__ import annotations

from collections.abc import Iterator

from monai.bundle import ConfigParser

from ..keys import component_problems
from ..opening import OpenBundle
from ..refusal import Problem, innermost
from .trying import on_the_side, side_parser

NETWORK_KEYS = ("network_def", "network")
"""Keys of a network: the one that is kept, and what it is trained in or what fills it with weights."""


def network_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The network can be built from its settings.

    Weights are loaded into it by the rule of the weights.
    """
    parts = {key: opened.config[key] for key in NETWORK_KEYS if isinstance(opened.config.get(key), dict)}
    if any(component_problems(parts)):  # an argument that there is not: the rule of the keys says it
        return
    parser = side_parser(opened.config)
    for key, node in parts.items():
        if str(node.get("_target_", "")).endswith("load_pretrained"):
            continue
        problems = list(build_problems(parser, key))
        yield from problems
        if problems:  # what is around it fails of the same
            return


def preprocessing_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The transforms and the loss of the training can be built: grids, crops and classes fit each other."""
    train = opened.config.get("train")
    chain = train.get("preprocessing") if isinstance(train, dict) else None
    if isinstance(chain, dict) and not any(component_problems({"preprocessing": chain})):
        yield from build_problems(side_parser(opened.config), "train::preprocessing")
    loss = opened.config.get("loss")
    if isinstance(loss, dict) and not any(component_problems({"loss": loss})):
        yield from build_problems(side_parser(opened.config), "loss")


def build_problems(parser: ConfigParser, key: str) -> Iterator[Problem]:
    """Yield why a part of a config cannot be built, if it cannot, with the innermost cause.

    Args:
        parser: of :func:`medvol.bundles.checks.trying.side_parser`; keeps the part once it is built.
        key: where the part stands.

    Example:
        >>> list(build_problems(side_parser({"steps": 3, "twice": "$2 * @steps"}), "twice"))
        []
    """
    try:
        with on_the_side():
            parser.get_parsed_content(key)
    except Exception as error:
        found = innermost(error)
        yield Problem(f"settings that '{key}' can be built from", found, f"change the settings that @{key} is built of")
