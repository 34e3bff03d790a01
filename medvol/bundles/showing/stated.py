"""What a bundle's config, or the recipe of a run, says: the two sides of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medvol.data import load_manifest
from medvol.data.shards import Shards
from medvol.networks import find_bundle, find_weights, weights_hash

from ..identity import recipe, versions
from ..inherit import fill_inherited
from ..keys import config_problems, plain_values, suggest
from ..opening import OpenBundle, open_bundle, read_json

__all__ = ["Stated", "state"]

_NOTES = ("passport.json", "run.json")


@dataclass(frozen=True)
class Stated:
    """A config as it is written, with overrides and what weights bring along.

    Attributes:
        name: what messages call it.
        config: the config.
        brought: which values the passport of the weights put into it, ``{}`` for none.
        record: of a run, what its passport says.
        computed: keys that have another value on each machine, and how the file writes them.
        defaults: the values that the file itself has.
    """

    name: str
    config: dict[str, Any]
    brought: dict[str, Any]
    record: dict[str, Any] | None
    computed: dict[str, Any]
    defaults: dict[str, Any]

    def comparable(self, with_run: bool) -> dict[str, Any]:
        """Return the config as it can be compared with another.

        Args:
            with_run: the other is a run, so paths become the hashes of what they name, and versions count.
        """
        if self.record is not None:
            data = self.record.get("data") or {}
            named = {**self.config, **({"manifest": _manifest_text(data)} if data else {})}
            return {**named, "versions": self.record.get("versions") or {}} if with_run else named
        config = {**self.config, **self.computed}
        return _as_recipe(config) if with_run else config


def state(bundle: str | Path, config: str = "train.json", overrides: Mapping[str, Any] | None = None) -> Stated:
    """Return what would run, or what ran.

    Args:
        bundle: a bundle's name, folder or config file; for a run ``cpc3d@latest``, ``cpc3d@<run>``, its folder or its
            weights file.
        config: which config of the bundle.
        overrides: values by key, as ``python -m monai.bundle run`` takes them.

    Raises:
        FileNotFoundError: no such bundle, config or run.
        ValueError: an override that nothing reads, or a file that is not JSON.
    """
    note = _run_note(bundle)
    if note is None:
        return _of_bundle(bundle, config, dict(overrides or {}))
    if overrides:
        raise ValueError(
            f"a run's recipe must be shown as it ran; found values for {', '.join(overrides)}; leave them out, or "
            "show the bundle with them"
        )
    record = read_json(note)
    if not isinstance(record.get("recipe"), dict):
        raise ValueError(f"{note} must hold the 'recipe' of a run; found {', '.join(record)}; train it again")
    return Stated(str(bundle), record["recipe"], {}, record, {}, {})


def _of_bundle(bundle: str | Path, config: str, overrides: dict[str, Any]) -> Stated:
    opened = open_bundle(bundle, config, overrides)
    name = f"{opened.name}/{opened.file.name}"
    parser = opened.parser
    for key, value in plain_values(opened.config).items():
        parser[key] = value
    if overrides:  # what is wrong with the file itself is shown, and not refused
        before = config_problems(opened.original)
        problems = [p for p in config_problems(opened.config, opened.original) if p not in before]
        if problems:
            raise ValueError(
                f"only keys that something reads are expected, with values of their type; correct or leave out what is "
                f"not; found: {'; '.join(problems)}"
            )
    brought = _brought(opened)
    computed = {"bundle_root": opened.original["bundle_root"]} if "bundle_root" in opened.original else {}
    content = {key: value for key, value in opened.config.items() if key != "_meta_"}
    computed = {key: value for key, value in computed.items() if key not in overrides}
    return Stated(name, content, brought, None, computed, opened.original)


def _brought(opened: OpenBundle) -> dict[str, Any]:
    """Fill in what the weights bring along, and return what that was."""
    if "weights" not in opened.config:
        return {}
    try:
        path = find_weights(opened.config["weights"])
    except (OSError, ValueError) as error:
        return {"weights": opened.config["weights"], "missing": str(error)}
    values = fill_inherited(opened.parser, opened.original)
    return {"weights": None if path is None else str(path), "values": values}


def _run_note(bundle: str | Path) -> Path | None:
    """The file with a run's recipe, None for what is no run."""
    path = Path(bundle)
    if path.exists() or "@" not in str(bundle):
        folder = path if path.is_dir() else path.parent if path.suffix in (".pt", ".safetensors") else None
        if path.name in _NOTES and path.is_file():
            return path
        return next((folder / note for note in _NOTES if (folder / note).is_file()), None) if folder else None
    name, _, run = str(bundle).rpartition("@")
    runs = find_bundle(name) / "eval"
    if run == "latest" and (runs / "latest.txt").is_file():
        run = (runs / "latest.txt").read_text(encoding="utf-8").strip()
    note = next((runs / run / note for note in _NOTES if (runs / run / note).is_file()), None)
    if note is None or len(Path(run).parts) != 1 or run == "..":
        known = sorted({file.parent.name for note in _NOTES for file in runs.glob(f"*/{note}")})
        listed = f"one of {', '.join(known)}" if known else "and it has none yet: train it first"
        raise FileNotFoundError(f"a run of {name} is expected, {listed}; found no '{run}'{suggest(run, known)}")
    return note


def _as_recipe(config: dict[str, Any]) -> dict[str, Any]:
    """A config as a run's passport has it, without what would be made or downloaded only to be compared."""
    named = {k: config[k] for k in ("manifest", "pretrained", "weights", "shards") if config.get(k) is not None}
    kept = recipe({**config, **dict.fromkeys(named)})
    if "manifest" in named:
        kept["dataset_dir"] = None
    return {**kept, **{key: _named(key, value, config) for key, value in named.items()}, "versions": versions()}


def _named(key: str, value: Any, config: dict[str, Any]) -> Any:
    try:
        if key == "manifest":
            if value == "phantom":  # to make it takes a while, and its name says all
                return value
            manifest = load_manifest(value, config.get("dataset_dir"))
            return _manifest_text({"name": manifest.name, "hash": manifest.hash})
        if key == "shards":
            return Shards(value).hash
        path = find_weights(value)
        return None if path is None else weights_hash(path)
    except (OSError, ValueError, KeyError):
        return str(value)


def _manifest_text(data: dict[str, Any]) -> str:
    return "phantom" if data.get("name") == "phantom" else f"{data.get('name')}, hash {data.get('hash')}"
