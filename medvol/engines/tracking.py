"""The log of a run as a CSV file that a continued training carries on without a seam."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TextIO

from medvol.writing import write_whole

COLUMNS = ("step", "examples", "name", "value")


class Row(NamedTuple):
    """One number of a run: after how many optimizer steps and examples, its name, and its value."""

    step: int
    examples: int
    name: str
    value: float


class CsvLog:
    """Appends rows to ``log.csv`` and, when a training continues, first cuts what came after the checkpoint.

    Args:
        path: the file.

    Example:
        >>> import tempfile
        >>> log = CsvLog(Path(tempfile.mkdtemp()) / "log.csv")
        >>> log.start(step=0)
        []
        >>> log.write([Row(10, 20, "loss", 0.5)]); log.close()
        >>> log.path.read_text().splitlines()
        ['step,examples,name,value', '10,20,loss,0.5']
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: TextIO | None = None

    def start(self, step: int) -> list[Row]:
        """Open the file for rows after ``step``, and return the rows up to it."""
        kept = [row for row in read_log(self.path) if row.step <= step] if step > 0 else []
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *map(_cells, kept)])
        write_whole(self.path, text.getvalue(), durable=True)
        self._file = self.path.open("a", newline="", encoding="utf-8")
        return kept

    def write(self, rows: Iterable[Row]) -> None:
        """Append rows, at once visible to readers of the file."""
        if self._file is not None:
            csv.writer(self._file, lineterminator="\n").writerows(map(_cells, rows))
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_log(path: str | Path) -> list[Row]:
    """Return the rows of a ``log.csv``; a last line that a kill tore, and a missing file, count as nothing."""
    path = Path(path)
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    rows = [line for line in csv.reader(whole.splitlines()[1:]) if len(line) == len(COLUMNS)]
    return [Row(int(step), int(examples), name, float(value)) for step, examples, name, value in rows]


def _cells(row: Row) -> tuple[int, int, str, str]:
    return row.step, row.examples, row.name, repr(float(row.value))
