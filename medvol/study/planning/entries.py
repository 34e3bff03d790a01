"""Take values out of a JSON object, each with the type that is expected there, or refuse them in three parts."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from medvol.bundles.keys import suggest

__all__ = ["count", "entry_name", "known_object", "number", "objects", "refuse", "text", "unique", "whole"]

_LONGEST = 64  # the name of a file, at most 255 bytes, holds those of variant and arm, and more
_NAME = re.compile(r"\w[\w.-]*(?<!\.)")


def refuse(place: str, expected: str, found: Any, remedy: str) -> NoReturn:
    """Raise a ``ValueError`` in the project's three parts.

    Args:
        place: which key, such as ``arms::cpc3d::frozen``.
        expected: what it must be.
        found: its value, or a sentence about it.
        remedy: what to do.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{place} must be {expected}; found {found}; {remedy}")


def known_object(node: Any, place: str, known: Collection[str], required: Collection[str] = ()) -> dict[str, Any]:
    """Return an object with none but known keys.

    Args:
        node: the value.
        place: where it stands.
        known: the keys it may have.
        required: the keys it must have.

    Raises:
        ValueError: it is no object, or an unknown key stands in it, or a required one is missing.

    Example:
        >>> known_object({"metric": "dice"}, "scores::0", ["metric", "region"])
        {'metric': 'dice'}
    """
    if not isinstance(node, Mapping):
        refuse(place, f"an object with the keys {', '.join(known)}", repr(node), "write {...}")
    for key in node:
        if key not in known:
            found = f"the key '{key}'{suggest(str(key), known)}"
            refuse(place, f"an object with none but the keys {', '.join(known)}", found, "correct or remove it")
    for key in required:
        if key not in node:
            refuse(place, f"an object with the key '{key}'", ", ".join(map(str, node)) or "no key", f"add '{key}'")
    return dict(node)


def objects(node: Any, place: str, kind: type, least: int = 0) -> Any:
    """Return a list or an object with at least some entries.

    Args:
        node: the value.
        place: where it stands.
        kind: ``list`` or ``dict``.
        least: entries it must have.

    Raises:
        ValueError: it is something else, or too short.

    Example:
        >>> objects([1], "counts", list, 1)
        [1]
    """
    what = {list: "a list", dict: "an object"}[kind]
    if not isinstance(node, kind) or len(node) < least:
        refuse(place, f"{what} of at least {least} entries" if least else what, repr(node), "correct it")
    return node


def text(node: Any, place: str, empty: bool = False) -> str:
    """Return a text.

    Raises:
        ValueError: it is none, or it is empty although ``empty`` is False.

    Example:
        >>> text("dice", "scores::0::metric")
        'dice'
    """
    if not isinstance(node, str) or not (empty or node.strip()):
        refuse(place, "a text", repr(node), "write it in quotes")
    return node


def entry_name(node: Any, place: str) -> str:
    """Return a name that can be a part of a folder's name.

    Raises:
        ValueError: it has other characters than letters, digits, ``.``, ``_`` and ``-``, begins or ends with ``.``, or
            is too long for the names of files that are made of several of them.

    Example:
        >>> entry_name("scratch-x3", "arms")
        'scratch-x3'
    """
    if not isinstance(node, str) or not _NAME.fullmatch(node):
        expected = (
            "a name of letters, digits, '.', '_' and '-', with no '.' or '-' at its beginning and no '.' at its end"
        )
        refuse(place, expected, repr(node), "choose another one: folders are named after it")
    if (length := len(node.encode())) > _LONGEST:
        shown = f"'{node[:20]}...' with {length}"
        refuse(place, f"a name of at most {_LONGEST} letters (bytes in UTF-8)", shown, "choose a shorter one")
    return node


def number(node: Any, place: str, above: float = -math.inf) -> float:
    """Return a finite number above a bound.

    Raises:
        ValueError: it is none.

    Example:
        >>> number(2, "margin", above=0)
        2.0
    """
    is_number = isinstance(node, (int, float)) and not isinstance(node, bool) and math.isfinite(node)
    if not is_number or node <= above:
        refuse(place, "a number" if above == -math.inf else f"a number above {above:g}", repr(node), "correct it")
    return float(node)


def whole(node: Any, place: str, least: int = 0, most: int | None = None) -> int:
    """Return a whole number in a range.

    Raises:
        ValueError: it is none.

    Example:
        >>> whole(3, "seeds::0")
        3
    """
    fits = isinstance(node, int) and not isinstance(node, bool) and node >= least and (most is None or node <= most)
    if not fits:
        expected = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
        refuse(place, expected, repr(node), "correct it")
    return node


def count(node: Any, place: str) -> int | str:
    """Return a label count: a whole number of at least 1, or ``"all"``.

    Raises:
        ValueError: it is none.

    Example:
        >>> count("all", "counts::2")
        'all'
    """
    if node == "all" or (isinstance(node, int) and not isinstance(node, bool) and node >= 1):
        return node
    refuse(place, 'a number of patients of at least 1, or "all"', repr(node), "correct it")


def unique(values: Collection[Any], place: str) -> None:
    """Refuse a list in which something stands twice.

    Raises:
        ValueError: names what stands twice.

    Example:
        >>> unique([0, 1], "seeds")
    """
    seen: list[Any] = []
    for value in values:
        if value in seen:
            refuse(place, "different from one another", f"{value!r} twice", "change or remove one of them")
        seen.append(value)
