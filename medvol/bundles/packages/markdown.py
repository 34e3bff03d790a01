"""Foreign values in Markdown: a table, a cell, a name, none of which can end its place or begin markup of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

__all__ = ["cell", "code", "table"]


def table(head: tuple[str, str], rows: Iterable[tuple[str, Any]]) -> str:
    """Return a Markdown table of two columns.

    Example:
        >>> print(table(("setting", "value"), [("steps", 300)]))
        | setting | value |
        |---|---|
        | steps | 300 |
    """
    lines = [f"| {head[0]} | {head[1]} |", "|---|---|"]
    return "\n".join([*lines, *(f"| {cell(key)} | {cell(value)} |" for key, value in rows)])


def cell(value: Any) -> str:
    r"""Return a value as text for a table's cell or a line; numbers with six digits, lists and dicts as JSON.

    Example:
        >>> print(cell("a|b\nc"), cell([1.0, 2.5]), cell(True), cell(0.12345678))
        a\|b c [1.0, 2.5] true 0.123457
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"[|<>`*]|\](?=\()", lambda found: f"\\{found[0]}", text.replace("\\", "\\\\"))
    return re.sub(r"^[#+=~-]", lambda found: f"\\{found[0]}", text) if isinstance(value, str) else text


def code(value: Any) -> str:
    """Return a name in the type of code.

    Example:
        >>> code("torch.nn.Linear")
        '`torch.nn.Linear`'
    """
    return f"`{re.sub(r'[^ -_a-~]', '', str(value))}`"
