"""What a packed bundle holds, by name: configs, pages, weights, and where the weights are served."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from medvol.data.files import checksum

from .card import card_text, without_front_matter
from .fitting import OWN_WEIGHTS, fitted_config

_CONFIGS = ("train.json", "inference.json")
_ALSO = ("evaluate.json",)
_URL = re.compile(r"(https?|file)://[^\s#@]+")


def package_members(
    folder: Path,
    weights: Path,
    record: Mapping[str, Any],
    values: Mapping[str, Any],
    metadata: Mapping[str, Any],
    weights_url: str | None = None,
) -> dict[str, bytes | Path]:
    """Return everything that a package holds, by its path below the bundle's folder.

    Only what a bundle consists of goes in: no runs, no hidden files, and no JSON file that is not one of its configs,
    for that may name patients.

    Args:
        folder: the bundle's folder.
        weights: the weights, with their passport beside them.
        record: that passport.
        values: defaults of the configs that change, from :func:`medvol.bundles.packages.fitting.carried_values`.
        metadata: the bundle's metadata, made to fit where values change.
        weights_url: where the weights are served.

    Returns:
        Contents, or the files that hold them.

    Raises:
        FileNotFoundError: a file that every bundle has is missing.
        ValueError: the address is none, or the bundle's ``large_files.yml`` names other weights.
    """
    large = _large_files(folder, weights, weights_url)
    return {
        **_configs(folder, values, metadata if values else None),
        **_pages(folder, record, metadata),
        "models/model.pt": weights,
        "models/passport.json": weights.with_name("passport.json"),
        **({"large_files.yml": large} if large else {}),
    }


def _configs(folder: Path, values: Mapping[str, Any], metadata: Mapping[str, Any] | None) -> dict[str, bytes | Path]:
    """The configs by their two names in the package, as files of their own instead of links."""
    names = [*_CONFIGS, *_ALSO, *sorted(path.name for path in folder.glob("*args_*.json"))]
    texts: dict[str, str] = {}
    for name in names:
        if name in _ALSO and not (folder / name).exists():
            continue
        text = _text(folder, name)
        own = {"weights": OWN_WEIGHTS} if name in ("inference.json", *_ALSO) else {}
        texts[name] = fitted_config(text, {**values, **own}) if "args_" not in name else text
    meta = _text(folder, "metadata.json")
    texts["metadata.json"] = meta if metadata is None else json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
    texts["logging.conf"] = _text(folder, "logging.conf")
    return {place + name: text.encode() for name, text in texts.items() for place in ("", "configs/")}


def _pages(folder: Path, record: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, bytes | Path]:
    page = _text(folder, "README.md")
    card = without_front_matter(card_text(record, metadata))
    docs = {"docs/README.md": f"{page.rstrip()}\n\n---\n\n{card}".encode(), "README.md": page.encode()}
    return {**docs, "LICENSE": _text(folder, "LICENSE").encode()}


def _text(folder: Path, name: str) -> str:
    file = folder / name
    if not file.is_file():
        raise FileNotFoundError(f"a bundle that goes out must hold {name}; found none in {folder}; add it")
    return file.read_bytes().decode("utf-8")  # without translating the ends of lines


def _large_files(folder: Path, weights: Path, url: str | None) -> bytes | None:
    """``large_files.yml`` with where the weights are served, or the bundle's own where it is of these weights."""
    digest = checksum(weights)
    if url is not None:
        if not _URL.fullmatch(url):
            raise ValueError(
                "weights_url must be an address such as https://host/model.pt, without #, @ and spaces; found "
                f"{url!r}; correct it"
            )
        entry = {"path": "models/model.pt", "url": url, "hash_val": digest, "hash_type": "sha256"}
        return yaml.safe_dump({"large_files": [entry]}, sort_keys=False).encode()
    own = folder / "large_files.yml"
    if not own.is_file():
        return None
    content = own.read_bytes()
    if digest.encode() not in content:
        raise ValueError(
            f"{own} must name the weights that are packed (SHA-256 {digest}); found others; give --weights_url, or "
            "remove the file"
        )
    return content
