"""The form of a manifest's content: which keys there are, what each may hold, and what an item's files and case are."""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from .files import stem
from .splits import check_disjoint

SECTIONS = ("training", "validation", "test")
TEXTS = ("name", "description", "reference", "licence")
KEYS = (*TEXTS, "modalities", "label_map", "targets", "synthetic", "split", "provenance", "root", *SECTIONS)
# Names without a colon or a backslash, none of which begins with a dot, between single slashes.
_PLAIN = re.compile(r"[^/\\:.][^/\\:]*(/[^/\\:.][^/\\:]*)*")
ITEM_KEYS = ("image", "label", "patient", "case", "group", "targets", "columns", "sha256")


def require(good: bool, what: str, expected: str, found: Any) -> None:
    """Raise the three-part error about a value of a manifest unless it is good.

    Example:
        >>> require(False, "name", "text", 3)
        Traceback (most recent call last):
        ValueError: name must be text; found 3; correct the manifest
    """
    if not good:
        raise ValueError(f"{what} must be {expected}; found {found!r}; correct the manifest")


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return the tail of an error about an unknown word: the nearest option, and all of them.

    Example:
        >>> did_you_mean("flare", ["flair", "t1"])
        "did you mean 'flair'? there are: flair, t1"
    """
    known = list(options)
    near = difflib.get_close_matches(word, known, n=1)
    return (f"did you mean '{near[0]}'? " if near else "") + f"there are: {', '.join(known) or 'none'}"


def check_keys(found: Iterable[str], known: Sequence[str], where: str) -> None:
    """Refuse a key that nothing would read.

    Raises:
        ValueError: names the key and the nearest known one.
    """
    for key in found:
        if key not in known:
            raise ValueError(f"{where} has an unknown key '{key}'; {did_you_mean(str(key), known)}")


def check_modalities(modalities: Any) -> tuple[str, ...]:
    """Return the channel names as a tuple.

    Raises:
        ValueError: not a list of different names.
    """
    names = tuple(modalities) if isinstance(modalities, (list, tuple)) else ()
    good = bool(names) and all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)
    require(good, "modalities", "a list of different names, in channel order", modalities)
    return names


def check_label_map(label_map: Any) -> None:
    """Refuse a label map that is not names to different integers with the background, if named, at 0.

    Raises:
        ValueError: says what was found.
    """
    good = isinstance(label_map, Mapping) and all(
        isinstance(k, str) and isinstance(v, int) and not isinstance(v, bool) and v >= 0 for k, v in label_map.items()
    )
    good = good and len(set(label_map.values())) == len(label_map) and label_map.get("background", 0) == 0
    require(good, "label_map", "names to different integers from 0, background to 0", label_map)


def check_targets(targets: Any) -> dict[str, list[str]]:
    """Return the targets, each with the list of its classes.

    Raises:
        ValueError: not names to lists of at least two different class names.
    """
    good = isinstance(targets, Mapping) and all(
        isinstance(name, str) and isinstance(classes, (list, tuple)) and len(classes) > 1
        and all(isinstance(one, str) and one for one in classes) and len(set(classes)) == len(classes)
        for name, classes in targets.items()
    )  # fmt: skip
    require(good, "targets", "names, each to a list of two or more different class names", targets)
    return {name: list(classes) for name, classes in targets.items()}


def check_sections(
    sections: Mapping[str, Sequence[Mapping[str, Any]]],
    modalities: Sequence[str],
    labels: bool,
    targets: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return a copy of all three sections with normal paths.

    Args:
        sections: ``training``, ``validation``, ``test``; an absent one is empty.
        modalities: channel names; a list of images must have as many paths.
        labels: whether there is a label map, without which no item may have a label.
        targets: the classes of each target.

    Raises:
        ValueError: an unknown key, a missing or misshapen value, a path that leaves the root, two items of one name, or
            a patient in two sections.
    """
    check_keys(sections, SECTIONS, "the list of sections")
    checked: dict[str, list[dict[str, Any]]] = {}
    for section in SECTIONS:
        items = sections.get(section, [])
        require(isinstance(items, (list, tuple)), section, "a list of items", items)
        rows = enumerate(items)
        checked[section] = [check_item(item, f"{section}[{i}]", modalities, labels, targets) for i, item in rows]
    check_disjoint({section: [item["patient"] for item in items] for section, items in checked.items()})
    counts = Counter(case_name(item) for items in checked.values() for item in items)
    twice = [case for case, count in counts.items() if count > 1]
    require(not twice, "case", "a name of its own for every item (give the items the key 'case')", twice[:3])
    return checked


def item_files(item: Mapping[str, Any]) -> list[str]:
    """Return the images and the label of an item."""
    images = [item["image"]] if isinstance(item["image"], str) else list(item["image"])
    return images + ([item["label"]] if "label" in item else [])


