"""The Medical Segmentation Decathlon's layout: a ``dataset.json`` that lists every file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..files import stem
from ..manifest import Manifest
from .listing import read_object, require_key, safe_path
from .patients import check_rule, patient_of


def import_msd(folder: Path, *, name: str | None = None, patient: str = "case") -> Manifest:
    """Import a task of the Medical Segmentation Decathlon (Antonelli et al. 2022, doi:10.1038/s41467-022-30695-9).

    The tree::

        Task01_BrainTumour/
            dataset.json                  names channels and labels, lists training, test (and validation)
            imagesTr/BRATS_001.nii.gz     several channels lie on a fourth axis
            labelsTr/BRATS_001.nii.gz
            imagesTs/BRATS_485.nii.gz     no labels: section "test"

    Args:
        folder: the folder with ``dataset.json``.
        name: name of the manifest; None for the one in ``dataset.json``.
        patient: patient rule, see :func:`medvol.data.layouts.patients.check_rule`; the sets have one image per
            patient, but for the hippocampus (images 2k-1 and 2k are one head).

    Raises:
        FileNotFoundError: no ``dataset.json``.
        ValueError: a key is missing, the counts differ from the lists, or the labels are no map.
    """
    file = folder / "dataset.json"
    head = read_object(file, "the layout of the Medical Segmentation Decathlon")
    channels = numbered_names(require_key(head, ["modality", "channel_names"], file), f"the channels in {file}")
    sections: dict[str, list[dict[str, Any]]] = {}
    for section, count in (("training", "numTraining"), ("validation", "numValidation"), ("test", "numTest")):
        listed = _without_apple(head.get(section, []), section, file)
        # A head made from a folder with macOS's "._" files counts these, too.
        if count in head and head[count] not in (len(listed), len(head.get(section, []))):
            raise ValueError(
                f"{file} must list as many cases as it says; '{count}' is {head[count]}, and '{section}' lists "
                f"{len(listed)}; get the file again, or correct the number"
            )
        sections[section] = [_item(entry, folder, file) for entry in listed]
    if not any(sections.values()):
        raise ValueError(f"{file} must list cases; 'training' and 'test' are both empty; get the file again")
    paths = [item["image"] for items in sections.values() for item in items]
    rule = check_rule(patient, paths)
    for items in sections.values():
        for item in items:
            item["patient"] = patient_of(item["image"], stem(item["image"]), rule)
    return Manifest(
        name=name or str(head.get("name") or folder.resolve().name),
        root=folder,
        modalities=tuple(channels.values()),
        label_map={value: key for key, value in numbered_names(head.get("labels", {}), f"labels in {file}").items()},
        synthetic=False,
        sections=sections,
        description=str(head.get("description", "")),
        reference=str(head.get("reference", "")),
        licence=str(head.get("licence", head.get("license", ""))),
    )


def numbered_names(found: Any, what: str) -> dict[int, str]:
    """Return number to name, sorted by number, from either order: ``{"0": "T1"}`` or ``{"T1": 0}``.

    Args:
        found: what stands in the file.
        what: its place, for the error.

    Raises:
        ValueError: neither order, or a number twice.

    Example:
        >>> numbered_names({"0": "background", "1": "tumor"}, "labels")
        {0: 'background', 1: 'tumor'}
        >>> numbered_names({"tumor": 1, "background": 0}, "labels")
        {0: 'background', 1: 'tumor'}
    """
    pairs = list(found.items()) if isinstance(found, Mapping) else []
    flipped = [(value, key) for key, value in pairs]
    for one in (pairs, flipped):
        numbers = [_number(key) for key, _ in one]
        names = [str(value) for _, value in one]
        if isinstance(found, Mapping) and None not in numbers and len(set(numbers)) == len(set(names)) == len(one):
            return dict(sorted((int(key), value) for key, value in zip(numbers, names, strict=True)))
    raise ValueError(
        f"{what} must be numbers to different names, or names to different numbers; found {found!r}; correct the file"
    )


def _number(value: Any) -> int | None:
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value.isdecimal())):
        return None
    return int(value)


def _without_apple(entries: Any, section: str, file: Path) -> list[Any]:
    if not isinstance(entries, list):
        raise ValueError(f"'{section}' in {file} must be a list; found {type(entries).__name__}; get the file again")
    paths = [entry.get("image") if isinstance(entry, Mapping) else entry for entry in entries]
    return [e for e, path in zip(entries, paths, strict=True) if not PurePosixPath(str(path)).name.startswith("._")]


def _item(entry: Any, folder: Path, file: Path) -> dict[str, Any]:
    if isinstance(entry, Mapping):
        item = {"image": safe_path(entry.get("image"), folder, str(file))}
        return {**item, "label": safe_path(entry["label"], folder, str(file))} if entry.get("label") else item
    return {"image": safe_path(entry, folder, str(file))}
