"""What the importers of public tables share: a table with its columns checked, and items made out of whole columns."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import pandas as pd

from ..datalist import SECTIONS
from ..manifest import Manifest

_LOOKED_AT = 100  # images that are looked for before an import goes on
_OLDEST = 120  # years; ChestX-ray14 has ages such as 412


def check_flags(**flags: Any) -> None:
    """Refuse a flag that is neither True nor False: the text ``"False"`` would count as true.

    Raises:
        ValueError: names the flag.

    Example:
        >>> check_flags(partial=True, reports=False)
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ValueError(f"the option {name} must be true or false; found {value!r}; give one of them")


def find_table(folder: Path, *patterns: str) -> Path | None:
    """Return the first file that one of the patterns finds, plain or with ``.gz``; None if there is none.

    Example:
        >>> find_table(Path("no such place"), "train.csv") is None
        True
    """
    found = (file for pattern in patterns for ending in ("", ".gz") for file in sorted(folder.glob(pattern + ending)))
    return next(found, None)


def read_table(folder: Path, layout: str, columns: Sequence[str], *patterns: str) -> pd.DataFrame:
    """Read a table whole, every cell as text and an empty one as ``""``.

    Args:
        folder: where to look.
        layout: name of the layout, for the error.
        columns: what the table must have.
        *patterns: names of the file, the usual one first; each may stand with ``.gz``, too.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a readable table, or a column is missing.
    """
    file = find_table(folder, *patterns)
    if file is None:
        here = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise FileNotFoundError(
            f"the layout '{layout}' needs the table {' or '.join(patterns)} in {folder}; found {here}; put the table "
            "there, or name the folder that holds it"
        )
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, EOFError, OSError) as error:  # pandas raises its own kinds of ValueError
        raise ValueError(
            f"the table {file} must be comma-separated text; it cannot be read ({error}); get it again"
        ) from error
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(
            f"the table {file} must have the columns {', '.join(columns)}; found {', '.join(frame.columns)}, missing "
            f"{', '.join(missing)}; get the table of the layout '{layout}' as its source gives it"
        )
    return frame


def states(frame: pd.DataFrame, classes: Mapping[str, str], where: str) -> list[dict[str, str]]:
    """Return the targets of each row: a column is a target, an empty cell is unknown and gets no entry.

    Args:
        frame: the target columns only, as text.
        classes: cell to class.
        where: what the table is, for the error.

    Raises:
        ValueError: a cell that is neither empty nor one of ``classes``.

    Example:
        >>> states(pd.DataFrame({"Edema": ["1.0", ""]}), {"1.0": "positive"}, "train.csv")
        [{'Edema': 'positive'}, {}]
    """
    named = []
    for column in frame.columns:
        cells = frame[column].str.strip()
        strangers = sorted(set(cells.unique()) - set(classes) - {""})
        if strangers:
            raise ValueError(
                f"a cell of '{column}' in {where} must be empty or one of {', '.join(classes)}; found "
                f"{', '.join(strangers[:3])}; correct the table"
            )
        named.append(cells.map(classes).tolist())
    names = list(frame.columns)
    rows = zip(*named, strict=True) if named else repeat((), len(frame))
    return [{n: v for n, v in zip(names, row, strict=True) if isinstance(v, str)} for row in rows]


