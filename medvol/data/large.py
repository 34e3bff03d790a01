"""Manifests of millions of lines: the rows stay in a mapped file and become items when they are asked for."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .datalist import SECTIONS, item_files
from .files import size_and_time
from .manifest import Manifest, data_root
from .splits import subset_patients
from .table import arrow_file, read_head, written
from .table_rows import Rows, Table, item_of

SAMPLE = 1000  # rows whose files are looked for before a run
_PIECE = 4096  # rows as items at once
_SORTED = 50_000  # rows sorted at once for the hash


class Items(Sequence):
    """What :meth:`LargeManifest.items` returns: a sequence of the same dicts, each made when it is asked for.

    Args:
        manifest: the manifest.
        rows: its section.
        places: places in the section.
        wanted: indices of the channels.
        bare: take the labels away.
    """

    def __init__(self, manifest: LargeManifest, rows: Rows, places: np.ndarray, wanted: list[int], bare: bool) -> None:
        self.manifest, self.rows, self.places, self.wanted, self.bare = manifest, rows, places, wanted, bare

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Items(self.manifest, self.rows, self.places[index], self.wanted, self.bare)
        row = self.rows.table.row(self.rows.place(int(self.places[range(len(self))[index]])))
        item = item_of(row, self.rows.table.texts)
        if self.bare:
            item.pop("label", None)
        try:
            return self.manifest._item(item, row["number"], self.wanted)
        except FileNotFoundError:
            self.manifest._require_files(item_files(item))
            raise


class LargeManifest(Manifest):
    """A manifest whose rows stay on disk; what :func:`medvol.data.load_manifest` returns for a Parquet file.

    It does what :class:`medvol.data.Manifest` does, with three differences. Sections and items are sequences that make
    each entry when it is asked for. Files are looked for in a seeded sample of 1,000 rows, by ``check`` and by
    ``items``; a file that is missing elsewhere is reported when its item is read, and ``check(checksums=True)`` or
    ``manifest verify`` look at all. Items stand sorted by patient and case.

    Example:
        >>> from medvol.data.table import write_table
        >>> path = Path(tempfile.mkdtemp()) / "demo.parquet"
        >>> row = ("training", {"image": "a.nii.gz", "patient": "P1"})
        >>> open_manifest(write_table(path, {"name": "demo", "modalities": ["t1"]}, [row])).patients("training")
        ['P1']
    """

    def __new__(cls, *positional: Any, **named: Any) -> Manifest:
        """Return a plain manifest where items stand in plain lists: ``dataclasses.replace`` with new sections."""
        sections = named.get("sections") or {}
        plain = any(not isinstance(rows, Rows) for rows in sections.values())
        return Manifest(**named) if plain else super().__new__(cls)

    def _checked_sections(self) -> dict[str, Rows]:
        return self.sections

    def patients(self, section: str) -> list[str]:
        """Return the sorted patients of a section."""
        return pc.unique(self._rows(section).column("patient")).to_pylist()

    def check(self, section: str | None = None, checksums: bool = False) -> None:
        """Refuse to go on when a file of the sample is missing, or, with checksums, any file is missing or another.

        Args:
            section: the section to look at; None for all three.
            checksums: look at every file, and read those that have a checksum.

        Raises:
            FileNotFoundError: says how many files are missing, and the first three.
            ValueError: a file's bytes are not those of the manifest.
        """
        for name in (section,) if section else SECTIONS:
            rows = self._rows(name)
            if not checksums:
                self._look(rows, np.arange(len(rows)))
            for start in range(0, len(rows) if checksums else 0, _PIECE):
                self._check_items(list(rows[start : start + _PIECE]), checksums)

    def items(
        self,
        section: str,
        modalities: Sequence[str] | str | None = None,
        num_patients: int | str | None = None,
        subset_seed: int = 0,
        labelled: bool | Collection[str] | None = None,
        balanced: bool = False,
        where: str | None = None,
    ) -> Items:
        """Return what a run reads from a section; see :meth:`medvol.data.Manifest.items`."""
        wanted, rows = self._channels(modalities), self._rows(section)
        places = np.arange(len(rows), dtype=np.int64)
        if labelled:
            asked = self._asked_targets(labelled)
            known = [pc.struct_field(rows.column("targets"), name).is_valid().to_numpy() for name in sorted(asked)]
            known = known if asked else [rows.column("label").is_valid().to_numpy()]
            places = places[np.logical_or.reduce(known)]
            self._require_labelled(bool(len(places) or not len(rows)), section, asked)
        if where:
            places = _where(rows, places, where, f"'{section}' of manifest '{self.name}'")
        if num_patients not in (None, "all"):
            patients = rows.column("patient").take(pa.array(places))
            groups = pc.fill_null(rows.column("group").take(pa.array(places)), "")
            strata = _strata(patients.to_pylist(), groups.to_pylist()) if balanced else None
            chosen = subset_patients(pc.unique(patients).to_pylist(), num_patients, subset_seed, strata)
            places = places[pc.is_in(patients, value_set=pa.array(chosen, pa.string())).to_numpy()]
        self._look(rows, places)
        return Items(self, rows, places, wanted, labelled is False)

    @cached_property
    def hash(self) -> str:
        """The same SHA-256 as of the JSON form; kept in the cache where every file has a checksum."""
        table = self._rows("training").table
        head = {key: value for key, value in self._head().items() if key != "provenance"}
        name = hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()[:16]
        kept = arrow_file(table.path).with_suffix(f".{name}.hash")
        if kept.is_file() and len(known := kept.read_text(encoding="utf-8")) == 64:
            return known
        digest = hashlib.sha256(b"{")
        for count, key in enumerate(sorted([*head, *SECTIONS])):
            digest.update(f"{', ' if count else ''}{json.dumps(key)}: ".encode())
            if key in head:
                digest.update(json.dumps(head[key], sort_keys=True).encode())
                continue
            digest.update(b"[")
            for place, line in enumerate(self._lines(self._rows(key))):
                digest.update(f"{', ' if place else ''}{json.dumps(line)}".encode())
            digest.update(b"]")
        digest.update(b"}")
        sums = [batch["sha256"] for batch in table.batches]
        if not any(one.null_count or one.flatten().null_count for one in sums):
            with written(kept) as part:
                part.write_text(digest.hexdigest(), encoding="utf-8")
        return digest.hexdigest()

    def _lines(self, rows: Rows) -> Iterator[str]:
        """Yield the rows' JSON in order: sorted in pieces on disk, then merged."""
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            source, parts = iter(rows), []
            while piece := sorted(map(self._line, islice(source, _SORTED))):
                part = stack.enter_context((Path(folder) / str(len(parts))).open("w+", encoding="ascii"))
                part.writelines(f"{line}\n" for line in piece)
                part.seek(0)
                parts.append(line[:-1] for line in part)
            yield from heapq.merge(*parts)

    def _line(self, item: Mapping[str, Any]) -> str:
        unsummed = [file for file in item_files(item) if file not in item.get("sha256", {})]
        self._require_files(unsummed)
        sizes = {file: size_and_time(self.root / file)[0] for file in unsummed}
        return json.dumps({**item, "size": sizes}, sort_keys=True)

    def _look(self, rows: Rows, places: np.ndarray) -> None:
        if len(places) > SAMPLE:
            places = places[np.sort(np.random.RandomState(0).choice(len(places), SAMPLE, replace=False))]
        self._require_files(file for place in places for file in item_files(rows[int(place)]))


