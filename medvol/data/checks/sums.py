"""Checksums written into a manifest after its files were verified."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from medvol.writing import write_whole

from ..datalist import SECTIONS
from ..manifest import find_manifest
from .report import Report


def fill_checksums(path: str | Path, report: Report) -> int:
    """Write the SHA-256 of every file without an error into a manifest; one that is stated stays as it is.

    Args:
        path: JSON file of the manifest, or its name.
        report: what :func:`medvol.data.checks.verify` found in it, with checksums.

    Returns:
        How many were added.

    Raises:
        ValueError: no JSON manifest, or a report without checksums.
        FileNotFoundError: no such manifest.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "m.json"
        >>> _ = file.write_text('{"training": [{"image": "a.nii", "patient": "P1"}]}')
        >>> fill_checksums(file, Report("m", [], {}, {"a.nii": "0" * 64}))
        1
    """
    file = find_manifest(str(path))
    if file.suffix != ".json":
        raise ValueError(f"checksums are written into a JSON manifest; found {file}; convert it, or import it anew")
    if report.counts.get("files") and not report.checksums:
        raise ValueError("the report must have checksums; it has none; verify with checksums=True")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"a manifest must be JSON; {file} is not ({error}); correct it at that place") from error
    bad = {finding.file for finding in report.errors}
    sums = {name: value for name, value in report.checksums.items() if name not in bad}
    sections = [content.get(section) for section in SECTIONS]
    items = [item for rows in sections if isinstance(rows, list) for item in rows if isinstance(item, dict)]
    added = sum(_fill(item, sums) for item in items)
    if added:
        write_whole(file, _one_item_per_line(content))
    return added


def _fill(item: dict[str, Any], sums: dict[str, str]) -> int:
    stated = item.get("sha256", {})
    if not isinstance(stated, dict):
        return 0
    images = item.get("image")
    files = [*(images if isinstance(images, list) else [images]), item.get("label")]
    normal = [str(PurePosixPath(name)) for name in files if isinstance(name, str) and name]
    known = {str(PurePosixPath(name)) for name in stated}
    new = {name: sums[name] for name in normal if name in sums and name not in known}
    if new:
        item["sha256"] = {**stated, **new}
    return len(new)


def _one_item_per_line(content: dict[str, Any]) -> str:
    lines = []
    for key, value in content.items():
        if key in SECTIONS and isinstance(value, list) and value:
            rows = ",\n".join(f"  {json.dumps(item)}" for item in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
