"""The form of a Parquet manifest, checked a column at a time: what `datalist` checks item by item."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .datalist import SECTIONS, require

# Absolute, with a drive, with a backslash, or with a part that is empty, "." or "..".
_OUTSIDE = r"^$|^/|/$|//|\\|(^|/)\.\.?(/|$)|^[A-Za-z]:"
_PIECE = 65536


def check_table(path: Path, head: Mapping[str, Any]) -> pa.Array:
    """Refuse a Parquet manifest with a row that :class:`medvol.data.Manifest` would refuse, or with rows out of order.

    Args:
        path: the Parquet file.
        head: what stands beside the sections.

    Returns:
        The sorted names of all patients.

    Raises:
        ValueError: names the first such row.

    Example:
        >>> import tempfile
        >>> from medvol.data.table import write_table
        >>> head = {"name": "demo", "modalities": ["t1"]}
        >>> rows = [("test", {"image": "a.nii.gz", "patient": "P1"})]
        >>> check_table(write_table(tempfile.mkdtemp() + "/demo.parquet", head, rows), head).to_pylist()
        ['P1']
    """
    columns = ["section", "patient", "case"]
    with pq.ParquetFile(path) as source:
        start, kept = 0, []
        for batch in source.iter_batches(_PIECE):
            _check_rows(batch, start, head)
            kept.append(batch.select(columns))
            start += batch.num_rows
        schema = pa.schema([source.schema_arrow.field(name) for name in columns])
    table = pa.Table.from_batches(kept, schema)
    section = pc.index_in(table["section"], value_set=pa.array(SECTIONS)).combine_chunks()
    _check_order(table, section)
    _check_once(table)
    names = pc.unique(table["patient"])
    pairs = table.set_column(0, "section", section).group_by(["patient", "section"]).aggregate([])
    counts = pc.value_counts(pairs["patient"])
    several = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(several):
        patient = pc.min(several).as_py()
        places = pc.unique(pc.filter(table["section"], pc.equal(table["patient"], patient))).to_pylist()
        raise ValueError(
            f"a patient may stand in one section only; found '{patient}' in {' and '.join(sorted(places))}"
            f"{f' and {len(several) - 1} more' if len(several) > 1 else ''}; move all cases of a patient to one section"
        )
    return names.take(pc.array_sort_indices(names))


def _check_order(table: pa.Table, section: pa.Array) -> None:
    if len(table) < 2:
        return
    before, after = table.slice(0, len(table) - 1), table.slice(1)
    less, equal = pc.less(section[:-1], section[1:]), pc.equal(section[:-1], section[1:])
    for name in ("patient", "case"):
        less = pc.or_(less, pc.and_(equal, pc.less(before[name], after[name])))
        equal = pc.and_(equal, pc.equal(before[name], after[name]))
    good = pc.or_(less, equal)
    if not pc.all(good).as_py():
        place = pc.index(good, False).as_py() + 1
        raise ValueError(
            f"the rows of a Parquet manifest must be sorted by section ({', '.join(SECTIONS)}), patient and case; "
            f"found row {place} out of order; write the file with medvol.data.write_manifest"
        )


def _check_once(table: pa.Table) -> None:
    counts = pc.value_counts(table["case"])
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")[:3].to_pylist()
    require(not twice, "case", "a name of its own for every item (give the items the key 'case')", twice)


def _check_rows(batch: pa.RecordBatch, start: int, head: Mapping[str, Any]) -> None:
    def refuse(bad: pa.Array, column: str, expected: str) -> None:
        rows = np.flatnonzero(pc.fill_null(bad, True).to_numpy(zero_copy_only=False))
        if len(rows):
            found = batch[column][int(rows[0])].as_py()
            require(False, f"'{column}' in row {start + int(rows[0])}", expected, found)

    wrong = pc.invert(pc.is_in(batch["section"], value_set=pa.array(SECTIONS)))
    refuse(wrong, "section", f"one of {', '.join(SECTIONS)}")
    for column in ("patient", "case"):
        refuse(pc.equal(batch[column], ""), column, "text (it is never guessed)")
    for column in ("single", "named"):
        refuse(pc.is_null(batch[column]), column, "true or false")
    refuse(_and_there(batch["group"], pc.equal(batch["group"], "")), "group", "text (it is never guessed)")
    modalities = head["modalities"]
    count = pc.list_value_length(batch["image"])
    fits = pc.equal(count, pc.if_else(batch["single"], 1, len(modalities)))
    refuse(pc.invert(fits), "image", f"one path, or one for each of {', '.join(modalities)}")
    inside = "relative to the manifest's root and inside it, with '/' and without '.'"
    parents = pc.list_parent_indices(batch["image"])
    outside = pc.fill_null(pc.match_substring_regex(pc.list_flatten(batch["image"]), _OUTSIDE), True)
    refuse(_marked(parents.filter(outside), len(batch)), "image", inside)
    labels = batch["label"]
    if not head.get("label_map"):
        refuse(pc.is_valid(labels), "label", "absent, since there is no label_map")
    refuse(_and_there(labels, pc.match_substring_regex(labels, _OUTSIDE)), "label", inside)
    sums = pc.list_value_length(batch["sha256"])
    files = pc.add(count, pc.cast(pc.is_valid(labels), pa.int32()))
    refuse(_and_there(sums, pc.not_equal(sums, files)), "sha256", "as long as the item's list of files")
    _check_values(batch, head, refuse)


def _check_values(batch: pa.RecordBatch, head: Mapping[str, Any], refuse: Any) -> None:
    columns, targets = batch["columns"], batch["targets"]
    for field in columns.type:
        if pa.types.is_floating(field.type):
            values = pc.struct_field(columns, [columns.type.get_field_index(field.name)])
            finite = _and_there(values, pc.invert(pc.is_finite(values)))
            refuse(finite, "columns", "finite numbers (leave an unknown one out)")
    for place, field in enumerate(targets.type):
        classes = head.get("targets", {}).get(field.name, [])
        values = pc.struct_field(targets, [place])
        if pa.types.is_string(field.type):
            strange = pc.invert(pc.is_in(values, value_set=pa.array(classes, pa.string())))
            refuse(_and_there(values, strange), "targets", f"for '{field.name}' one of {', '.join(classes)}")


def _and_there(values: pa.Array, bad: pa.Array) -> pa.Array:
    return pc.and_(pc.is_valid(values), pc.fill_null(bad, False))


def _marked(rows: pa.Array, count: int) -> pa.Array:
    marks = np.zeros(count, dtype=bool)
    marks[rows.to_numpy()] = True
    return pa.array(marks)
