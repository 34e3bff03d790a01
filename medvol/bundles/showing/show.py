"""Show the config that would run, and what differs between two."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..keys import suggest
from .columns import line_width, shorten, table
from .differences import ABSENT, differences
from .resolving import resolve_plain
from .stated import Stated, state

__all__ = ["compare", "comparison_text", "resolved", "resolved_text"]

INHERITED = "_inherited_"
_LATER = frozenset({"run_name", "run_dir", "arm"})  # the guard fills them in when the run starts
_LINE = 120  # characters up to which a part of a config stays on one line
_TABLE = 88  # characters below which a table has no room for three columns


def resolved(
    bundle: str | Path,
    config: str = "train.json",
    overrides: Mapping[str, Any] | None = None,
    keys: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Return the config that would run.

    Overrides are applied, references to plain values and arithmetic on them are replaced by the values; references to
    components stay (``"@network"``), and so does what only a run can compute. Nothing is built. For a config with
    ``weights`` the values that their passport brings along stand in it, and the key ``_inherited_`` says which, and
    what the file has instead.

    Args:
        bundle: a bundle's name, folder or config file, or a run (``cpc3d@latest``, its folder), whose recipe it is.
        config: which config of the bundle.
        overrides: values by key, as ``python -m monai.bundle run`` takes them.
        keys: only these parts, such as ``train::dataset``.

    Raises:
        FileNotFoundError: no such bundle, config or run.
        ValueError: an unknown key or override, or a file that is not JSON.

    Example:
        >>> resolved("cpc3d", overrides={"steps": 3}, keys=["lr_scheduler::total_steps"])
        {'lr_scheduler::total_steps': 3}
    """
    stated = state(bundle, config, overrides)
    content = resolve_plain(stated.config, _LATER)
    if keys is not None:
        content = _picked(content, keys, stated.name)
    tops = {key.split("::")[0] for key in content}
    note = _inherited_note(stated, tops)
    return {**content, INHERITED: note} if note else content


def compare(
    one: str | Path,
    other: str | Path,
    config: str = "train.json",
    overrides: Mapping[str, Any] | None = None,
    keys: Iterable[str] | None = None,
) -> list[dict[str, Any]]:
    """Return what differs between two bundles, two configs, or a bundle and a run.

    A place that only refers to another, as ``"@steps"`` does, has no row of its own when both refer to the same; so
    another number of steps is one row. Transforms are aligned by class, so an inserted one is one row.

    Args:
        one: a bundle's name, folder or config file, or a run.
        other: the same; of a run, data and weights are compared by what is in them, and versions count.
        config: which config, of both, where they are not files or runs themselves.
        overrides: values by key for ``one``.
        keys: compare only these parts, with all that they refer to resolved.

    Returns:
        Rows ``{"key": ..., "one": ..., "other": ...}`` in the order of the first config; what one of them does not
        have is not in the row.

    Raises:
        FileNotFoundError: no such bundle, config or run.
        ValueError: an unknown key or override, or a file that is not JSON.

    Example:
        >>> compare("cpc3d", "cpc3d", overrides={"steps": 3})
        [{'key': 'steps', 'one': 3, 'other': 300}]
    """
    first, second = state(one, config, overrides), state(other, config)
    with_run = first.record is not None or second.record is not None
    sides = [side.comparable(with_run) for side in (first, second)]
    plain = [resolve_plain(side, _LATER) for side in sides]
    if keys is not None:
        keys = [_normal(key) for key in keys]
        _require_keys(keys, [*_places(sides[0]), *_places(sides[1])], f"{one} or {other}")
        sides, plain = ([_held(side, keys) for side in group] for group in (sides, plain))
    rows = differences(*sides, *plain, follow=keys is not None)
    return [
        {"key": row.key, **{k: v for k, v in (("one", row.one), ("other", row.other)) if v is not ABSENT}}
        for row in rows
    ]


def _inherited_note(stated: Stated, tops: set[str]) -> dict[str, Any]:
    if "missing" in stated.brought:
        return stated.brought
    values = {key: value for key, value in stated.brought.get("values", {}).items() if key in tops}
    if not values:
        return {}
    instead = {key: stated.defaults[key] for key, value in values.items() if stated.defaults.get(key) != value}
    return {"weights": stated.brought["weights"], "keys": list(values), "instead_of": instead}


def _normal(key: str) -> str:
    return key.replace("#", "::").removeprefix("@")


def _picked(content: dict[str, Any], keys: Iterable[str], name: str) -> dict[str, Any]:
    wanted = [_normal(key) for key in keys]
    _require_keys(wanted, _places(content), name)
    return _held(content, wanted)


