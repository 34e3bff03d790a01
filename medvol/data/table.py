"""A manifest as a Parquet file: rows sorted by section, patient and case, written and read piece by piece."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .cache import cache_root
from .datalist import KEYS, SECTIONS, case_name, check_item, check_keys, item_files, require
from .table_form import check_table

_PIECE = 65536  # rows in memory at once
_FORMAT = 1  # of the Arrow file in the cache; another number makes it again
_SUM = pa.binary(32)
_FIXED = {
    "section": pa.string(), "image": pa.list_(pa.string()), "single": pa.bool_(), "label": pa.string(),
    "patient": pa.string(), "case": pa.string(), "named": pa.bool_(), "group": pa.string(), "sha256": pa.list_(_SUM),
}  # fmt: skip
_KINDS = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_NONE = pa.struct([("", pa.bool_())])  # stands for an object without any key, which Parquet cannot say


def write_table(path: str | Path, head: Mapping[str, Any], rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Path:
    """Write a manifest as Parquet, from more rows than fit into memory if need be.

    The rows go to a file beside the target, are sorted by section, patient and case, and take the target's name only
    when every check has passed. In memory are 65,536 rows and the names of all patients and cases.

    Args:
        path: a ``.parquet`` file in a folder that exists.
        head: what stands beside the sections in a JSON manifest; ``root`` is relative to the file.
        rows: section and item, in any order.

    Returns:
        The absolute path.

    Raises:
        ValueError: an invalid head or item, a patient in two sections, or two cases of one name.
        OSError: the folder takes no file.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> rows = [("training", {"image": "a.nii.gz", "patient": "P1"})]
        >>> write_table(folder / "demo.parquet", {"name": "demo", "modalities": ["t1"]}, rows).name
        'demo.parquet'
    """
    path = Path(path).absolute()
    head = {"label_map": {}, "synthetic": False, "root": ".", **head}
    check_keys(head, [key for key in KEYS if key not in SECTIONS], f"the head of {path}")
    for key in ("name", "modalities"):
        require(key in head, str(path), f"a manifest with the key '{key}'", ", ".join(head))
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as folder:
            spool, part = Path(folder) / "spool.arrow", Path(folder) / "part.parquet"
            kinds = _spool(spool, head, rows)
            _sort(spool, part, head, kinds)
            check_table(part, head)
            part.replace(path)
    except OSError as error:
        raise OSError(
            f"a manifest needs a folder it can be written to; {path.parent} refused ({error}); make room there, or "
            "choose another folder"
        ) from error
    return path


def read_head(path: Path) -> dict[str, Any]:
    """Return what stands beside the sections.

    Raises:
        ValueError: no Parquet file, or one that is no manifest.
    """
    try:
        stored = pq.read_schema(path)
        head = json.loads(stored.metadata[b"medvol"])
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"a Parquet manifest has its head under the key 'medvol' of the file's metadata; {path} does not "
            f"({error}); write it with medvol.data.write_manifest"
        ) from error
    wrong = [f"{name} ({kind})" for name, kind in _FIXED.items()
             if name not in stored.names or stored.field(name).type != kind]  # fmt: skip
    require(not wrong, str(path), f"a manifest with the columns {', '.join(_FIXED)}", f"no {', '.join(wrong)}")
    return head


def arrow_file(path: Path) -> Path:
    """Return the Arrow file of a Parquet manifest, which any process can map into memory; made on first use.

    It lies in ``manifests`` of :func:`medvol.data.cache_root`, under a name made of the path, size and time of change.
    The form of all rows is checked when it is made. It has one more column, ``number``: each patient's place among the
    sorted names of all sections.

    Raises:
        ValueError: see :func:`medvol.data.table_form.check_table`.
        OSError: the cache takes no file.
    """
    state = path.stat()
    name = hashlib.sha256(f"{_FORMAT}|{path}|{state.st_size}|{state.st_mtime_ns}".encode()).hexdigest()[:32]
    file = cache_root() / "manifests" / f"{name}.arrow"
    if not file.is_file():
        names = check_table(path, read_head(path))
        with written(file) as part:
            _convert(path, part, names)
    return file


@contextlib.contextmanager
def written(file: Path) -> Iterator[Path]:
    """Give a path beside the file, and rename it at the end."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".part-")
        os.close(descriptor)
        try:
            yield Path(name)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(
            f"the cache needs a folder it can write to; {file.parent} refused ({error}); "
            "name another with the environment variable MEDVOL_CACHE"
        ) from error


def _convert(path: Path, part: Path, names: pa.Array) -> None:
    with pq.ParquetFile(path) as source, pa.OSFile(str(part), "wb") as sink:
        schema = source.schema_arrow.append(pa.field("number", pa.int32()))
        with pa.ipc.new_file(sink, schema) as target:
            for batch in source.iter_batches(_PIECE):
                numbers = pc.index_in(batch["patient"], value_set=names)
                target.write_batch(pa.RecordBatch.from_arrays([*batch.columns, numbers], schema=schema))


