"""One report over all files of a manifest before anything is trained on them."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nibabel.imageglobals import logger
from tqdm import tqdm

from ..files import checksum, is_there
from ..manifest import find_manifest
from ..reading import Header, read_image
from .across import check_cases, check_identical, check_near, check_patients, check_set
from .duplicates import find_duplicates
from .finding import Finding, Problem
from .fingerprint import Fingerprint, fingerprint
from .form import Draft, Row, read_draft
from .labels import check_label
from .radiographs import check_radiograph, is_meant_as_radiograph
from .report import Report
from .volumes import check_grids, check_header, check_values, is_plain

_AT_ONCE = 1024  # items handed to the threads at a time, so that a long manifest does not stand in memory twice


@dataclass
class _Seen:
    """What a thread brings back from one item."""

    findings: list[Finding] = field(default_factory=list)
    sums: dict[str, str] = field(default_factory=dict)
    headers: list[tuple[Row, str, Header]] = field(default_factory=list)
    sound: list[tuple[Row, str]] = field(default_factory=list)
    prints: list[tuple[Row, str, Fingerprint]] = field(default_factory=list)


def verify(
    path: str | Path,
    dataset_dir: str | Path | None = None,
    *,
    checksums: bool = True,
    duplicates: bool = True,
    jobs: int | None = None,
    progress: bool = False,
) -> Report:
    """Check the form of a manifest, every file that it names, and the files against each other.

    What it looks for stands in ``medvol.data.checks.KINDS``. Every file is decoded once, by as many threads as
    ``jobs``, each of which holds one image at a time.

    Args:
        path: JSON or Parquet file of a manifest, or its name. Defects that :func:`medvol.data.load_manifest` refuses
            are findings here, and the other items are checked nevertheless.
        dataset_dir: folder of the data; None for the manifest's own root.
        checksums: compute every file's SHA-256: needed for ``wrong-hash``, ``identical`` and
            :func:`medvol.data.checks.fill_checksums`.
        duplicates: look for images that are nearly the same. Of an item with several modalities the first is compared.
        jobs: threads; None for one per core.
        progress: show a bar.

    Raises:
        FileNotFoundError: no such manifest, or no such folder.
        ValueError: ``jobs`` is below 1, or a Parquet file is no manifest.

    Example:
        >>> import json, tempfile
        >>> file = Path(tempfile.mkdtemp()) / "m.json"
        >>> items = [{"image": "lost.nii.gz", "patient": "P1"}]
        >>> _ = file.write_text(json.dumps({"name": "m", "modalities": ["t1"], "training": items}))
        >>> [finding.problem.kind for finding in verify(file).errors]
        ['missing']
    """
    start = time.monotonic()
    threads = os.cpu_count() or 1 if jobs is None else jobs
    if threads < 1:
        raise ValueError(f"jobs must be 1 or more; found {jobs}; leave it out for one thread per core")
    draft, findings = read_draft(find_manifest(str(path)), dataset_dir)
    findings += check_patients(draft.rows) + check_cases(draft.rows)
    sums: dict[str, str] = {}
    headers: list[tuple[Row, str, Header]] = []
    prints: list[tuple[Row, str, Fingerprint]] = []
    sound: list[tuple[Row, str]] = []
    for seen in _in_threads(draft, checksums, duplicates, threads, progress):
        findings += seen.findings
        sums.update(seen.sums)
        headers += seen.headers
        prints += seen.prints
        sound += seen.sound
    odd = check_set(headers)
    misplaced = {finding.file for finding in odd if finding.problem.kind == "flat"}
    # Of an image that does not belong there, nothing else is worth a note.
    findings = [one for one in findings if one.file not in misplaced or one.problem.severity != "note"]
    findings += odd + check_identical(sums, sound)
    if duplicates:
        pairs = find_duplicates([one for _, _, one in prints])
        findings += check_near(pairs, [(row, file) for row, file, _ in prints], sums)
    counts: dict[str, float] = {
        "files": len({file for row in draft.rows for file in _files(row)}),
        "items": len(draft.rows),
        "patients": len({row.patient for row in draft.rows} - {""}),
        "seconds": round(time.monotonic() - start, 2),
    }
    return Report(draft.name, findings, counts, sums)


def _in_threads(draft: Draft, checksums: bool, duplicates: bool, threads: int, progress: bool) -> Iterator[_Seen]:
    """Yield what every item shows, in the manifest's order."""
    with (
        _silent_nibabel(),
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(draft.rows), desc=draft.name, unit="item", disable=not progress) as bar,
    ):
        for start in range(0, len(draft.rows), _AT_ONCE):
            part = draft.rows[start : start + _AT_ONCE]
            for seen in pool.map(lambda row: _look(draft, row, checksums, duplicates), part):
                bar.update()
                yield seen


