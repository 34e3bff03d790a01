"""The files of numbers that a run writes, read strictly: one that is cut in half is refused."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from sys import intern

import numpy as np

__all__ = ["CurvePoint", "Scores", "read_curves", "read_scores"]

_SCORE_COLUMNS = ("case", "patient", "region", "metric", "value", "seed", "arm", "run")
_LOG_COLUMNS = ("step", "examples", "name", "value")
CurvePoint = tuple[int, int, str, float]
"""Step, examples, name and value of one validation."""


@dataclass(frozen=True, eq=False)
class Scores:
    """The rows of one ``metrics.csv``, sorted by case, region and metric.

    Attributes:
        cases: N names of cases.
        patients: N names of patients.
        regions: N names of regions.
        metrics: N names of metrics.
        values: ``(N,)`` float64, in the unit of each metric.
    """

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    regions: tuple[str, ...]
    metrics: tuple[str, ...]
    values: np.ndarray

    @property
    def identity(self) -> tuple[tuple[str, ...], ...]:
        """What was scored, without the values; equal for runs that can be compared row by row."""
        return self.cases, self.patients, self.regions, self.metrics

    @cached_property
    def keys(self) -> frozenset[tuple[str, str, str]]:
        """(case, region, metric) of every row."""
        return frozenset(zip(self.cases, self.regions, self.metrics, strict=True))

    def only(self, keys: frozenset[tuple[str, str, str]]) -> Scores:
        """The rows with these (case, region, metric)."""
        rows = zip(self.cases, self.regions, self.metrics, strict=True)
        kept = np.array([row in keys for row in rows], dtype=bool)
        columns = (tuple(np.array(column, dtype=object)[kept]) for column in self.identity)
        return Scores(*columns, self.values[kept])


def read_scores(path: str | os.PathLike[str]) -> Scores:
    """Read a ``metrics.csv``.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is cut, has other columns, no rows, two rows for one score, or two patients for one case.
    """
    rows = _read(path, _SCORE_COLUMNS)
    if not rows:
        raise _damaged(path, "no scores in it")
    rows.sort(key=itemgetter(0, 2, 3))
    cases, patients, regions, metrics, values = (tuple(column) for column in list(zip(*rows, strict=True))[:5])
    owners: dict[str, str] = {}
    for case, patient in zip(cases, patients, strict=True):
        if owners.setdefault(case, patient) != patient:
            raise _damaged(path, f"two patients, {owners[case]} and {patient}, for the case {case}")
    try:
        numbers = np.array(values, dtype=np.float64)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    found = Scores(*(tuple(map(intern, column)) for column in (cases, patients, regions, metrics)), numbers)
    if len(found.keys) < len(rows):
        raise _damaged(path, "two rows for one case, region and metric")
    return found


def read_curves(path: str | os.PathLike[str], ends: Mapping[str, float | None] | None = None) -> list[CurvePoint]:
    """Read the validations in a ``log.csv``.

    Args:
        path: the file.
        ends: values by name at the end of the training, as the passport states them; None for one that is no number.

    Returns:
        The rows whose name begins with ``val_``, in the order of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is cut, has other columns, or ends with other values.
    """
    rows = (row for row in _read(path, _LOG_COLUMNS) if row[2].startswith("val_"))
    try:
        curves = [(int(step), int(examples), intern(name), float(value)) for step, examples, name, value in rows]
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    last = {name: value for *_, name, value in curves}
    for name, value in (ends or {}).items():
        if name.startswith("val_") and value is not None and last.get(name) != value:
            raise _damaged(path, f"{last.get(name)} at the end of {name}, where the passport has {value}")
    return curves


def _read(path: str | os.PathLike[str], columns: tuple[str, ...]) -> list[list[str]]:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"a finished run must hold {_short(path)}; found none; run the study again")
    try:
        text = path.read_text(encoding="utf-8")
        header, *rows = csv.reader(text.splitlines(), strict=True) if text else ([],)
    except (ValueError, csv.Error) as error:
        raise _damaged(path, str(error)) from error
    if tuple(header) != columns:
        raise _damaged(path, f"the columns {', '.join(header) or 'none'} in place of {', '.join(columns)}")
    if not text.endswith("\n") or any(len(row) != len(columns) for row in rows):
        raise _damaged(path, f"an incomplete line, '{_incomplete(rows, len(columns))}'")
    return rows


def _incomplete(rows: Iterable[list[str]], number: int) -> str:
    """The first line with a wrong number of cells, or the last line."""
    line: list[str] = []
    for line in rows:  # noqa: B007
        if len(line) != number:
            break
    return ",".join(line)[:80]


def _damaged(path: str | os.PathLike[str], found: str) -> ValueError:
    what = "the file" if Path(path).name == "metrics.csv" else "the run's folder"  # a log comes from training alone
    return ValueError(f"{_short(path)} must be whole; found {found}; remove {what} and run the study again")


def _short(path: str | os.PathLike[str]) -> str:
    """The part of a path that is the same on every machine."""
    parts = Path(path).parts
    return "/".join(parts[parts.index("runs") :]) if "runs" in parts else Path(path).name
