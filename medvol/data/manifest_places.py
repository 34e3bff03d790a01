"""Where a manifest lies: by its name, by its path, or in the cache; and what to do where it does not."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Sequence
from pathlib import Path

from .datalist import did_you_mean

__all__ = ["find_manifest", "manifest_folders"]


def find_manifest(name: str) -> Path:
    """Return the file of a manifest, see :func:`medvol.data.load_manifest`.

    Raises:
        FileNotFoundError: there is no such manifest; of a public set the message says how to import it.

    Example:
        >>> find_manifest("hippocampus").name
        'hippocampus.json'
    """
    if name == "phantom":
        from .phantom import phantom_manifest  # the simulator, and what it needs, load only where they are used

        return Path(phantom_manifest())
    if name.endswith((".json", ".parquet")) or "/" in name or os.sep in name:
        file = Path(name).expanduser().absolute()
        if not file.is_file():
            kind = "Parquet" if file.suffix == ".parquet" else "JSON"
            remedy = _how_to_import(file.stem, manifest_folders()) or "correct the path"
            raise FileNotFoundError(f"a manifest is a name or a {kind} file; there is no file {file}; {remedy}")
        return file
    folders = manifest_folders()
    for folder in folders:
        if (folder / f"{name}.json").is_file():
            return folder / f"{name}.json"
    known = sorted({"phantom", *(file.stem for folder in folders for file in folder.glob("*.json"))})
    remedy = did_you_mean(name, known)
    remedy = _how_to_import(name, folders) or remedy
    raise FileNotFoundError(
        f"a manifest is looked for in {' and '.join(map(str, folders))}; none is called '{name}'; {remedy}"
    )


def manifest_folders() -> list[Path]:
    """Return the folders in which manifests and cards are looked for: here, then those that came with medvol."""
    folders = [Path("data_manifests").absolute()]
    try:
        folders.append(Path(str(importlib.resources.files("medvol._manifests"))))
    except ModuleNotFoundError:  # a source tree that nobody installed
        folders.append(Path(__file__).parents[2] / "data_manifests")
    return folders


def _how_to_import(name: str, folders: Sequence[Path]) -> str | None:
    """Return what to do about a missing manifest that is named like the card of a public set."""
    if not any((folder / "cards" / f"{name}.json").is_file() for folder in folders):
        return None
    return (
        f"'{name}' is a public set that you get yourself (docs/data/sets.md); then write its manifest with 'python -m "
        f"medvol manifest import {name} <folder> --out {name}.json', and deal it out with 'manifest split'"
    )