def _held(content: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The parts under the keys that the content has."""
    return {key: value for key in keys if (value := _at(content, key)) is not ABSENT}


def _require_keys(keys: Iterable[str], known: Sequence[str], name: str) -> None:
    for key in keys:
        if key not in known:
            parent = key.rpartition("::")[0]
            beside = [k for k in known if k.rpartition("::")[0] == (parent if parent in known else "")]
            raise ValueError(
                f"a key of {name} is expected, such as {', '.join(beside)}; found '{key}', which is none"
                f"{suggest(key, known)}"
            )


def _at(content: Any, key: str) -> Any:
    for name in key.split("::"):
        try:
            content = content[int(name) if isinstance(content, list) else name]
        except (KeyError, IndexError, ValueError, TypeError):
            return ABSENT
    return content


def _places(content: Any, prefix: str = "") -> list[str]:
    """Every id below a config, as MONAI writes it."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = []
    for name, value in items:
        found += [f"{prefix}{name}", *_places(value, f"{prefix}{name}::")]
    return found


def resolved_text(content: Mapping[str, Any]) -> str:
    """Return a config as JSON with one part per line, as the bundles' files have it.

    Example:
        >>> print(resolved_text({"steps": 3, "train": {"loss": {"_target_": "Loss"}}}))
        {
          "steps": 3,
          "train": {
            "loss": {"_target_": "Loss"}
          }
        }
    """
    return _block(dict(content), "")


def _block(content: dict[str, Any], indent: str) -> str:
    if not content:
        return "{}"
    inner = f"{indent}  "
    parts = [f"{inner}{_json(key)}: {_part(value, inner)}" for key, value in content.items()]
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"


def _part(value: Any, indent: str) -> str:
    if isinstance(value, dict) and "_target_" not in value and any(_is_part(item) for item in value.values()):
        return _block(value, indent)
    line = _json(value)
    if len(line) + len(indent) <= _LINE:
        return line
    if isinstance(value, dict) and isinstance(value.get("transforms"), list):
        return "{" + ", ".join(f"{_json(key)}: {_items(item, indent)}" for key, item in value.items()) + "}"
    return _items(value, indent)


def _items(value: Any, indent: str) -> str:
    """A list of components with each on a line of its own."""
    if not (isinstance(value, list) and len(value) > 1 and all(isinstance(item, dict) for item in value)):
        return _json(value)
    return "[\n" + ",\n".join(f"{indent}  {_json(item)}" for item in value) + "]"


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def comparison_text(
    rows: Sequence[Mapping[str, Any]], one: str | Path, other: str | Path, width: int | None = None
) -> str:
    """Return the rows of :func:`compare` as a table; long values are shortened.

    Args:
        rows: the rows.
        one: what was compared.
        other: with what.
        width: characters in a line; default: 120, or those of a narrower terminal, which below 88 gets a line for each
            value instead of columns.

    Example:
        >>> print(comparison_text([{"key": "steps", "one": 3, "other": 300}], "cpc3d", "unet_brats", width=100))
        key    cpc3d  unet_brats
        steps  3      300
    """
    if not rows:
        return f"{one} and {other} say the same."
    width = width or line_width(120)
    names = [shorten(str(name), width // 3) for name in (one, other)]
    room = int(0.38 * width) if width >= _TABLE else width
    cells = [(_key(row["key"], room), *_cells(row, max(16, (width - room) // 2 - 2))) for row in rows]
    if width >= _TABLE:
        return table([("key", *names), *cells], width, [1, 2])
    lines = []
    for key, *values in cells:
        lines.append(key)
        lines += ["  " + shorten(f"{name}: {value}", width - 2) for name, value in zip(names, values, strict=True)]
    return "\n".join(lines)


def _key(key: str, width: int) -> str:
    """A key with its first and last parts, and as many between them as fit."""
    parts = key.split("::")
    short, left = key, parts[1:]
    while len(short) > width and len(left) > 1:
        left = left[1:]
        short = "::".join([parts[0], "..", *left])
    return shorten(short, width)


def _cells(row: Mapping[str, Any], width: int) -> tuple[str, str]:
    """Both values; of long ones that begin alike, from a little before the place where they differ."""
    one, other = (" ".join(_cell(row, side).split()) for side in ("one", "other"))
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0) - 12
    if start > 3 and max(len(one), len(other)) > width:
        one, other = f"...{one[start:]}", f"...{other[start:]}"
    return one, other


def _cell(row: Mapping[str, Any], side: str) -> str:
    if side not in row:
        return "-"
    value = row[side]
    if _is_part(value):
        arguments = ", ".join(f"{key}={_json(item)}" for key, item in value.items() if key != "_target_")
        return f"{value['_target_'].rpartition('.')[2]}({arguments})"
    return value if isinstance(value, str) else _json(value)