def open_manifest(path: str | Path, dataset_dir: str | Path | None = None) -> LargeManifest:
    """Open a Parquet manifest; :func:`medvol.data.load_manifest` is the door for users.

    Args:
        path: the Parquet file.
        dataset_dir: folder of the data; None for the manifest's own ``root``, which is relative to its file.

    Raises:
        ValueError: the file is no valid manifest.
    """
    path = Path(path).absolute()
    head = read_head(path)
    root = data_root(path, head, dataset_dir)
    try:
        table = Table(path)
        rank = pc.index_in(table.whole["section"], value_set=pa.array(SECTIONS)).to_numpy()
        edges = [0, *np.searchsorted(rank, range(len(SECTIONS)), side="right").tolist()]
        sections = {name: Rows(table, *edges[place : place + 2]) for place, name in enumerate(SECTIONS)}
        return LargeManifest(**head, root=root, sections=sections)
    except ValueError as error:
        raise ValueError(f"{error} ({path})") from error


class _Slim(Sequence):
    """Rows with only what an expression asks for, made anew each time they are gone through."""

    def __init__(self, rows: Rows, places: np.ndarray, names: set[str]) -> None:
        self.rows, self.kept, self.names = rows, np.zeros(len(rows), dtype=bool), names
        self.kept[places] = True

    def __len__(self) -> int:
        return int(self.kept.sum())

    def __getitem__(self, index: int) -> dict[str, Any]:
        return next(islice(iter(self), range(len(self))[index], None))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        asked = {"label": "labelled", "group": "group"}
        light = [column for column, name in asked.items() if name in self.names]
        columns = ["image", "single", "patient", "case", "named", "targets", "columns", *light]
        for place, row in enumerate(self.rows.plain(columns)):
            if self.kept[place]:
                yield {**item_of(row, self.rows.table.texts), "case": row["case"], "place": place}


def _strata(patients: list[str], groups: list[str]) -> dict[str, str]:
    found: dict[str, set[str]] = defaultdict(set)
    for patient, group in zip(patients, groups, strict=True):
        found[patient].add(group)
    return {patient: " + ".join(sorted(names)) for patient, names in found.items()}


def _where(rows: Rows, places: np.ndarray, expression: str, what: str) -> np.ndarray:
    from .where import select  # pandas loads only where it is used

    names = set(re.findall(r"\w+", expression))
    return np.array([row["place"] for row in select(_Slim(rows, places, names), expression, what)], dtype=np.int64)
