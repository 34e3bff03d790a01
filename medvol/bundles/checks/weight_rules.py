"""What must hold of the weights that a bundle starts from or runs with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

import medvol
from medvol.data.files import checksum
from medvol.networks import find_weights, read_weights
from medvol.passport import passport_path, read_passport

from ..opening import OpenBundle
from ..refusal import Problem, innermost
from .intensities import intensity_problems
from .network_rules import build_problems
from .trying import on_the_side, side_parser

WEIGHT_KEYS = ("pretrained", "weights")
"""Keys that name weights: what a training starts from, and what an evaluation runs with."""


def weights_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The weights exist, can be read, come from no newer medvol, and fit channels, intensities and network."""
    given = {key: opened.config[key] for key in WEIGHT_KEYS if key in opened.config}
    problems = [problem for key, value in given.items() for problem in _file_problems(key, value)]
    yield from problems
    if problems:
        return
    for key, value in given.items():
        path = find_weights(value)
        if path is not None:
            yield from _passport_problems(key, path)
    yield from channel_problems(opened.config)
    yield from intensity_problems(opened)
    yield from _fit_problems(opened)


def channel_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem if a trained network is given its own channels in another order.

    Other names are let pass: a scanner's "T1w" may be what the training called "t1". Weights to start a training from
    are mapped by name, and need no order.

    Args:
        config: of an evaluation or an inference, with weights that can be read.
    """
    path = find_weights(config["weights"]) if "weights" in config else None
    trained = ((read_passport(path) or {}) if path is not None else {}).get("modalities")
    asked = config.get("modalities")
    if not isinstance(trained, list) or not isinstance(asked, (list, tuple)):
        return
    if trained != list(asked) and sorted(trained) == sorted(map(str, asked)):
        expected = f"the channels in the order of the training, {', '.join(trained)}"
        yield Problem(expected, ", ".join(map(str, asked)), "leave --modalities out, or give them in that order")


def loaders(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where in a config weights are loaded into a network: the id and the content of every such component.

    Example:
        >>> list(loaders({"network": {"_target_": "medvol.networks.load_pretrained", "weights": "@weights"}}))
        [('network', {'_target_': 'medvol.networks.load_pretrained', 'weights': '@weights'})]
    """
    if isinstance(node, dict) and str(node.get("_target_", "")).rpartition(".")[2] == "load_pretrained":
        yield path, node
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield from loaders(value, f"{path}::{key}" if path else str(key))


def _file_problems(key: str, value: Any) -> Iterator[Problem]:
    try:
        path = find_weights(value)
    except (OSError, ValueError, TypeError) as error:
        yield Problem(f"weights for '{key}'", str(error), f"give a path or a name from that list by --{key}")
        return
    if path is None:
        if key == "weights":
            yield Problem("a trained network", f"'{key}' is {value!r}", f"give a path or a name by --{key}")
        return
    try:
        read_weights(path)
    except (OSError, ValueError) as error:
        yield Problem(f"a weights file for '{key}' that can be read", str(error), f"give other weights by --{key}")


def _passport_problems(key: str, path: Path) -> Iterator[Problem]:
    expected = f"the passport of the weights for '{key}' beside them"
    try:
        record = read_passport(path)
    except (OSError, ValueError) as error:
        yield Problem(expected, str(error), f"copy {passport_path(path).name} again from the run, or remove it")
        return
    if record is None:
        remedy = "copy passport.json from the run as well, or go on: run, data and channel names are then unknown"
        yield Problem(expected, f"none at {passport_path(path)}", remedy, "warning")
        return
    made_by = (record.get("versions") or {}).get("medvol") if isinstance(record.get("versions"), dict) else None
    if made_by is not None and _later(str(made_by), medvol.__version__):
        found = f"{path} was written by medvol {made_by}, and {medvol.__version__} is installed"
        yield Problem(
            f"weights for '{key}' of this medvol or an older one", found, f"update medvol to {made_by} or newer"
        )
    other = _run_beside(path)
    if other is not None and record.get("hash") not in (None, other):
        found = f"that of run {str(record['hash'])[:8]} at {passport_path(path)}, in the folder of run {other[:8]}"
        yield Problem(expected, found, "copy passport.json and model.pt together from one run")
    named = record.get("weights")
    # A copy in another format has another checksum, and the same passport.
    if isinstance(named, str) and path.name == "model.pt" and (found := checksum(path)) != named:
        found = f"that of weights with the SHA-256 {named[:8]}..., and {path} has {found[:8]}..."
        yield Problem(expected, found, "copy passport.json and model.pt together from one run")


def _run_beside(path: Path) -> str | None:
    """Return the hash of the run in whose folder the weights lie, if it can be known."""
    try:
        return str(json.loads((path.parent / "run.json").read_text(encoding="utf-8"))["hash"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _later(one: str, other: str) -> bool:
    try:
        return Version(one) > Version(other)
    except InvalidVersion:
        return False


def _fit_problems(opened: OpenBundle) -> Iterator[Problem]:
    """Load on the side what the run would load, into a network of its own, and report what is said about it."""
    for path, node in loaders(opened.config):
        parser = side_parser(opened.config)
        try:
            with on_the_side():
                if find_weights(parser.get_parsed_content(f"{path}::weights")) is None:
                    continue
        except Exception as error:
            yield Problem(f"weights for '{path}' that can be found", innermost(error), f"correct '{path}::weights'")
            continue
        inner = node.get("network")
        name = inner[1:] if isinstance(inner, str) and inner[1:] in opened.config else f"{path}::network"
        problems = list(build_problems(parser, name))
        yield from problems
        if problems:
            continue
        try:
            with on_the_side():
                parser.get_parsed_content(path)
        except Exception as error:
            found, _, remedy = innermost(error).rpartition("; ")
            remedy = remedy or "use the settings of the run that made the weights"
            yield Problem("weights whose tensors are those of the bundle's network", found or str(error), remedy)
