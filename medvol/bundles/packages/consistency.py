"""What goes out must fit together: one network and one preparation of images in all configs, and nothing private."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from medvol.passport import compare_passports, machine_places

from ..opening import open_bundle
from ..plain import fixed_transforms, plain

__all__ = ["config_problems", "private_problems", "run_problems"]

_CHAINS = {"inference.json": "preprocessing", "evaluate.json": "preprocessing"}
_SHAPING = {"EnsureTyped", "SpatialPadd", "ForegroundMaskd"}
"""Transforms that a training may have besides: they change the type, the margin or another key, and no voxel."""

_NAMES = re.compile(r"\b(patient|case|image|label)\b")


def config_problems(folder: Path, record: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield where a config builds another network than the run trained, or prepares images in another way.

    Args:
        folder: the bundle's folder.
        record: the passport of the weights.
        values: the defaults that change, from :func:`medvol.bundles.packages.fitting.carried_values`.
    """
    for name in ("inference.json", "evaluate.json", "train.json"):
        if not (folder / name).is_file():
            continue
        parser = open_bundle(folder, name, values).parser
        network = compare_passports(record["architecture"], plain(parser, "network_def"))
        if network:
            yield f"another network in {name} ({_shown(network)})"
        if name in _CHAINS:
            trained = _preparation(record["preprocessing"])
            here = _preparation(fixed_transforms(parser, _CHAINS[name]) or [])
            other = compare_passports(trained, here)
            if other:
                yield f"another preparation of images in {name} ({_shown(other)})"


def private_problems(record: Mapping[str, Any], files: Mapping[str, Any]) -> Iterator[str]:
    """Yield what names patients or places on one machine: an expression over cases, or a path in a config.

    Args:
        record: the passport of the weights.
        files: what is packed, by path in the package: bytes, or files that are not looked into.
    """
    where = record["recipe"].get("where")
    if isinstance(where, str) and _NAMES.search(where):
        yield f"the expression {where!r} over patients or cases in the passport; choose by a column of your own instead"
    for name, content in files.items():
        if name.endswith(".json") and isinstance(content, bytes) and not name.startswith("configs/"):
            for key, text in machine_places(json.loads(content)):
                yield f"the place {text!r} at '{key}' in {name}; give it on the command line instead"


def run_problems(record: Mapping[str, Any], weights: Path) -> Iterator[str]:
    """Yield where a passport contradicts itself or the run in whose folder it lies.

    Args:
        record: the passport.
        weights: the weights that it lies beside.
    """
    named, trained = record["modalities"], record["recipe"].get("modalities")
    if isinstance(trained, list) and named != trained:
        yield f"the modalities {named}, while its recipe has {trained}"
    note = weights.with_name("run.json")
    if note.is_file():
        run = json.loads(note.read_text(encoding="utf-8")).get("hash")
        if run not in (None, record["hash"]):
            yield f"the hash {str(record['hash'])[:8]}, in the folder of run {str(run)[:8]}"


def _preparation(transforms: list[dict[str, Any]]) -> dict[str, Any]:
    """The transforms of the image, by number and class, with the arguments that concern the image."""
    found: dict[str, Any] = {}
    for transform in transforms:
        kind = str(transform.get("_target_", "")).rpartition(".")[2]
        keys = transform.get("keys", ["image"])
        keys = [keys] if isinstance(keys, str) else list(keys)
        if "image" not in keys or kind in _SHAPING:
            continue
        place = keys.index("image")
        arguments = {
            name: value[place] if isinstance(value, list) and len(value) == len(keys) > 1 else value
            for name, value in transform.items()
            if name not in ("_target_", "keys")
        }
        found[f"{len(found)} {kind}"] = arguments or True
    return found


def _shown(differences: Mapping[str, tuple[Any, Any]]) -> str:
    rows = [f"{key} was {one!r} and is {other!r}" for key, (one, other) in differences.items()]
    return "; ".join(rows[:3]) + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