def columns(**values: pd.Series) -> list[dict[str, Any]]:
    """Return the ``columns`` of each item: text or numbers, unknown ones (empty, NaN) left out, whole numbers as such.

    Example:
        >>> columns(view=pd.Series(["PA", ""]), age=pd.Series([58.0, float("nan")]))
        [{'view': 'PA', 'age': 58}, {}]
    """
    lists = [[_plain(value) for value in series.tolist()] for series in values.values()]
    rows = zip(*lists, strict=True)
    return [{n: v for n, v in zip(values, row, strict=True) if v is not None} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return None if value is None or value is pd.NA or value == "" else value


def years(ages: pd.Series) -> pd.Series:
    """Return ages in years out of ``"58"``, ``"058Y"``, ``"011M"``, ``"006W"`` or ``"020D"``; NaN for anything else.

    Ages above 120 are errors of their source and become NaN, too.

    Example:
        >>> years(pd.Series(["058Y", "006M", "412", ""])).tolist()
        [58.0, 0.5, nan, nan]
    """
    parts = ages.str.strip().str.extract(r"^(\d+(?:\.\d+)?)([YMWD]?)$")
    unit = parts[1].map({"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25})
    number = (pd.to_numeric(parts[0]).astype(float) * unit.astype(float)).round(2)
    return number.where(number <= _OLDEST)


def sexes(cells: pd.Series) -> pd.Series:
    """Return ``M``, ``F`` or ``""`` out of what tables write.

    Example:
        >>> sexes(pd.Series(["Male", "F", "Unknown"])).tolist()
        ['M', 'F', '']
    """
    letters = cells.str.strip().str[:1].str.upper()
    return letters.where(letters.isin(["M", "F"]), "")


def make_items(**keys: Sequence[Any]) -> list[dict[str, Any]]:
    """Return one item per row; an empty ``targets`` or ``columns`` is left out.

    Args:
        **keys: the keys of an item, each with its value for every row.

    Example:
        >>> make_items(image=["a.png"], patient=["P1"], targets=[{}])
        [{'image': 'a.png', 'patient': 'P1'}]
    """
    rows = zip(*keys.values(), strict=True)
    return [{key: value for key, value in zip(keys, row, strict=True) if value != {}} for row in rows]


def sort_into(
    folder: Path, items: Sequence[dict[str, Any]], sections: Sequence[str], *, expected: str, partial: bool
) -> dict[str, list[dict[str, Any]]]:
    """Deal items into sections, after a look at whether their images are where they should be.

    Args:
        folder: root of the paths.
        items: items with one image each.
        sections: the section of each item.
        expected: where the images should be, for the error.
        partial: leave out items whose image is not there; otherwise all are listed, and ``verify`` names the missing.

    Raises:
        FileNotFoundError: none of the first 100 images is there (with ``partial``: none at all).
        ValueError: the table has no row, or ``partial`` is no flag.
    """
    check_flags(partial=partial)
    there = [_exists(folder, item) for item in (items if partial else items[:_LOOKED_AT])]
    if not items:
        raise ValueError(f"a table must list images; found none for {folder}; get the table again")
    if not any(there):
        raise FileNotFoundError(
            f"the images must be at {expected} in {folder}; none of the first {len(there)} is, for instance "
            f"{items[0]['image']}; put them there, or name the folder that holds them"
        )
    dealt: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS}
    for item, section, keep in zip(items, sections, there if partial else repeat(True, len(items)), strict=True):
        if keep:
            dealt[section].append(item)
    return dealt


def table_manifest(
    folder: Path,
    name: str | None,
    items: Sequence[dict[str, Any]],
    sections: Sequence[str],
    *,
    expected: str,
    partial: bool,
    modalities: tuple[str, ...] = ("xray",),
    **facts: Any,
) -> Manifest:
    """Return the manifest of a public table of images without label maps.

    Args:
        folder: root of the paths, and the manifest's name if there is no ``name``.
        name: name of the manifest.
        items: see :func:`sort_into`, as the next three.
        sections: the section of each item.
        expected: where the images should be.
        partial: leave out items whose image is not there.
        modalities: names of the channels.
        **facts: further fields of the manifest, such as ``reference`` and ``targets``.

    Raises:
        FileNotFoundError: see :func:`sort_into`.
        ValueError: see :func:`sort_into`.
    """
    dealt = sort_into(folder, items, sections, expected=expected, partial=partial)
    return Manifest(name or folder.resolve().name, folder, modalities, {}, False, dealt, **facts)


def _exists(folder: Path, item: Mapping[str, Any]) -> bool:
    return os.path.isfile(f"{folder}/{item['image']}")  # noqa: PTH113 (a Path for each of 400,000 rows takes seconds)
