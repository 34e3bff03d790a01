"""Saying what is in a manifest: cases and patients by section, targets, columns and label volumes, and who is who."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .datalist import case_name
from .manifest import Manifest
from .measures import with_columns
from .where import columns_of, select

_WIDTH = 96  # characters of a line of text; what stands under a title is moved in by two
_PATIENTS = 10
_TEXTS = 6  # different texts of a column that are counted by name
_UNITS = {"size_": "voxels", "spacing_": "mm", "extent": "mm", "volume_": "ml", "quality": "dB"}  # of what is measured
_NUMBERS = {"measured": "", "min": ".6g", "median": ".6g", "max": ".6g"}


@dataclass(frozen=True)
class Description:
    """What is in a manifest, or in the part of it that an expression keeps.

    Attributes:
        facts: name, description, modalities, label_map, licence, reference, root, where and split, as far as stated.
        sections: section to ``cases``, ``patients``, ``cases_per_patient`` (number of cases to number of patients),
            ``labelled``, ``groups`` (group to cases), ``targets`` (target to class to cases, ``unknown`` among them).
        columns: column to ``measured`` (cases that have it) with ``min``, ``median``, ``max``, or with ``counts``
            (value to cases, the most frequent ones).
        patients: the first patients by name, each to its cases.
        provenance: the steps that made the manifest.
    """

    facts: dict[str, Any]
    sections: dict[str, dict[str, Any]]
    columns: dict[str, dict[str, Any]]
    patients: dict[str, list[str]]
    provenance: list[dict[str, Any]]

    def json(self) -> str:
        """Return the whole as a JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"

    def text(self) -> str:
        """Return the whole to be read, in lines of at most 100 characters."""
        facts = {key: _words(value) for key, value in self.facts.items()}
        rows = [[name, *(_words(part[key]) for key in ("cases", "patients", "labelled"))]
                for name, part in self.sections.items()]  # fmt: skip
        parts = [
            _pairs(facts),
            _table(["section", "cases", "patients", "labelled"], rows),
            *(self._section(name) for name in self.sections),
            self._columns({name: column for name, column in self.columns.items() if "min" in column}),
            _titled("values", {name: _words(c["counts"]) for name, c in self.columns.items() if "counts" in c}),
            _titled(self._shown_patients(), {name: ", ".join(cases) for name, cases in self.patients.items()}),
            _titled("provenance", {str(i): _words(step) for i, step in enumerate(self.provenance, 1)}),
        ]
        return "\n\n".join(part for part in parts if part)

    def _shown_patients(self) -> str:
        total = sum(part["patients"] for part in self.sections.values())
        shown = "all" if total == len(self.patients) else f"the first {len(self.patients)} of {total}"
        return f"{shown} patients and their cases"

    def _section(self, name: str) -> str:
        part = self.sections[name]
        rows = {"patients by cases": ", ".join(f"{n} with {cases}" for cases, n in part["cases_per_patient"].items())}
        rows |= {"groups": _words(part["groups"])} if part["groups"] else {}
        rows |= {f"target {target}": _words(classes) for target, classes in part["targets"].items()}
        return _titled(name, rows) if part["cases"] else ""

    def _columns(self, columns: Mapping[str, Mapping[str, Any]]) -> str:
        rows = [
            [name, next((unit for start, unit in _UNITS.items() if name.startswith(start)), ""),
             *(format(column[key], form) for key, form in _NUMBERS.items())]
            for name, column in columns.items()
        ]  # fmt: skip
        return _table(["column", "unit", *_NUMBERS], rows) if rows else ""


