"""The form of a manifest, read to the end: every defect becomes a finding, and what can still be read is kept."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..datalist import ITEM_KEYS, KEYS, SECTIONS, case_name, check_item
from ..files import stem
from ..manifest import Manifest, load_manifest
from .finding import Finding, Problem

_FOUND = 160  # characters of a bad value that a report shows
# What a head without defects may look like; each key of the file is tried in its place.
_SOUND: dict[str, Any] = {"name": "x", "modalities": ("x",), "label_map": {}, "synthetic": False}


@dataclass(frozen=True)
class Row:
    """What could be read of one item.

    Attributes:
        section: its section.
        case: its name, or its place (``training[3]``) where it has none.
        patient: the patient, or empty where none is named.
        images: paths inside the root, one per modality, or one file with all of them.
        stacked: whether the one image holds all modalities.
        label: path inside the root, or empty.
        sums: path to the stated SHA-256.
    """

    section: str
    case: str
    patient: str
    images: tuple[str, ...]
    stacked: bool = False
    label: str = ""
    sums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """What could be read of a manifest.

    Attributes:
        name: its name, or the file's.
        root: folder of the data.
        modalities: channel names; empty where the manifest's are unusable.
        label_map: structure to integer; None where the manifest's is unusable.
        rows: the items, in the manifest's order.
    """

    name: str
    root: Path
    modalities: tuple[str, ...]
    label_map: dict[str, int] | None
    rows: list[Row]


def read_draft(file: Path, dataset_dir: str | Path | None = None) -> tuple[Draft, list[Finding]]:
    """Read a manifest as far as it goes.

    Args:
        file: a ``.json`` file, or a ``.parquet`` file, which is sound or refused.
        dataset_dir: folder of the data; None for the manifest's own root.

    Returns:
        What could be read, and the defects of the form.

    Raises:
        FileNotFoundError: no such manifest, or no such folder.
        ValueError: a defect of a ``.parquet`` file.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "m.json"
        >>> _ = file.write_text('{"name": "m", "modalities": ["t1"], "training": [{"image": "../a.nii"}]}')
        >>> [finding.problem.kind for finding in read_draft(file)[1]]
        ['outside-root', 'form']
    """
    if file.suffix != ".json":
        return _sound_draft(load_manifest(file, dataset_dir))
    findings: list[Finding] = []
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it is a {type(content).__name__}")
    except ValueError as error:
        problem = Problem("form", "error", "a JSON object", _shown(str(error)), "correct the file at that place")
        content, findings = {"name": file.stem, "modalities": ["x"]}, [Finding(problem)]
    head = _head(content, findings)
    root = file.parent / (content["root"] if isinstance(content.get("root"), str) else ".")
    if dataset_dir:
        root = Path(dataset_dir).expanduser().absolute()
    if not root.is_dir():
        raise FileNotFoundError(
            f"the root of a manifest must be a folder; there is no folder {root}; name it with --dataset_dir"
        )
    rows = [row for section in SECTIONS for row in _rows(content, section, head, findings)]
    label_map = head.get("label_map", None if "label_map" in content else {})
    return Draft(head.get("name", file.stem), root, head.get("modalities", ()), label_map, rows), findings


def _sound_draft(manifest: Manifest) -> tuple[Draft, list[Finding]]:
    several = len(manifest.modalities) > 1
    rows = [_row(item, section, several) for section in SECTIONS for item in manifest.sections[section]]
    return Draft(manifest.name, manifest.root, manifest.modalities, manifest.label_map, rows), []


def _head(content: Mapping[str, Any], findings: list[Finding]) -> dict[str, Any]:
    """Return the sound values of the head."""
    head: dict[str, Any] = {}
    for key, value in content.items():
        if key not in KEYS:
            findings.append(_form(f"keys among {', '.join(KEYS)}", _strange(key, KEYS)))
        elif key == "root":
            if not isinstance(value, str):
                findings.append(_form("root must be a path relative to the manifest", repr(value)))
        elif key not in SECTIONS and _tried(
            lambda key=key, value=value: Manifest(root=Path(), sections={}, **{**_SOUND, key: value}), findings
        ):
            head[key] = tuple(value) if key == "modalities" else value
    for key in ("name", "modalities"):
        if key not in content:
            findings.append(_form(f"a manifest with the key '{key}'", f"the keys {', '.join(map(str, content))}"))
    has_labels = any(
        isinstance(item, dict) and "label" in item
        for section in SECTIONS
        for item in (content.get(section) if isinstance(content.get(section), list) else ())
    )
    if has_labels and not content.get("label_map"):
        findings.append(_form("label_map must be names and integers, since items have labels", "none"))
    return head


def _rows(content: Mapping[str, Any], section: str, head: Mapping[str, Any], findings: list[Finding]) -> list[Row]:
    items = content.get(section, [])
    if not isinstance(items, list):
        findings.append(_form(f"{section} must be a list of items", repr(items)))
        return []
    modalities, targets = head.get("modalities", ("x",)), head.get("targets")
    rows = []
    for i, item in enumerate(items):
        try:  # the strict check is fast; an item that it refuses is then tried key by key
            sound = check_item(item, f"{section}[{i}]", modalities, True, targets)
        except ValueError:
            rows.extend(_salvage(item, section, f"{section}[{i}]", head, findings))
        else:
            rows.append(_row(sound, section, len(modalities) > 1))
    return rows


def _row(item: Mapping[str, Any], section: str, several: bool) -> Row:
    one = isinstance(item["image"], str)
    images = (item["image"],) if one else tuple(item["image"])
    sums = item.get("sha256", {})
    return Row(section, case_name(item), item["patient"], images, one and several, item.get("label", ""), sums)


def _salvage(item: Any, section: str, where: str, head: Mapping[str, Any], findings: list[Finding]) -> list[Row]:
    """Return a row of what is sound in an item, if an image is, and report the rest."""
    if not isinstance(item, dict):
        findings.append(_form(f"{where} must be an item with 'image' and 'patient'", repr(item), section, where))
        return []
    found: list[Finding] = []
    images = _images(item.get("image"), where, head, found)
    one = isinstance(item.get("image"), str)
    good: dict[str, Any] = {"image": images[0] if one and images else images, "patient": ""}
    for key, value in item.items():
        if key == "label" and isinstance(value, str) and _leaves(value):
            found.append(_outside(value))
        elif key not in ITEM_KEYS:
            found.append(_form(f"keys among {', '.join(ITEM_KEYS)}", _strange(key, ITEM_KEYS)))
        elif key not in ("image", "sha256"):
            good.update(_part(good, {key: value}, where, head, found))
    if "patient" not in item:
        found.append(_form(f"'patient' in {where} must be text (it is never guessed)", "no such key"))
    sums = item.get("sha256", {})
    parts = [_part(good, {"sha256": {k: v}}, where, head, found) for k, v in sums.items()] if _is(sums) else []
    good["sha256"] = {path: value for part in parts for path, value in part.get("sha256", {}).items()}
    if not _is(sums):
        found.append(_form(f"'sha256' in {where} must be paths to 64 hexadecimal digits", repr(sums)))
    rows = [_row(good, section, len(head.get("modalities", ())) > 1)] if images else []
    case = rows[0].case if rows else _name(item, where)
    findings.extend(Finding(one.problem, section, case, one.file) for one in found)
    return rows


def _images(found: Any, where: str, head: Mapping[str, Any], findings: list[Finding]) -> list[str]:
    """Return the usable paths among an item's images."""
    paths = found if isinstance(found, list) else [found]
    names = head.get("modalities", ())
    if isinstance(found, list) and names and len(found) != len(names):
        remedy = "name one file per modality, in their order"
        findings.append(
            Finding(Problem("channels", "error", f"a file for each of {', '.join(names)}", f"{len(found)}", remedy))
        )
    usable = []
    for path in paths:
        if not isinstance(path, str) or not path:
            findings.append(_form(f"'image' in {where} must be a path (it is never guessed)", repr(path)))
        elif _leaves(path):
            findings.append(_outside(path))
        else:
            usable.append(str(PurePosixPath(path)))
    return usable


