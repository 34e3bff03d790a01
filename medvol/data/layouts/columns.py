"""The columns of a table as the columns of a manifest's items: names that can stand in an expression, typed values."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datalist import did_you_mean

_UNKNOWN = ("", "n/a", "na", "nan", "none", "null")
# A number with leading zeros is a name ("007"), so it stays text.
_NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?")


def read_table(file: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV or TSV file, every value as text.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no header, a header with one name twice, or a row of another length.
    """
    if not file.is_file():
        raise FileNotFoundError(f"a table is a CSV or TSV file; there is no file {file}; correct the path")
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, delimiter="\t" if file.suffix.lower() in (".tsv", ".tab") else ",")
        try:
            head = [name.strip() for name in next(reader, [])]
            if not any(head) or len(set(head)) < len(head):
                raise ValueError(f"{file} must begin with a line of different column names; found {head}; correct it")
            rows = []
            for row in reader:
                if row and len(row) != len(head):
                    raise ValueError(
                        f"every line of {file} must have {len(head)} values; line {reader.line_num} has {len(row)}; "
                        "correct that line, or the separator (tab in .tsv, comma in .csv)"
                    )
                rows += [dict(zip(head, map(str.strip, row), strict=True))] if row else []
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{file} must be a table in UTF-8; found other bytes ({error}); save it anew") from error
    return rows


def require_column(rows: Sequence[Mapping[str, Any]], name: str, file: Path) -> None:
    """Refuse a column that a table does not have.

    Raises:
        ValueError: with the nearest column there is.
    """
    head = list(rows[0]) if rows else []
    if name not in head:
        raise ValueError(f"{file.name} must have the column '{name}'; found other ones; {did_you_mean(name, head)}")


def is_known(text: str) -> bool:
    """Return whether a cell says anything.

    Example:
        >>> is_known("n/a"), is_known("0")
        (False, True)
    """
    return text.lower() not in _UNKNOWN


def identifier(name: str) -> str:
    """Return a column's name as it can stand in an expression.

    Example:
        >>> identifier("Age (years)"), identifier("3T")
        ('Age_years', 'c_3T')
    """
    word = re.sub(r"\W+", "_", name).strip("_") or "column"
    return word if word.isidentifier() else f"c_{word}"


def typed_columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return chosen columns of each row: numbers where every known value of a column is one, else text.

    Args:
        rows: one mapping per row; values are text, numbers or truth values, unknown ones None, empty or ``n/a``.
        names: the columns to keep.

    Returns:
        One dict per row, keys by :func:`identifier`; unknown values are left out.

    Raises:
        ValueError: two columns would get one name.

    Example:
        >>> typed_columns([{"Age": "41", "id": "007"}, {"Age": "n/a", "id": "8"}], ["Age", "id"])
        [{'Age': 41, 'id': '007'}, {'id': '8'}]
    """
    keys = {name: identifier(name) for name in names}
    twice = [name for name, key in keys.items() if list(keys.values()).count(key) > 1]
    if twice:
        raise ValueError(
            f"columns must keep different names; found {', '.join(twice)}, which are one name without their other "
            "characters; rename one"
        )
    result: list[dict[str, Any]] = [{} for _ in rows]
    for name, key in keys.items():
        known = {
            i: value for i, row in enumerate(rows) if (value := row.get(name)) is not None and is_known(str(value))
        }
        numbers = all(_is_number(value) for value in known.values())
        for i, value in known.items():
            result[i][key] = _number(value) if numbers else value if isinstance(value, bool) else str(value)
    return result


def _is_number(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return not isinstance(value, bool) and math.isfinite(value)
    return bool(re.search(r"\d", str(value)) and _NUMBER.fullmatch(str(value)) and math.isfinite(float(value)))


def _number(value: Any) -> int | float:
    if isinstance(value, (int, float)):
        return value
    return int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value)
