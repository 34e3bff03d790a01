"""Choosing items by an expression over their columns, for instance ``spacing_z < 3 and modality == "t1"``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NoReturn

import pandas as pd

from .datalist import case_name, did_you_mean

_COMPARE: dict[type, Callable] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_ALLOWED = (
    ast.Name, ast.Load, ast.Constant, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.BinOp, *_ARITHMETIC,
    ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.List, ast.Tuple, ast.Set,
)  # fmt: skip
_PARTS = "a name, a number, a text, a comparison, 'and', 'or', 'not', 'in' with a list, or + - * /"
_LONGEST = 2000  # characters: what is longer nests too deep to be read, by a person too
_BUILT_IN: dict[str, Callable[[Mapping], Any]] = {
    "patient": lambda row: row.get("patient"),
    "case": case_name,
    "group": lambda row: row.get("group"),
    "labelled": lambda row: "label" in row,
}
# The nullable types: an absent value stays apart from every value, and "and", "or", "not" know the unknown.
_DTYPES = {"number": "Float64", "text": "string[python]", "true or false": "boolean"}


def select(rows: Sequence[Mapping[str, Any]], expression: str, what: str) -> list:
    """Return the rows for which an expression over their columns is true, in their order.

    An expression is made of names, numbers, texts, ``True`` and ``False``, comparisons (``1 <= spacing_z < 3`` too),
    ``and``, ``or``, ``not``, ``in`` and ``not in`` with a list, ``+ - * /`` and parentheses. Names are an item's
    columns, its targets, and ``patient``, ``case``, ``group``, ``labelled``; these four come first, columns last. A
    name that some rows lack is refused unless the expression asks for it (``spacing_z is not None``). Then the rows
    without it are unknown: a comparison with them is neither true nor false, and what is unknown at the end is out.

    Args:
        rows: items of a manifest.
        expression: see above.
        what: where the rows are from, for the error.

    Raises:
        ValueError: something else in the expression, an unknown name, a name that rows lack, values that do not
            compare, or no row left.

    Example:
        >>> rows = [{"image": f"{z}.nii", "patient": "a", "columns": {"spacing_z": z}} for z in (1, 2, 5)]
        >>> [row["image"] for row in select(rows, "spacing_z < 3", "the example")]
        ['1.nii', '2.nii']
    """
    tree = _parse(expression)
    if not rows:
        return []
    names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
    frame = columns_of(rows, names)
    _check_names(tree, names, frame, rows, what)
    try:
        kept = _value(tree, frame)
    except (RecursionError, ZeroDivisionError) as error:
        raise ValueError(f"an expression must be computable; found {expression!r} ({error}); simplify it") from error
    if _kind(kept) != "true or false":
        _refuse(tree, "true or false as a whole", "compare its value with something")
    chosen = [bool(kept)] * len(rows) if isinstance(kept, bool) else kept.fillna(False).tolist()
    if not any(chosen):
        raise ValueError(
            f"the expression {expression!r} must keep at least one of the {len(rows)} items of {what}; it keeps none; "
            "see the values with `python -m medvol manifest describe <manifest>`"
        )
    return [row for row, keep in zip(rows, chosen, strict=True) if keep]


def columns_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return what an expression can speak of as a table, one line per row.

    Args:
        rows: items of a manifest.
        names: the columns to make, as far as there are such; None for all.

    Returns:
        Columns of pandas' nullable types ``Float64``, ``string`` and ``boolean``; an absent value is ``pd.NA``.

    Raises:
        ValueError: a column holds values of different kinds.
    """
    if names is None:
        targets: dict[str, None] = {}
        own: dict[str, None] = {}
        for row in rows:
            targets.update(dict.fromkeys(row.get("targets", ())))
            own.update(dict.fromkeys(row.get("columns", ())))
        names = list(dict.fromkeys([*_BUILT_IN, *targets, *own]))
    columns: list[list[Any]] = [[] for _ in names]
    makers = [(column, _BUILT_IN.get(name), name) for column, name in zip(columns, names, strict=True)]
    for row in rows:  # once: rows may be read from a file as they are asked for
        for column, built_in, name in makers:
            column.append(built_in(row) if built_in else _found(row, name))
    made = {}
    for name, values in zip(names, columns, strict=True):
        if name not in _BUILT_IN and all(value is None for value in values):
            continue
        kinds = {_kind(value) for value in values if value is not None} or {"text"}
        if len(kinds) > 1:
            shown = list({_kind(value): value for value in values if value is not None}.values())
            raise ValueError(
                f"column '{name}' must hold numbers, or texts, or true and false; found a mixture, for instance "
                f"{shown[0]!r} and {shown[1]!r}; correct the manifest"
            )
        made[name] = pd.array(values, dtype=_DTYPES[kinds.pop()])
    return pd.DataFrame(made)