def case_name(item: Mapping[str, Any]) -> str:
    """Return an item's own name, or what its images' names share up to the last separator, or their folder's name.

    Example:
        >>> case_name({"image": "images/brain_7.nii.gz"})
        'brain_7'
        >>> case_name({"image": ["images/brain_7_t1.nii.gz", "images/brain_7_t1ce.nii.gz"]})
        'brain_7'
        >>> case_name({"image": ["brain_7/t1.nii.gz", "brain_7/flair.nii.gz"]})
        'brain_7'
    """
    if "case" in item:
        return item["case"]
    images = [item["image"]] if isinstance(item["image"], str) else item["image"]
    stems = [stem(image) for image in images]
    if len(stems) == 1:
        return stems[0]
    words = [re.split(r"([_\-.])", stem) for stem in stems]  # separators stay, so that the name can be put together
    same = 0
    while same < min(map(len, words)) and len({tuple(word[: same + 1]) for word in words}) == 1:
        same += 1
    return "".join(words[0][: max(same - 1, 0)]) or PurePosixPath(images[0]).parent.name


def check_item(
    item: Any,
    where: str,
    modalities: Sequence[str],
    labels: bool,
    targets: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return a copy of one item with normal paths.

    Args:
        item: what stands in the file.
        where: its place, for the error.
        modalities: channel names.
        labels: whether there is a label map.
        targets: the classes of each target.

    Raises:
        ValueError: an unknown key, a missing or misshapen value, or a path that leaves the root.
    """
    require(isinstance(item, Mapping), where, "an item with 'image' and 'patient'", item)
    check_keys(item, ITEM_KEYS, where)
    require(bool(item.get("image")), f"'image' in {where}", "a path (it is never guessed)", item.get("image"))
    for key in ("patient", "case", "group"):
        if key in item or key == "patient":
            value = item.get(key)
            require(isinstance(value, str) and bool(value), f"'{key}' in {where}", "text (it is never guessed)", value)
    image = item["image"]
    checked = dict(item)
    if isinstance(image, str):
        checked["image"] = _relative(image, where)
    else:
        good = isinstance(image, (list, tuple)) and len(image) == len(modalities)
        require(good, f"'image' in {where}", f"one path, or one for each of {', '.join(modalities)}", image)
        checked["image"] = [_relative(path, where) for path in image]
    if "label" in item:
        require(labels, "label_map", f"names and integers, since {where} has a label", "none")
        checked["label"] = _relative(item["label"], where)
    if "targets" in item:
        checked["targets"] = _targets(item["targets"], where, targets or {})
    if "columns" in item:
        checked["columns"] = _columns(item["columns"], where)
    if "sha256" in item:
        checked["sha256"] = _checksums(item["sha256"], where, item_files(checked))
    return checked


def _targets(found: Any, where: str, targets: Mapping[str, Sequence[str]]) -> dict[str, str]:
    require(isinstance(found, Mapping), f"'targets' in {where}", "target names to class names", found)
    check_keys(found, list(targets), f"'targets' in {where}")
    for name, value in found.items():
        require(value in targets[name], f"target '{name}' in {where}", f"one of {', '.join(targets[name])}", value)
    return dict(found)


def _columns(found: Any, where: str) -> dict[str, Any]:
    good = isinstance(found, Mapping) and all(
        isinstance(name, str) and name.isidentifier() and isinstance(value, (str, int, float))
        for name, value in found.items()
    )
    require(good, f"'columns' in {where}", "names (letters, digits, _) to text, numbers, true or false", found)
    finite = all(math.isfinite(value) for value in found.values() if isinstance(value, float))
    require(finite, f"'columns' in {where}", "finite numbers (leave an unknown one out)", found)
    return dict(found)


def _checksums(sums: Any, where: str, files: Sequence[str]) -> dict[str, str]:
    good = isinstance(sums, Mapping) and all(
        isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in sums.values()
    )
    require(good, f"'sha256' in {where}", "paths to 64 hexadecimal digits", sums)
    normal = {_relative(path, where): value for path, value in sums.items()}
    strangers = sorted(set(normal) - set(files))
    require(not strangers, f"'sha256' in {where}", "about this item's own files", strangers)
    return normal


def _relative(path: Any, where: str) -> str:
    require(isinstance(path, str) and bool(path), where, "paths as text", path)
    if _PLAIN.fullmatch(path):  # nearly all are; the others cost ten times as much
        return path
    parts = PurePosixPath(path)
    outside = parts.is_absolute() or ".." in parts.parts or "\\" in path or bool(PureWindowsPath(path).drive)
    require(not outside, f"a path in {where}", "relative to the manifest's root and inside it, with '/'", path)
    return str(parts)
