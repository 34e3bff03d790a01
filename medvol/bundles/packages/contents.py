"""What a packed bundle must hold before anybody uses it: readable configs, and the weights that its passport names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from medvol.data.files import checksum
from medvol.passport import passport_path, read_passport

from ..reading import read_json

_CONFIGS = ("metadata.json", "train.json", "inference.json")
_NEEDED = (*_CONFIGS, *(f"configs/{name}" for name in _CONFIGS), "models/model.pt", "LICENSE")
BUNDLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""What a bundle may be called, apart from :data:`RESERVED`: it becomes a folder on every system."""

VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,63}")
"""What a bundle's version may look like."""

RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
"""Names in lower case that Windows gives to devices, with any suffix."""


@dataclass(frozen=True)
class Contents:
    """A packed bundle that has been looked through.

    Attributes:
        name: the bundle's name, that of its folder.
        version: of its metadata.
        weights: the hash of its released tensors.
        passport: the record of the run that made them, None where the package has none.
    """

    name: str
    version: str
    weights: str
    passport: dict[str, Any] | None


def is_bundle_name(name: str) -> bool:
    """Return whether a bundle may have this name.

    Example:
        >>> is_bundle_name("cpc3d"), is_bundle_name("Con"), is_bundle_name("../cpc3d")
        (True, False, False)
    """
    return bool(BUNDLE_NAME.fullmatch(name)) and name.lower() not in RESERVED


def check_contents(folder: str | Path) -> Contents:
    """Read everything that a package must hold, and compare what is in it twice.

    Args:
        folder: the unpacked bundle.

    Raises:
        ValueError: a file is missing or cannot be read, or two of them contradict each other.
    """
    from medvol.networks import weights_hash  # which needs torch, and the names above do not

    folder = Path(folder)
    if missing := [name for name in _NEEDED if not (folder / name).is_file()]:
        _refuse(folder, f"the files {', '.join(_NEEDED)}", f"no {', '.join(missing)}")
    for file in sorted(folder.glob("configs/*.json")):
        _read(folder, read_json, file)
        above = folder / file.name
        if above.is_file() and above.read_bytes() != file.read_bytes():
            _refuse(folder, f"the same in {file.name} and in configs/{file.name}", "two different files")
    version = _read(folder, read_json, folder / "metadata.json").get("version")
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        _refuse(folder, "a version such as 0.1.0 in metadata.json", repr(version))
    weights = folder / "models" / "model.pt"
    digest = _read(folder, weights_hash, weights)
    passport = _read(folder, read_passport, passport_path(weights))
    named = (passport or {}).get("bundle", folder.name)
    if named != folder.name:
        _refuse(folder, f"the passport of {folder.name}", f"that of {named!r}")
    found = checksum(weights)
    if (stated := (passport or {}).get("weights")) not in (None, found):
        _refuse(folder, f"the weights that its passport names ({stated})", f"others ({found})")
    _check_large_files(folder, found)
    return Contents(folder.name, version, digest, passport)


def _read(folder: Path, reader: Callable[[Path], Any], file: Path) -> Any:
    """Read a file; what is wrong with it is its publisher's matter, and where it lies for the moment nobody's."""
    try:
        return reader(file)
    except ValueError as error:
        name = file.relative_to(folder).as_posix()
        _refuse(folder, f"a readable {name}", str(error).splitlines()[0].replace(str(file), "it"))


def _check_large_files(folder: Path, found: str) -> None:
    """Compare the checksum of the weights with the one that other programs would look for."""
    file = folder / "large_files.yml"
    if not file.is_file():
        return
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        entries = [entry for entry in content["large_files"] if entry["path"] == "models/model.pt"]
        stated = {str(entry["hash_val"]) for entry in entries if entry.get("hash_type") == "sha256"} - {""}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"large_files.yml of {folder.name} must be YAML with a list 'large_files'; found {error!r}; ask its "
            "publisher for a zip that 'python -m medvol pack' wrote"
        ) from error
    if stated - {found}:
        _refuse(folder, f"the weights that large_files.yml names ({', '.join(sorted(stated))})", f"others ({found})")


def _refuse(folder: Path, expected: str, found: str) -> NoReturn:
    raise ValueError(
        f"the package of {folder.name} must hold {expected}; found {found}; ask its publisher for a zip that "
        "'python -m medvol pack' wrote"
    )