def describe(
    manifest: Manifest, measured: Mapping[str, Mapping[str, Any]] | None = None, where: str | None = None
) -> Description:
    """Describe a manifest by what stands in it; no file is read.

    Args:
        manifest: what to describe.
        measured: columns to show beside its own; see :func:`medvol.data.measures.measure_manifest`.
        where: describes only items for which this is true; see :func:`medvol.data.where.select`.

    Raises:
        ValueError: ``measured`` is about other cases, or ``where`` is no expression over the columns or keeps nothing.

    Example:
        >>> from pathlib import Path
        >>> rows = [{"image": f"{i}.nii.gz", "patient": f"p{i // 2}", "columns": {"age": 60 + i}} for i in range(4)]
        >>> found = describe(Manifest("demo", Path("."), ("t1",), {}, True, {"training": rows}), where="age > 60")
        >>> found.sections["training"]["patients"], found.columns["age"]["median"]
        (2, 62.0)
    """
    manifest = with_columns(manifest, measured or {})
    rows = [item for items in manifest.sections.values() for item in items]
    rows = select(rows, where, f"manifest '{manifest.name}'") if where else rows
    kept = {id(row) for row in rows}
    facts = {key: getattr(manifest, key) for key in ("name", "description", "modalities", "label_map", "licence",
             "reference", "split")}  # fmt: skip
    facts |= {"modalities": list(manifest.modalities), "synthetic": manifest.synthetic, "root": str(manifest.root)}
    patients: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: (row["patient"], case_name(row))):
        patients.setdefault(row["patient"], []).append(case_name(row))
    names = sorted({name for row in rows for name in row.get("columns", {})})
    return Description(
        facts={key: value for key, value in {**facts, "where": where}.items() if value not in (None, "", {})},
        sections={
            name: _summary([item for item in items if id(item) in kept], manifest.targets)
            for name, items in manifest.sections.items()
        },
        columns={name: _column(column) for name, column in _frame(rows, names).items()},
        patients={name: patients[name] for name in list(patients)[:_PATIENTS]},
        provenance=list(manifest.provenance),
    )


def _summary(items: Sequence[Mapping[str, Any]], targets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    cases = Counter(item["patient"] for item in items)
    known = {target: Counter(item.get("targets", {}).get(target, "unknown") for item in items) for target in targets}
    return {
        "cases": len(items),
        "patients": len(cases),
        "cases_per_patient": {str(n): count for n, count in sorted(Counter(cases.values()).items())},
        "labelled": sum("label" in item for item in items),
        "groups": dict(sorted(Counter(item["group"] for item in items if "group" in item).items())),
        "targets": {
            target: {name: known[target][name] for name in dict.fromkeys([*classes, "unknown"])}
            for target, classes in targets.items()
        },
    }


def _frame(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    # An item's own columns alone: a column may bear the name of a target.
    return columns_of([{"image": "", "columns": row.get("columns", {})} for row in rows], names)


def _column(column: pd.Series) -> dict[str, Any]:
    known = column.dropna()
    if column.dtype == "Float64":
        low, middle, high = (float(value) for value in (known.min(), known.median(), known.max()))
        return {"measured": len(known), "min": low, "median": middle, "max": high}
    counts = {str(value): int(count) for value, count in known.value_counts().head(_TEXTS).items()}
    others = len(known) - sum(counts.values())
    return {"measured": len(known), "counts": {**counts, **({"(others)": others} if others else {})}}


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_words(part) if isinstance(part, (list, Mapping)) else part}"
                         for key, part in value.items())  # fmt: skip
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _pairs(pairs: Mapping[str, str]) -> str:
    wide = min(max(map(len, pairs), default=0), _WIDTH // 3)
    lines = []
    for name, value in pairs.items():
        start = f"{_shortened(name, wide):<{wide}}  "
        lines += textwrap.wrap(value, _WIDTH, initial_indent=start, subsequent_indent=" " * len(start)) or [
            start.rstrip()
        ]
    return "\n".join(lines)


def _titled(title: str, pairs: Mapping[str, str]) -> str:
    return f"{title}\n{textwrap.indent(_pairs(pairs), '  ')}" if pairs else ""


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rows = [titles, *([_shortened(row[0], _WIDTH // 3), *row[1:]] for row in rows)]
    wide = [max(len(row[i]) for row in rows) for i in range(len(titles))]
    return "\n".join(
        "  ".join([f"{row[0]:<{wide[0]}}", *(f"{cell:>{w}}" for cell, w in zip(row[1:], wide[1:], strict=True))])
        for row in rows
    )


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