@contextmanager
def _silent_nibabel() -> Iterator[None]:
    """Hold nibabel's remarks back: they name no file, and what matters in them is a finding."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _look(draft: Draft, row: Row, checksums: bool, duplicates: bool) -> _Seen:
    """Check one item: its images in their order, their grids, its label."""
    seen = _Seen()
    channels = len(draft.modalities) if row.stacked else int(bool(draft.modalities))
    for file in row.images:
        found = _read(draft, row, file, checksums, seen)
        if found is None:
            continue
        header, values = found
        seen.headers.append((row, file, header))
        problems = check_header(header, channels) + check_values(values, header)
        if is_meant_as_radiograph(header) and is_plain(values):
            problems += check_radiograph(values, header)
        _add(seen, row, file, problems)
        if not any(problem.severity == "error" for problem in problems):
            seen.sound.append((row, file))
            if duplicates and file == row.images[0]:
                seen.prints.append((row, file, fingerprint(values, header)))
        del found, values  # the next image is read only when this one is gone
    if len(seen.headers) > 1:
        names = draft.modalities if len(draft.modalities) == len(seen.headers) else row.images
        grids = [(name, header) for name, (_, _, header) in zip(names, seen.headers, strict=False)]
        _add(seen, row, "", check_grids(grids))
    if row.label and (found := _read(draft, row, row.label, checksums, seen)):
        image = seen.headers[0][2] if seen.headers else None
        _add(seen, row, row.label, check_label(found[1], found[0], image, draft.label_map))
    return seen


def _read(draft: Draft, row: Row, file: str, checksums: bool, seen: _Seen) -> tuple[Header, np.ndarray] | None:
    """Return an image, or None and a finding."""
    path = draft.root / file
    if not is_there(path):
        remedy = "get the data, name their folder with --dataset_dir, or take the item out"
        _add(seen, row, file, [Problem("missing", "error", f"a file below {draft.root}", "nothing there", remedy)])
        return None
    try:
        if checksums:
            seen.sums[file] = checksum(path)
            stated = row.sums.get(file, seen.sums[file])
            if stated != seen.sums[file]:
                remedy = "get the file again, or correct the manifest if the change is meant"
                problem = Problem("wrong-hash", "error", f"SHA-256 {stated}", seen.sums[file], remedy)
                _add(seen, row, file, [problem])
        return read_image(path)
    except Exception as error:  # whatever a library says about a damaged file, the others are still to be checked
        found = _reason(error).replace(str(path), file)
        if "values are complex numbers" in found:  # a sound file that no reader of ours takes
            problem = Problem("dtype", "error", "real numbers", found, "store the magnitude")
        else:
            problem = Problem("unreadable", "error", "a readable image", found, "get the file again, or convert it")
        _add(seen, row, file, [problem])
        return None


def _reason(error: Exception) -> str:
    """Return the cause, without the sentence that the reader puts around it."""
    inside = re.search(r" is not \((.*)\); ", str(error))
    return inside[1] if inside else str(error) or type(error).__name__


def _add(seen: _Seen, row: Row, file: str, problems: list[Problem]) -> None:
    seen.findings += [Finding(problem, row.section, row.case, file) for problem in problems]


def _files(row: Row) -> tuple[str, ...]:
    return (*row.images, row.label) if row.label else row.images
