"""The rows of a Parquet manifest, read from a file mapped into memory: any row at once, none of them kept."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .datalist import item_files
from .files import size_and_time
from .table import arrow_file

_PIECE = 4096  # rows as items at once


class Table:
    """The rows of a Parquet manifest in any order, from a file that all processes share.

    A copy in another process opens the file again.

    Args:
        path: the Parquet file.

    Raises:
        ValueError: the file is no valid manifest.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.state = size_and_time(self.path)
        self._open()

    def _open(self) -> None:
        reader = pa.ipc.open_file(pa.memory_map(str(arrow_file(self.path))))
        self.batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self.ends = np.cumsum([batch.num_rows for batch in self.batches]).tolist()
        self.whole = pa.Table.from_batches(self.batches, reader.schema)
        columns = reader.schema.field("columns").type
        self.texts = frozenset(one.name for one in columns if one.metadata and b"json" in one.metadata)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "state": self.state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        found = size_and_time(self.path)
        if found != self.state:
            raise ValueError(
                f"the manifest {self.path} must stay as it was while a run reads it; found another size or time of "
                "change; start the run again"
            )
        self._open()

    def __len__(self) -> int:
        return self.whole.num_rows

    def row(self, place: int) -> dict[str, Any]:
        """Return one row as plain values."""
        owner = bisect_right(self.ends, place)
        start = self.ends[owner - 1] if owner else 0
        return self.batches[owner].slice(place - start, 1).to_pylist()[0]


class Rows(Sequence):
    """One section of a table as a sequence of items, each made when it is asked for.

    Args:
        table: the table.
        start: its first row.
        stop: the row after its last.
    """

    def __init__(self, table: Table, start: int, stop: int) -> None:
        self.table, self.start, self.stop = table, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            places = range(len(self))[index]
            if places.step == 1:
                return Rows(self.table, self.start + places.start, self.start + max(places.start, places.stop))
            return [self[place] for place in places]
        return item_of(self.table.row(self.place(index)), self.table.texts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self.plain():
            yield item_of(row, self.table.texts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None

    def place(self, index: int) -> int:
        """Return where in the table a row of the section stands."""
        return self.start + range(len(self))[index]

    def plain(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows as plain values, a few thousand in memory at once."""
        whole = self.table.whole if columns is None else self.table.whole.select(columns)
        for start in range(self.start, self.stop, _PIECE):
            yield from whole.slice(start, min(_PIECE, self.stop - start)).to_pylist()

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column of the section, without a copy."""
        return self.table.whole[name].slice(self.start, len(self))


def item_of(row: Mapping[str, Any], texts: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a manifest's item from a row of the table.

    Args:
        row: a row as plain values.
        texts: names of the columns that are kept as JSON text.

    Example:
        >>> item_of({"image": ["a.nii"], "single": True, "patient": "P1", "case": "a", "named": False})
        {'image': 'a.nii', 'patient': 'P1'}
    """
    item = {"image": row["image"][0] if row["single"] else row["image"], "patient": row["patient"]}
    item |= {key: row[key] for key in ("label", "group") if row.get(key) is not None}
    if row["named"]:
        item["case"] = row["case"]
    for key in ("targets", "columns"):
        if (found := row.get(key)) is not None:
            item[key] = {name: value for name, value in found.items() if value is not None}
    for name in texts & item.get("columns", {}).keys():
        item["columns"][name] = json.loads(item["columns"][name])
    if (sums := row.get("sha256")) is not None:
        pairs = zip(item_files(item), sums, strict=True)
        item["sha256"] = {file: value.hex() for file, value in pairs if value is not None}
    return item
