"""Follow the references of a config as far as they lead to plain values, without building or running anything."""

from __future__ import annotations

import ast
import builtins
import json
import operator
from collections.abc import Collection
from copy import deepcopy
from typing import Any

from monai.bundle import ConfigExpression, ConfigParser, ReferenceResolver

__all__ = ["resolve_plain"]

_FUNCTIONS = frozenset("abs bool dict float int len list max min round sorted str sum tuple".split())
# Without powers: what a stranger's config says shall not keep the machine busy.
_NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.keyword, ast.Starred, ast.Subscript, ast.Slice,
    ast.List, ast.Tuple, ast.Dict, ast.IfExp, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare,
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.boolop, ast.unaryop, ast.cmpop,
)  # fmt: skip
_OPERATORS = {
    "Add": operator.add, "Sub": operator.sub, "Mult": operator.mul, "Div": operator.truediv,
    "FloorDiv": operator.floordiv, "Mod": operator.mod,
}  # fmt: skip
_LARGEST = 10_000  # items, or characters of a text: what is larger is not computed, and stays text
_STANDS_FOR_A_REFERENCE = "__reference"
_OPEN = object()  # is no plain value, or none that is known before the run


def resolve_plain(config: dict[str, Any], later: Collection[str] = ()) -> dict[str, Any]:
    """Return a config in which references to plain values are those values, and arithmetic on them its result.

    References to components, and expressions that call anything but a few of Python's own functions, stay text; inside
    of such an expression the references to plain values are still replaced. Nothing is imported or called, and nothing
    large is computed: what has more than some thousand items or characters stays text.

    Args:
        config: a bundle's config.
        later: top-level keys that get their value when the run starts: references to them stay while they are null.

    Raises:
        ValueError: a macro (``%key``) or a relative reference leads nowhere.

    Example:
        >>> config = {"filters": [8, 16], "strides": "$[1] + [2] * (len(@filters) - 1)", "net": {"_target_": "Net"}}
        >>> resolve_plain({**config, "use": {"_target_": "Use", "net": "@net", "filters": "@filters"}})["use"]
        {'_target_': 'Use', 'net': '@net', 'filters': [8, 16]}
        >>> resolve_plain(config)["strides"]
        [1, 2]
    """
    return _Resolver(config, later).shown()


class _Resolver:
    def __init__(self, config: dict[str, Any], later: Collection[str]) -> None:
        self.parser = ConfigParser(deepcopy(config))
        try:
            self.parser.resolve_macro_and_relative_ids()
        except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
            raise ValueError(
                f"macros and relative references must lead to a place in the config; found one without ({error}); "
                "correct the text that begins with % or @::"
            ) from error
        self.later = later
        self.known: dict[str, Any] = {}

    def shown(self) -> dict[str, Any]:
        return {key: self._shown(value) for key, value in self.parser.get().items()}

    def _shown(self, node: Any) -> Any:
        value = self._plain(node)
        if value is not _OPEN:
            return deepcopy(value)
        if isinstance(node, dict):
            return {key: self._shown(item) for key, item in node.items()}
        if isinstance(node, list):
            return [self._shown(item) for item in node]
        return self._filled(node) if isinstance(node, str) and ConfigExpression.is_expression(node) else node

    def _plain(self, node: Any) -> Any:
        if isinstance(node, str):
            return self._plain_text(node)
        if isinstance(node, list):
            items = [self._plain(item) for item in node]
            return _OPEN if any(item is _OPEN for item in items) else items
        if isinstance(node, dict):
            values = {key: self._plain(item) for key, item in node.items()}
            return _OPEN if "_target_" in node or any(v is _OPEN for v in values.values()) else values
        return node

    def _plain_text(self, text: str) -> Any:
        references = ReferenceResolver.match_refs_pattern(text)
        if ConfigExpression.is_expression(text):
            values = {name: self._named(name) for name in references}
            ready = _is_arithmetic(text[1:]) and not any(value is _OPEN for value in values.values())
            return _evaluated(text, values) if ready else _OPEN
        return self._named(next(iter(references))) if references else text

    def _named(self, name: str) -> Any:
        """The plain value under an id."""
        if name not in self.known:
            self.known[name] = _OPEN  # a reference that leads back here finds this
            node = self.parser.get(name, _OPEN) if name else _OPEN
            awaited = node is None and name in self.later
            value = _OPEN if node is _OPEN or awaited else self._plain(node)
            self.known[name] = value if _size(value) <= _LARGEST else _OPEN  # ten references to ten references to ...
        return self.known[name]

    def _filled(self, expression: str) -> str:
        def text(found: Any) -> str:
            value = self._named(found[0][1:])
            return found[0] if value is _OPEN else repr(value)

        return ReferenceResolver.id_matcher.sub(text, expression)


def _is_arithmetic(expression: str) -> bool:
    text = ReferenceResolver.id_matcher.sub(_STANDS_FOR_A_REFERENCE, expression)
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    # Without attributes, nothing but these functions can be reached and called.
    return all(isinstance(node, _NODES) for node in nodes) and names <= _FUNCTIONS | {_STANDS_FOR_A_REFERENCE}


def _evaluated(expression: str, values: dict[str, Any]) -> Any:
    """The value as MONAI computes it, as JSON has it."""
    text = ReferenceResolver.update_refs_pattern(expression, values)
    names = {name: getattr(builtins, name) for name in _FUNCTIONS} | {"round": _round, "__bounded": _bounded}
    try:
        tree = ast.fix_missing_locations(_Bounding().visit(ast.parse(text[1:].strip(), mode="eval")))
        # MONAI keeps the values of references under this name.
        value = eval(compile(tree, "config", "eval"), {"__builtins__": names, "__local_refs": deepcopy(values)})
        return json.loads(json.dumps(value, allow_nan=False)) if _size(value) <= _LARGEST else _OPEN
    except Exception:  # MONAI will say it when the run comes there
        return _OPEN


class _Bounding(ast.NodeTransformer):
    """Let every operation with two sides look at them first: ``[0] * 10**9`` is short to write."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        kind = ast.Constant(type(node.op).__name__)
        return ast.Call(ast.Name("__bounded", ast.Load()), [kind, node.left, node.right], [])


def _bounded(kind: str, one: Any, other: Any) -> Any:
    sizes = [_size(side) for side in (one, other) if isinstance(side, (list, tuple, str, bytes))]
    times = [side for side in (one, other) if isinstance(side, int)]
    if kind == "Mod" and isinstance(one, (str, bytes)):
        raise ValueError("a format can ask for any number of characters")
    if sizes and sum(sizes) * (times[0] if kind == "Mult" and times else 1) > _LARGEST:
        raise ValueError("too large")
    value = _OPERATORS[kind](one, other)
    if isinstance(value, int) and value.bit_length() > 64:
        raise ValueError("too large")
    return value


def _round(number: Any, digits: int | None = None) -> Any:
    if digits is not None and abs(digits) > 64:
        raise ValueError("too many digits")  # Python makes that power of ten
    return round(number, digits)


def _size(value: Any) -> int:
    """Number of items and characters in nested lists and dicts; what is above the largest is not counted to its end."""
    size, left = 0, [value]
    while left and size <= _LARGEST:
        node = left.pop()
        size += len(node) if isinstance(node, (str, bytes)) else 1
        if isinstance(node, (list, tuple)):
            left += node
        elif isinstance(node, dict):
            left += node.values()
    return size
