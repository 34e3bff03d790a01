"""Read a JSON object from a file, and show where a mistake in it stands."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

__all__ = ["read_json"]

# Nothing heavy is imported here: to find out that a file is missing takes no second.


def read_json(file: str | Path) -> dict[str, Any]:
    """Read a JSON object, and show the line of a mistake in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or no object, or a key stands twice in one; the message shows the line, or the key.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "train.json"
        >>> _ = path.write_text('{"steps": 3}')
        >>> read_json(path)
        {'steps': 3}
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"a JSON file is expected, found none at {path}; correct the path")
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text, object_pairs_hook=partial(_object, path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be JSON in UTF-8; found {error}; save it as UTF-8") from error
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text.splitlines() else ""
        start = max(0, error.colno - 41)  # bundles have long lines: forty characters to either side
        shown = line[start : error.colno + 39].rstrip()
        raise ValueError(
            f"{path} must be JSON; found in line {error.lineno}, column {error.colno}: {error.msg}\n"
            f"    {shown}\n    {' ' * (error.colno - 1 - start)}^\n"
            "correct that line, or the end of the one before it"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object; found {type(content).__name__}; write {{...}}")
    return content


def _object(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # Python would keep the last one, and nobody would know
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        beside = ", ".join(f"'{name}'" for name in list(found)[:4] if name != twice)
        raise ValueError(
            f"{path} must have every key once in an object; found '{twice}' {names.count(twice)} times"
            f"{f', beside {beside}' if beside else ''}; remove or rename one of them"
        )
    return found