def _found(row: Mapping[str, Any], name: str) -> Any:
    targets = row.get("targets", {})
    return targets[name] if name in targets else row.get("columns", {}).get(name)


def _parse(expression: str) -> ast.expr:
    try:
        if len(expression) > _LONGEST:
            raise ValueError(f"it has {len(expression)} characters, more than {_LONGEST}")
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"an expression must read like 'spacing_z < 3 and modality == \"t1\"'; found {expression[:100]!r} "
            f"({error}); correct it"
        ) from error
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            _refuse(node if isinstance(node, ast.expr) else tree, _PARTS, "take it out")
    return tree


def _refuse(node: ast.AST, expected: str, remedy: str) -> NoReturn:
    raise ValueError(f"a part of an expression must be {expected}; found '{ast.unparse(node)}'; {remedy}")


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _check_names(tree: ast.expr, names: list[str], frame: pd.DataFrame, rows: Sequence, what: str) -> None:
    unknown = [name for name in names if name not in frame]
    if unknown:
        known = columns_of(rows).columns
        raise ValueError(
            f"an expression must speak of columns that {what} has; found '{unknown[0]}'; "
            f"{did_you_mean(unknown[0], known)}; to have it measured, run "
            "'python -m medvol manifest describe <manifest> --write'"
        )
    asked = {n.left.id for n in ast.walk(tree) if isinstance(n, ast.Compare) and isinstance(n.left, ast.Name)
             and any(map(_is_none, n.comparators))}  # fmt: skip
    for name in names:
        lacking = int(frame[name].isna().sum())
        if lacking and name not in asked:
            raise ValueError(
                f"column '{name}' must have a value in every item of {what}; found {lacking} of {len(rows)} without; "
                "run `python -m medvol manifest describe <manifest> --write`, or leave them out with "
                f"'{name} is not None and ...'"
            )


def _kind(value: Any) -> str:
    if isinstance(value, (bool, str, int, float)):
        return "true or false" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    return next(kind for kind, dtype in _DTYPES.items() if value.dtype == dtype)


def _value(node: ast.expr, frame: pd.DataFrame) -> Any:
    """Return what a part of an expression is: a scalar, or a series with one value per row."""
    match node:
        case ast.Name():
            return frame[node.id]
        case ast.Constant(value=bool() | int() | float() | str()):
            return node.value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            value = _typed(node.operand, frame, "number")
            return -value if isinstance(node.op, ast.USub) else value
        case ast.UnaryOp(op=ast.Not()):
            value = _typed(node.operand, frame, "true or false")
            return not value if isinstance(value, bool) else ~value
        case ast.BoolOp():
            both = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            return reduce(both, [_typed(part, frame, "true or false") for part in node.values])
        case ast.BinOp():
            left, right = (_typed(part, frame, "number") for part in (node.left, node.right))
            return _ARITHMETIC[type(node.op)](left, right)
        case ast.Compare():
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:], strict=False)
            return reduce(operator.and_, [_compared(node, left, op, right, frame) for left, op, right in pairs])
    _refuse(node, _PARTS, "take it out")


def _typed(node: ast.expr, frame: pd.DataFrame, kind: str) -> Any:
    value = _value(node, frame)
    if _kind(value) != kind:
        _refuse(
            node, kind if kind == "true or false" else f"a {kind}", f"it is {_kind(value)}: compare it with something"
        )
    return value


def _compared(whole: ast.expr, left: ast.expr, op: ast.cmpop, right: ast.expr, frame: pd.DataFrame) -> Any:
    if isinstance(op, (ast.Is, ast.IsNot)):
        if not isinstance(left, ast.Name) or not _is_none(right):
            _refuse(whole, "'<name> is None' or '<name> is not None'", "compare values with ==")
        absent = frame[left.id].isna().astype("boolean")
        return absent if isinstance(op, ast.Is) else ~absent
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(right, (ast.List, ast.Tuple, ast.Set)) or not right.elts:
            _refuse(whole, "'<name> in [<value>, ...]'", "write the values out")
        equal = reduce(operator.or_, [_compared(whole, left, ast.Eq(), one, frame) for one in right.elts])
        return equal if isinstance(op, ast.In) else not equal if isinstance(equal, bool) else ~equal
    one, two = _value(left, frame), _value(right, frame)
    kinds = _kind(one), _kind(two)
    if kinds[0] != kinds[1]:
        _refuse(
            whole,
            "a comparison of like with like",
            f"it sets {kinds[0]} against {kinds[1]}: texts stand in quotes, numbers do not",
        )
    if kinds[0] == "true or false" and not isinstance(op, (ast.Eq, ast.NotEq)):
        _refuse(whole, "a comparison by == or !=", "true and false have no order")
    return _COMPARE[type(op)](one, two)
