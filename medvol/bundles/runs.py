"""The run that a training config stands for: its name, its folder and its passport."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medvol.data import Manifest, load_manifest
from medvol.networks import find_weights
from medvol.passport import read_passport, rows_hash
from medvol.writing import write_whole

from .identity import recipe, run_hash, versions
from .plain import fixed_transforms, plain
from .refusal import innermost, refuse

NOTE = "run.json"
_OF_THE_START = ("bundle", "run", "hash", "steps", "data", "licence")
_UNSTATED = "licence not stated"


@dataclass(frozen=True)
class Run:
    """Where a run writes, and whether it has finished before.

    Attributes:
        name: the user's ``run_name``, or the first 8 digits of the hash.
        folder: the run's folder.
        hash: the run's identity.
        finished: whether that very run has finished.
    """

    name: str
    folder: Path
    hash: str
    finished: bool


def identify(parser: ConfigParser) -> Run:
    """Compute a training config's identity, and write ``run_name``, ``run_dir`` and the like into it.

    The passport goes into ``run.json`` and not into the config: MONAI would parse the recipe inside of it.

    Args:
        parser: the running workflow's parser.

    Raises:
        GuardError: when the name belongs to another run, or the folder cannot be written.
    """
    config = parser.config
    digest = run_hash(config)
    name = str(config.get("run_name") or digest[:8])
    folder = Path(parser.get_parsed_content("output_dir")) / name
    restart = bool(config.get("restart"))
    note = folder / NOTE
    other = json.loads(note.read_text(encoding="utf-8"))["hash"] if note.is_file() else digest
    if other != digest and not restart:
        found = f"another run under that name (hash {other[:8]})"
        remedy = "choose another --run_name, or --restart True to overwrite it"
        refuse(f"'{name}' to be new or this very run (hash {digest[:8]})", found, remedy)
    finished = (folder / "passport.json").is_file() and (folder / "model.pt").is_file()
    record = _passport(config, Path(parser.get_parsed_content("bundle_root")).name, name, digest)
    filled = {"run_name": name, "run_dir": str(folder), "arm": record["arm"]}
    start = find_weights(config.get("pretrained"))
    filled["pretrained"] = None if start is None else str(start)  # `@latest` may move on while the run lasts
    for key, value in filled.items():
        if key in config:
            parser[key] = value
    if int(os.environ.get("RANK", 0)) == 0 and (restart or not finished):
        _write(note, record)
    return Run(name, folder, digest, finished)


def passport(run_dir: str) -> dict[str, Any]:
    """Return what is known of a run before it starts, the beginning of its passport.

    Args:
        run_dir: the folder that :func:`medvol.bundles.guard` wrote into the config.

    Raises:
        FileNotFoundError: when the guard has not run.
    """
    note = Path(run_dir or ".") / NOTE
    if not note.is_file():
        message = f"expected {NOTE} in the run's folder; found none at {note}; let $medvol.bundles.guard() run first"
        raise FileNotFoundError(message)
    return json.loads(note.read_text(encoding="utf-8"))


def _passport(config: dict[str, Any], bundle: str, name: str, digest: str) -> dict[str, Any]:
    manifest = load_manifest(config["manifest"], config.get("dataset_dir")) if config.get("manifest") else None
    start = find_weights(config.get("pretrained"))
    origin = (read_passport(start) if start else None) or {}
    parser = ConfigParser(deepcopy(config))  # what is asked of a copy leaves nothing built in the one that runs
    classes = parser.get_parsed_content("permutations") if config.get("permutations") else None
    return {
        "bundle": bundle,
        "run": name,
        "hash": digest,
        "architecture": plain(parser, "network_def"),
        "preprocessing": fixed_transforms(parser),
        "modalities": list(config.get("modalities") or (manifest.modalities if manifest else ())),
        "data": None if manifest is None else _data_record(manifest, parser),
        "pretrained": {k: origin.get(k) for k in _OF_THE_START} if start else None,
        "arm": config.get("arm") or (origin.get("bundle") or start.stem if start else "scratch"),
        "seed": config.get("seed"),
        **({} if classes is None else {"permutations": rows_hash(classes)}),
        "recipe": recipe(config),
        "versions": versions(),
        "licence": _licence(manifest, start is not None, origin),
        "intended_use": (config.get("_meta_") or {}).get("intended_use"),
    }


def _data_record(manifest: Manifest, parser: ConfigParser) -> dict[str, Any]:
    named = {"name": manifest.name, "hash": manifest.hash, "synthetic": manifest.synthetic}
    # A licence may be a notice in the description that every copy has to carry.
    terms = {
        "description": manifest.description,
        "licence": manifest.licence,
        "reference": manifest.reference,
        "modalities": list(manifest.modalities),
    }
    places = {"training": "train::dataset::data", "validation": "validate::dataset::data"}
    sections = {section: _counts(parser, key) for section, key in places.items() if key in parser}
    return {
        **named, **terms, "label_map": dict(manifest.label_map), "sections": sections,
        "subset": _subset(parser.config, manifest),
    }  # fmt: skip


def _counts(parser: ConfigParser, key: str) -> dict[str, int]:
    """Cases and patients of the very items that the config asks for."""
    try:
        items = parser.get_parsed_content(key)
    except (OSError, ValueError, RuntimeError) as error:
        refuse(f"images as '{key}' asks for them", innermost(error), "correct the keys that choose the images")
    if hasattr(items, "places"):  # rows on disk, perhaps millions: their column is read, not every item
        return {"cases": len(items), "patients": len(items.rows.column("patient").take(items.places).unique())}
    return {"cases": len(items), "patients": len({item["patient"] for item in items})}


def _subset(config: dict[str, Any], manifest: Manifest) -> str:
    """Which of the training patients were used, in words."""
    count, seed = config.get("num_patients"), config.get("subset_seed", 0)
    held = len(manifest.patients("training"))
    drawn = "all patients" if count in (None, "all") else f"{count} of {held} patients, drawn with subset seed {seed}"
    return f"{drawn}, of the rows where {config['where']}" if config.get("where") else drawn


def _licence(manifest: Manifest | None, started: bool, origin: dict[str, Any]) -> str:
    """The terms of the weights: those of the code, of the data, and of the weights that they started from."""
    terms = ["Apache-2.0 (code)"]
    if manifest is not None:
        terms.append(f"trained on {manifest.name}: {manifest.licence or _UNSTATED}")
    if started:
        terms.append(f"started from {origin.get('bundle') or 'other weights'}: {origin.get('licence') or _UNSTATED}")
    return "; ".join(terms)


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        refuse(f"a folder to write the run to, {path.parent}", str(error), "give another one by --output_dir")