def _part(
    good: Mapping[str, Any], part: dict[str, Any], where: str, head: Mapping[str, Any], findings: list[Finding]
) -> dict[str, Any]:
    """Return this part of an item as the strict check returns it, or nothing."""
    files = {key: good[key] for key in ("image", "label") if good.get(key)}
    item = {"patient": "x", "image": "x", **files, **part}
    names = item["image"] if isinstance(item["image"], list) else ("x",)
    checked = _tried(lambda: check_item(item, where, names, True, head.get("targets")), findings)
    return {key: checked[key] for key in part} if checked else {}


def _tried(check: Callable[[], Any], findings: list[Finding]) -> Any:
    """Return what a strict check returns, or None and a finding in its words."""
    try:
        return check()
    except ValueError as error:
        expected, _, rest = str(error).partition("; found ")
        found, _, remedy = rest.rpartition("; ")
        findings.append(_form(expected, found) if remedy else _form("what load_manifest reads", str(error)))
        return None


def _leaves(path: str) -> bool:
    try:
        check_item({"image": path, "patient": "x"}, "", ("x",), True)
    except ValueError:
        return bool(path)
    return False


def _strange(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"'{key}'" + (f", perhaps meant as '{near[0]}'" if near else "")


def _name(item: Mapping[str, Any], where: str) -> str:
    """Return the name of an item whose images are unusable."""
    image = item.get("image")
    first = image[0] if isinstance(image, list) and image else image
    return str(item.get("case") or (stem(first) if isinstance(first, str) and first else where))


def _is(value: Any) -> bool:
    return isinstance(value, dict)


def _outside(path: str) -> Finding:
    remedy = "move the file below the root, or the root above the file"
    expected = "a path relative to the root and inside it, with '/'"
    return Finding(Problem("outside-root", "error", expected, _shown(path), remedy), file=_shown(path))


def _form(expected: str, found: str, section: str = "", case: str = "") -> Finding:
    return Finding(Problem("form", "error", expected, _shown(found), "correct the manifest"), section, case)


def _shown(text: str) -> str:
    return text if len(text) <= _FOUND else text[: _FOUND - 3] + "..."
