"""nnU-Net's raw data: ``imagesTr`` with numbered channels, ``labelsTr``, and a ``dataset.json`` that names both."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..datalist import item_files
from ..manifest import Manifest
from .listing import list_files, read_object, require_key, safe_path
from .msd import numbered_names
from .patients import check_rule, patient_of_files

_PICTURES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")


def import_nnunet(
    folder: Path,
    *,
    name: str | None = None,
    patient: str | None = None,
    fold: int | None = None,
    splits: str | Path | None = None,
) -> Manifest:
    """Import a raw data set of nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z), version 2 or 1.

    The tree::

        Dataset001_BrainTumour/
            dataset.json                       channel_names, labels, file_ending, numTraining
            imagesTr/BRATS_001_0000.nii.gz     one file per channel
            imagesTr/BRATS_001_0001.nii.gz
            labelsTr/BRATS_001.nii.gz
            imagesTs/BRATS_485_0000.nii.gz     section "test"; labelsTs, if there is one, is taken, too
            splits_final.json                  nnU-Net's folds, if copied here

    Labels that are regions (``"whole_tumor": [1, 2, 3]``) overlap, and a label map is one name for each integer: an
    integer has the name of the region that is this integer alone, or ``label_<integer>``; the regions are kept in the
    provenance.

    Args:
        folder: the folder with ``dataset.json``.
        name: name of the manifest; None for the one in ``dataset.json``, or the folder's.
        patient: patient rule, see :func:`medvol.data.layouts.patients.check_rule`.
        fold: number of a fold of ``splits_final.json``: its ``train`` is the section training, its ``val`` the section
            validation; None for all of imagesTr in training.
        splits: place of ``splits_final.json``, if not in the folder.

    Raises:
        FileNotFoundError: no ``dataset.json``, no images, or no ``splits_final.json`` where a fold is named.
        ValueError: a key is missing, a channel or a label of a case is missing, the counts differ, or no such fold.
    """
    file = folder / "dataset.json"
    head = read_object(file, "the raw data of nnU-Net")
    channels = numbered_names(require_key(head, ["channel_names", "modality"], file), f"the channels in {file}")
    label_map, regions = _label_map(require_key(head, ["labels"], file), file)
    ending = str(head.get("file_ending", ".nii.gz"))
    training = _listed(head, folder, file) or _cases(folder, "Tr", ending, list(channels), needs_label=True)
    test = _cases(folder, "Ts", ending, list(channels), needs_label=False)
    if not training:
        raise FileNotFoundError(
            f"the raw data of nnU-Net have images such as imagesTr/case_0000{ending}; found none in {folder}; name the "
            "folder of the data set"
        )
    if head.get("numTraining", len(training)) != len(training):
        raise ValueError(
            f"{folder} must have as many cases as {file.name} says; 'numTraining' is {head['numTraining']}, and there "
            f"are {len(training)}; complete the images, or correct the number"
        )
    paths = [item_files({"image": item["image"]}) for item in (*training, *test)]
    rule = check_rule(patient, [path[0] for path in paths])
    for item, path in zip((*training, *test), paths, strict=True):
        item["patient"] = patient_of_files(path, item["case"], rule)
    sections, facts = {"training": training, "test": test}, {"regions": regions} if regions else {}
    if fold is not None:
        parts = _fold(Path(splits) if splits else folder / "splits_final.json", fold, training)
        sections.update(parts)
        facts["left_out"] = len(training) - sum(map(len, parts.values()))
    return Manifest(
        name=name or str(head.get("name") or folder.resolve().name),
        root=folder,
        modalities=tuple(channels.values()),
        label_map=label_map,
        synthetic=False,
        sections=sections,
        description=str(head.get("description", "")),
        reference=str(head.get("reference", "")),
        licence=str(head.get("licence", head.get("license", ""))),
        split={} if fold is None else {"official": "splits_final.json", "fold": fold},
        provenance=[{"step": "import", "layout": "nnunet", **facts}] if facts else [],
    )


def _label_map(labels: Any, file: Path) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return name to integer, and the regions where there are any."""
    values = labels.values() if isinstance(labels, Mapping) else []
    if not any(isinstance(value, list) for value in values):
        return {name: number for number, name in numbered_names(labels, f"the labels in {file}").items()}, {}
    regions = {name: value if isinstance(value, list) else [value] for name, value in labels.items()}
    found = {number for region in regions.values() for number in region}
    if not all(isinstance(number, int) for number in found):
        raise ValueError(f"the labels in {file} must be integers or lists of them; found {labels}; correct the file")
    numbers = sorted(found)
    alone = {region[0]: name for name, region in regions.items() if len(region) == 1}
    named = {alone.get(number, "background" if number == 0 else f"label_{number}"): number for number in numbers}
    return named, {name: region for name, region in regions.items() if len(region) > 1}


