"""What differs between two configs, key by key; lists of components are aligned by what they hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

__all__ = ["Difference", "differences"]

ABSENT = object()
"""Stands for what one of the two does not have."""


class Difference(NamedTuple):
    """One place in which two configs differ.

    Attributes:
        key: as MONAI writes it, ``train::trainer::clip_norm``; an item of a list of components goes by its class.
        one: the value in the first, or ``ABSENT``.
        other: the value in the second, or ``ABSENT``.
    """

    key: str
    one: Any
    other: Any


@dataclass(frozen=True)
class _Node:
    """A place of a config as it is written, and as it resolves."""

    stated: Any
    resolved: Any

    def child(self, name: Any) -> _Node:
        # What is written as "@grid" may resolve to a list: it is compared as a whole and has no children.
        return _Node(self.stated[name], self.resolved[name])


def differences(
    one: dict[str, Any], other: dict[str, Any], one_resolved: dict[str, Any], other_resolved: dict[str, Any],
    follow: bool = False,
) -> list[Difference]:  # fmt: skip
    """Return where two configs differ in what would run.

    A place that is written alike in both, such as ``"@steps"``, is no difference of its own: the row of ``steps`` says
    it. Nor is one that is written differently and means the same.

    Args:
        one: a config as it is written.
        other: another one.
        one_resolved: the first after :func:`medvol.bundles.showing.resolving.resolve_plain`.
        other_resolved: the second after it.
        follow: show also places that are written alike and resolve differently.

    Example:
        >>> one, other = {"steps": 1, "lr": 0.1}, {"steps": 2, "lr": 0.1, "seed": 0}
        >>> [row.key for row in differences(one, other, one, other)]
        ['steps', 'seed']
    """
    return list(_compare("", _Node(one, one_resolved), _Node(other, other_resolved), follow))


def _compare(key: str, one: _Node, other: _Node, follow: bool) -> Iterator[Difference]:
    if _same(one.resolved, other.resolved) or (not follow and _same(one.stated, other.stated)):
        return
    if _is_table(one) and _is_table(other) and one.stated.get("_target_") == other.stated.get("_target_"):
        for name in dict.fromkeys([*one.stated, *other.stated]):
            place = f"{key}::{name}" if key else str(name)
            if name in one.stated and name in other.stated:
                yield from _compare(place, one.child(name), other.child(name), follow)
            elif name in one.stated:
                yield Difference(place, one.resolved[name], ABSENT)
            else:
                yield Difference(place, ABSENT, other.resolved[name])
    elif _is_sequence(one) and _is_sequence(other):
        yield from _compare_items(key, one, other, follow)
    else:
        yield Difference(key, one.resolved, other.resolved)


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)


def _is_table(node: _Node) -> bool:
    return isinstance(node.stated, dict) and isinstance(node.resolved, dict)


def _is_sequence(node: _Node) -> bool:
    """Whether it is a list of components or expressions, whose items can come and go; other lists are one value."""
    if not (isinstance(node.stated, list) and isinstance(node.resolved, list)):
        return False
    return all(_is_component(item) or (isinstance(item, str) and item.startswith(("$", "@"))) for item in node.stated)


def _is_component(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("_target_"), str)


def _compare_items(key: str, one: _Node, other: _Node, follow: bool) -> Iterator[Difference]:
    names, other_names = _names(one.stated), _names(other.stated)
    pairs, moved = _pairs(one.stated, other.stated)
    partner = dict(pairs) | dict(moved)
    for index, name in enumerate(names):
        if index not in partner:
            yield Difference(f"{key}::{name}", one.resolved[index], ABSENT)
            continue
        if (index, partner[index]) in moved:
            yield Difference(f"{key}::{name}::(place)", index, partner[index])
        yield from _compare(f"{key}::{name}", one.child(index), other.child(partner[index]), follow)
    for index in sorted(set(range(len(other_names))) - set(partner.values())):
        yield Difference(f"{key}::{other_names[index]}", ABSENT, other.resolved[index])


def _names(items: list[Any]) -> list[str]:
    """A short name for each item: its class, numbered from 1 where there are several, or its index."""
    short = [item["_target_"].rpartition(".")[2] if _is_component(item) else None for item in items]
    total, seen = Counter(short), Counter[str | None]()
    names = []
    for index, name in enumerate(short):
        seen[name] += 1
        names.append(str(index) if name is None else f"{name}({seen[name]})" if total[name] > 1 else name)
    return names


def _pairs(one: list[Any], other: list[Any]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Indices of items that belong together: in place, and moved.

    Equal items first, then those of one class between them; so of three flips the one that is missing is found.
    """
    pairs: list[tuple[int, int]] = []
    for tag, a, b, c, d in _opcodes([_text(x) for x in one], [_text(x) for x in other]):
        if tag == "equal":
            pairs += zip(range(a, b), range(c, d), strict=True)
            continue
        for inner, e, f, g, h in _opcodes([_kind(x) for x in one[a:b]], [_kind(x) for x in other[c:d]]):
            if inner == "equal":
                pairs += zip(range(a + e, a + f), range(c + g, c + h), strict=True)
    moved: list[tuple[int, int]] = []
    for same in (_text, _kind):
        used, taken = {i for i, _ in pairs + moved}, {j for _, j in pairs + moved}
        for i in (i for i in range(len(one)) if i not in used):
            j = next((j for j in range(len(other)) if j not in taken and same(other[j]) == same(one[i])), None)
            if j is not None:
                moved.append((i, j))
                taken.add(j)
    return pairs, moved


def _opcodes(one: list[str], other: list[str]) -> list[tuple[str, int, int, int, int]]:
    return SequenceMatcher(None, one, other, autojunk=False).get_opcodes()


def _text(item: Any) -> str:
    return json.dumps(item, sort_keys=True, default=str)


def _kind(item: Any) -> str:
    return item["_target_"] if _is_component(item) else _text(item)
