# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""The provenance record of a weights file: written beside it, read back with it, compared.

A passport is canonical JSON (sorted keys, no time, no host), so equal runs give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from medvol.writing import write_whole

__all__ = [
    "KEYS",
    "compare_passports",
    "machine_places",
    "passport_path",
    "passport_problems",
    "read_passport",
    "rows_hash",
    "write_passport",
]

KEYS = (
    "bundle",
    "run",
    "hash",
    "weights",
    "architecture",
    "preprocessing",
    "modalities",
    "data",
    "pretrained",
    "arm",
    "steps",
    "examples",
    "seed",
    "permutations",
    "recipe",
    "versions",
    "metrics",
    "licence",
    "intended_use",
)
"""What a passport may say: the run and its identity, what it started from, what was trained on what, and the result."""

_NEEDED = {
    "bundle": str, "run": str, "hash": str, "weights": str, "architecture": dict, "preprocessing": list,
    "modalities": list, "data": dict, "arm": str, "steps": int, "examples": int, "seed": int,
    "recipe": dict, "versions": dict, "metrics": dict, "licence": str, "intended_use": str,
}  # fmt: skip
_NEEDED_OF_DATA = {"name": str, "hash": str, "synthetic": bool, "licence": str, "reference": str, "sections": dict}
_NEEDED_OF_VERSIONS = {"medvol": str, "code": str, "torch": str, "monai": str}
_MAY_BE_EMPTY = ("metrics", "data.licence", "data.reference")
_WORDS = {str: "text", int: "a number", bool: "true or false", dict: "a dict", list: "a list"}
_PLACE = re.compile(
    r"""^(?:file:)?/\S"""  # the whole text is a path
    r"""|(?:^|[\s'"=(,])(?:file:)?(?:/[\w.~-]+/[\w.~-]|~[\w.-]*/|[A-Za-z]:[\\/]\S|\\\\\S)"""  # one stands in it
)
"""A path that leads somewhere on one machine only."""
_ADDED = re.compile(r"\+\s*(['\"])/[^'\"]*\1")


def rows_hash(rows: Any) -> str:
    """Return the SHA-256 of a table of whole numbers, such as the permutations of a puzzle.

    Args:
        rows: ``(K, N)``, whole numbers of any type.

    Example:
        >>> rows_hash([[0, 1], [1, 0]])[:8]
        '9a042b98'
    """
    import numpy as np  # not for a command that reads a passport

    table = np.ascontiguousarray(rows, dtype="<i4")
    return hashlib.sha256(f"{table.shape}".encode() + table.tobytes()).hexdigest()


def passport_path(path: str | os.PathLike[str]) -> Path:
    """Where the passport of ``path`` stands: inside a folder, beside a weights file, or the JSON file itself.

    Example:
        >>> passport_path("eval/1a2b3c4d/model.pt").as_posix()
        'eval/1a2b3c4d/passport.json'
    """
    path = Path(path)
    if path.suffix == ".json":
        return path
    return path / "passport.json" if path.is_dir() else path.with_name("passport.json")


def write_passport(path: str | os.PathLike[str], record: dict[str, Any]) -> Path:
    """Writes a passport atomically.

    Args:
        path: the run's folder, its weights file, or the JSON file to write.
        record: plain values under the names in ``KEYS`` (``data`` is a dict with ``name``, ``hash``, ``synthetic``,
            ``licence``, ``reference`` and ``sections``); what is not known may be left out. Numbers that are not finite
            are written as null.

    Returns:
        The file written.

    Raises:
        ValueError: when a key is not in ``KEYS``, or a value is not plain.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_passport(folder, {"bundle": "cpc3d", "steps": 300, "modalities": ["t1", "flair"]})
        ...     read_passport(Path(folder) / "model.pt")["modalities"]
        ['t1', 'flair']
    """
    unknown = [key for key in record if key not in KEYS]
    if unknown:
        near = get_close_matches(str(unknown[0]), KEYS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"a passport expects the keys {', '.join(KEYS)}, found {unknown};{hint} remove or rename them."
        )
    target = passport_path(path)
    text = json.dumps(_plain(record, "passport"), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return write_whole(target, text)


def read_passport(model_path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Reads the passport that belongs to a weights file.

    Args:
        model_path: a weights file, its folder, or the passport itself.

    Returns:
        The record, or None when there is none.

    Raises:
        ValueError: when the file is not a JSON object.
    """
    path = passport_path(model_path)
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"a passport expects JSON, found {error} in {path}; copy it again from the run, or remove it."
        ) from error
    if not isinstance(record, dict):
        raise ValueError(f"a passport expects a JSON object, found {type(record).__name__} in {path}; remove the file.")
    return record


def compare_passports(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two passports, by dotted key; what is absent counts as None.

    Example:
        >>> compare_passports({"seed": 0, "data": {"name": "a"}}, {"seed": 0, "data": {"name": "b"}})
        {'data.name': ('a', 'b')}
    """
    left, right = _flat(one), _flat(other)
    keys = sorted(set(left) | set(right))
    return {key: (left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)}


def passport_problems(record: dict[str, Any]) -> list[str]:
    """What a record lacks to go out with its weights: every fact about run, network, data and terms, and no place.

    Args:
        record: a passport, as ``read_passport`` returns it.

    Returns:
        One line per problem, none for a complete passport. An empty licence or reference of the data is no problem
        here, for a manifest may not know it.

    Example:
        >>> passport_problems({"bundle": "cpc3d"})[:2]
        ['run must be text; found none', 'hash must be text; found none']
    """
    problems = _lacking(record, _NEEDED, "")
    for key, needed in (("data", _NEEDED_OF_DATA), ("versions", _NEEDED_OF_VERSIONS)):
        if isinstance(record.get(key), dict):
            problems += _lacking(record[key], needed, f"{key}.")
    if "pretrained" not in record:
        problems.append("pretrained must say what the run started from, or null; found none")
    problems += [f"{key} is no key of a passport" for key in record if key not in KEYS]
    return problems + [
        f"{key} must not name a place on one machine; found {value!r}" for key, value in machine_places(record)
    ]


def machine_places(record: Any) -> list[tuple[str, str]]:
    """The texts in nested plain values that hold a path of one machine, each with its dotted key.

    Example:
        >>> machine_places({"a": ["$@bundle_root + '/models/model.pt'", "see /data/me/x"]})
        [('a.1', 'see /data/me/x')]
    """
    # What is added to a folder's name is no place of its own.
    return [(key, text) for key, text in _texts(record) if _PLACE.search(_ADDED.sub("+ ", text))]


def _lacking(record: dict[str, Any], needed: dict[str, type], prefix: str) -> list[str]:
    problems = []
    for key, kind in needed.items():
        value = record.get(key)
        right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        if not right or (kind in (str, dict, list) and not value and prefix + key not in _MAY_BE_EMPTY):
            found = "none" if value is None else repr(value)[:60]
            problems.append(f"{prefix}{key} must be {_WORDS[kind]}; found {found}")
    return problems


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a record, with its dotted key."""
    if isinstance(value, str):
        yield where, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _texts(part, f"{where}.{key}" if where else str(key))


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _plain(value: Any, where: str) -> Any:
    """Plain JSON values; zero-dimensional tensors and numpy numbers become Python numbers."""
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{n}]") for n, item in enumerate(value)]
    if not isinstance(value, (str, bool, int, float, type(None))) and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (str, bool, int, float, type(None))):
        return value
    raise ValueError(
        f"a passport expects text, numbers, lists and dicts, found {type(value).__name__} at {where}; write its name."
    )
