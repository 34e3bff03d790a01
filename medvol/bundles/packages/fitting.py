"""Configs and weights that belong together: what the weights must hold, and which defaults must change for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from medvol.networks import read_weights
from medvol.passport import compare_passports

from ..inherit import inherited
from ..opening import open_bundle
from ..plain import plain
from ..reading import read_json

OWN_WEIGHTS = "$@bundle_root + '/models/model.pt'"
"""What a packed config says for its own weights, wherever the package lies and from any working directory."""

_OF_THE_RUN = ("run_name", "arm", "seed", "label_map")


def carried_values(folder: Path, weights: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a bundle that a run's weights replace, such as other ``filters`` or ``modalities``.

    They are the keys that an evaluation or an inference would take from the weights' passport.

    Args:
        folder: the bundle's folder.
        weights: the run's ``model.pt``, with its passport beside it.
        record: that passport.

    Returns:
        New values by key, only those that differ from a config's default.
    """
    found: dict[str, Any] = {}
    for name in ("inference.json", "evaluate.json"):
        original = read_json(folder / name) if (folder / name).is_file() else {}
        taken = inherited({**original, "weights": str(weights)}, original) if "weights" in original else {}
        wanted = (taken.keys() & record["recipe"].keys()) - set(_OF_THE_RUN)
        found |= {key: taken[key] for key in sorted(wanted) if taken[key] != original[key]}
    return found


def fitting_network(folder: Path, weights: Path, record: Mapping[str, Any], values: dict[str, Any]) -> nn.Module:
    """Build the network of a bundle's ``inference.json`` and require that a weights file is exactly its state.

    Args:
        folder: the bundle's folder.
        weights: the weights file.
        record: its passport.
        values: the defaults that change, from :func:`carried_values`.

    Returns:
        The network, with the weights of the file.

    Raises:
        ValueError: a tensor is missing, unknown, of another shape or not finite, named; or an argument of the network
            differs from that of the training.
    """
    parser = open_bundle(folder, "inference.json", values).parser
    differs = compare_passports(record["architecture"], plain(parser, "network_def"))
    if differs:
        shown = "; ".join(f"{key} was {one!r} and is {other!r}" for key, (one, other) in differs.items())
        raise ValueError(
            f"the network of {folder.name}/inference.json must be the one that the run trained; found another "
            f"({shown}); correct network_def in the configs, or train with this one"
        )
    network = parser.get_parsed_content("network_def")
    state, file = network.state_dict(), read_weights(weights)
    problems = [f"{name} is missing" for name in state if name not in file]
    problems += [f"{name} is unknown to the network" for name in file if name not in state]
    for name in state.keys() & file.keys():
        one, other = tuple(file[name].shape), tuple(state[name].shape)
        if one != other:
            problems.append(f"{name} has the shape {one}, the network {other}")
        elif file[name].dtype != state[name].dtype:
            problems.append(f"{name} is {file[name].dtype}, in the network {state[name].dtype}")
        elif file[name].is_floating_point() and not torch.isfinite(file[name]).all():
            problems.append(f"{name} holds numbers that are not finite")
    if problems:
        more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"{weights} must hold exactly the tensors of network_def in {folder.name}/inference.json; found: "
            f"{'; '.join(sorted(problems)[:5])}{more}; pack the run's own model.pt, or train again"
        )
    network.load_state_dict(file)
    return network.eval()


def fitted_config(text: str, values: Mapping[str, Any]) -> str:
    r"""Return a config's text with other values for some top-level keys; every other character stays.

    Args:
        text: a JSON object.
        values: new values; a key that the config does not have is passed over.

    Example:
        >>> fitted_config('{\n  "filters": [16, 32],\n  "spatial_dims": 3\n}', {"filters": [8, 16, 32], "steps": 1})
        '{\n  "filters": [8, 16, 32],\n  "spatial_dims": 3\n}'
    """
    decoder, place, parts, done = json.JSONDecoder(), text.index("{") + 1, [], 0
    while (place := _next(text, place, " \t\r\n,")) < len(text) and text[place] != "}":
        key, place = decoder.raw_decode(text, place)
        start = _next(text, place, " \t\r\n:")
        old, place = decoder.raw_decode(text, start)
        if key in values and values[key] != old:
            parts += [text[done:start], json.dumps(values[key], ensure_ascii=False)]
            done = place
    return "".join([*parts, text[done:]])


def _next(text: str, place: int, skipped: str) -> int:
    while place < len(text) and text[place] in skipped:
        place += 1
    return place