def _spool(file: Path, head: Mapping[str, Any], rows: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, set]:
    """Write the checked rows as they come; return the kinds of value in each of their columns."""
    kinds: dict[str, set] = {}
    fields = {**_FIXED, "targets": pa.string(), "columns": pa.string()}
    schema = pa.schema(list(fields.items()))
    checked, count = (_checked(head, rows)), 0
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as target:
        while piece := list(islice(checked, _PIECE)):
            for row in piece:
                for name, value in json.loads(row["columns"] or "{}").items():
                    small = not isinstance(value, int) or -(2**63) <= value < 2**63
                    kinds.setdefault(name, set()).add(type(value) if small else None)
            target.write_batch(pa.RecordBatch.from_pylist(piece, schema=schema))
            count += len(piece)
    return kinds


def _checked(head: Mapping[str, Any], rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    modalities, labels, targets = tuple(head["modalities"]), bool(head["label_map"]), head.get("targets", {})
    for place, (section, item) in enumerate(rows):
        require(section in SECTIONS, f"the section of row {place}", f"one of {', '.join(SECTIONS)}", section)
        item = check_item(item, f"row {place} ({section})", modalities, labels, targets)
        row = {key: item.get(key) for key in ("label", "patient", "group")}
        single = isinstance(item["image"], str)
        row |= {"section": section, "single": single, "image": [item["image"]] if single else item["image"]}
        row |= {"case": case_name(item), "named": "case" in item}
        sums = item.get("sha256")
        known = sums and {file: bytes.fromhex(value) for file, value in sums.items()}
        row["sha256"] = None if sums is None else [(known or {}).get(file) for file in item_files(item)]
        for key in ("targets", "columns"):
            row[key] = json.dumps(item[key]) if key in item else None
        yield row


def _sort(spool: Path, part: Path, head: Mapping[str, Any], kinds: Mapping[str, set]) -> None:
    schema = _schema(head, kinds)
    with pa.memory_map(str(spool)) as source:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        keys = pa.Table.from_batches(batches, reader.schema).select(["section", "patient", "case"])
        rank = pc.index_in(keys["section"], value_set=pa.array(SECTIONS))
        keys = keys.set_column(0, "section", rank)
        ways = [(name, "ascending") for name in keys.column_names]
        order = pc.sort_indices(keys, sort_keys=ways).to_numpy().astype(np.int64)
        ends = np.cumsum([batch.num_rows for batch in batches])
        with pq.ParquetWriter(part, schema, compression="zstd") as target:
            for start in range(0, len(order), _PIECE):
                target.write_table(_typed(_gathered(batches, ends, order[start : start + _PIECE]), schema))


def _gathered(batches: list[pa.RecordBatch], ends: np.ndarray, rows: np.ndarray) -> pa.Table:
    # Arrow's own take would first copy all pieces into one.
    owner = np.searchsorted(ends, rows, side="right")
    by_owner = np.argsort(owner, kind="stable")
    pieces = []
    for number in np.unique(owner):
        first = ends[number] - batches[number].num_rows
        pieces.append(batches[number].take(pa.array(rows[owner == number] - first)))
    return pa.Table.from_batches(pieces).combine_chunks().take(pa.array(np.argsort(by_owner, kind="stable")))


def _schema(head: Mapping[str, Any], kinds: Mapping[str, set]) -> pa.Schema:
    columns = []
    for name, found in kinds.items():
        one = _KINDS.get(next(iter(found))) if len(found) == 1 else None
        # What no single type holds is kept as JSON text, and marked so.
        columns.append(pa.field(name, one) if one else pa.field(name, pa.string(), metadata={"json": "1"}))
    targets = [pa.field(name, pa.string()) for name in head.get("targets", {})]
    fields = [pa.field(name, kind) for name, kind in _FIXED.items()]
    fields += [pa.field("targets", pa.struct(targets) if targets else _NONE)]
    fields += [pa.field("columns", pa.struct(columns) if columns else _NONE)]
    return pa.schema(fields, metadata={"medvol": json.dumps(dict(head))})


def _typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with ``targets`` and ``columns`` as structures instead of JSON text."""
    for name in ("targets", "columns"):
        field = schema.field(name)
        texts = {one.name for one in field.type if one.metadata and b"json" in one.metadata}
        rows = [None if text is None else json.loads(text) for text in table[name].to_pylist()]
        if texts:
            rows = [r and {k: json.dumps(v) if k in texts else v for k, v in r.items()} for r in rows]
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(rows, field.type))
    return table.cast(schema)