def _listed(head: Mapping[str, Any], folder: Path, file: Path) -> list[dict[str, Any]]:
    """Return the cases that version 2 may list itself, under ``dataset``."""
    return [
        {
            "image": [safe_path(path, folder, str(file)) for path in entry["images"]],
            "label": safe_path(entry["label"], folder, str(file)),
            "case": case,
        }
        for case, entry in sorted((head.get("dataset") or {}).items())
    ]


def _cases(folder: Path, part: str, ending: str, channels: Sequence[int], needs_label: bool) -> list[dict[str, Any]]:
    found: dict[str, set[int]] = {}
    for path in list_files(folder, f"images{part}"):
        match = re.fullmatch(rf"images{part}/(.+)_(\d{{4}}){re.escape(ending)}", path)
        if match:
            found.setdefault(match[1], set()).add(int(match[2]))
    labels = set(list_files(folder, f"labels{part}"))
    items = []
    for case, numbers in sorted(found.items()):
        # A colored picture has its channels in one file.
        expected = [0] if ending.lower() in _PICTURES and numbers == {0} else channels
        images = [f"images{part}/{case}_{n:04d}{ending}" for n in expected]
        item: dict[str, Any] = {"image": images if len(images) == len(channels) else images[0], "case": case}
        label = f"labels{part}/{case}{ending}"
        if numbers != set(expected) or (needs_label and label not in labels):
            missing = [path for path, n in zip(images, expected, strict=True) if n not in numbers]
            extra = [f"images{part}/{case}_{n:04d}{ending}" for n in sorted(numbers - set(expected))]
            missing += [label] if needs_label and label not in labels else []
            raise ValueError(
                f"case '{case}' must have the channels {', '.join(f'{n:04d}' for n in channels)}"
                f"{' and a label' if needs_label else ''}; missing: {', '.join(missing) or 'none'}, too many: "
                f"{', '.join(extra) or 'none'}; complete the case, or correct dataset.json"
            )
        items.append({**item, "label": label} if label in labels else item)
    strangers = sorted(labels - {item.get("label") for item in items}) if needs_label else []
    strangers = [path for path in strangers if path.endswith(ending)]
    if strangers:
        case = PurePosixPath(strangers[0]).name.removesuffix(ending)
        raise ValueError(
            f"every label must have its images; {strangers[0]} has none (imagesTr/{case}_0000{ending}, ...); complete "
            "the case, or take the label out"
        )
    return items


def _fold(file: Path, fold: int, training: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    if not file.is_file():
        raise FileNotFoundError(
            f"a fold is read from splits_final.json; there is none at {file}; copy it from nnU-Net's folder of "
            "preprocessed data, or name its place with the option splits"
        )
    folds = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(folds, list) or not isinstance(fold, int) or not 0 <= fold < len(folds):
        count = len(folds) if isinstance(folds, list) else "no list of"
        raise ValueError(f"fold must be the number of a fold in {file}, from 0; found {fold}; it has {count} folds")
    cases = {item["case"]: dict(item) for item in training}
    parts = {"training": folds[fold]["train"], "validation": folds[fold]["val"]}
    unknown = sorted({case for listed in parts.values() for case in listed} - set(cases))
    if unknown:
        raise ValueError(
            f"fold {fold} of {file} must name cases of imagesTr; it names {', '.join(unknown[:3])}, and there are "
            f"{', '.join(sorted(cases)[:3])}, ...; take the file that belongs to this data set"
        )
    return {section: [cases[case] for case in listed] for section, listed in parts.items()}
