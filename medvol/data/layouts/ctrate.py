"""CT-RATE: chest CT volumes named split_patient_scan_reconstruction, and predicted labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..manifest import Manifest
from .rows import columns, find_table, make_items, read_table, sexes, states, table_manifest, years

_SECTIONS = {"train": "training", "valid": "validation"}
_METADATA = {"train": "train_metadata.csv", "valid": "validation_metadata.csv"}
_VOLUME = r"^((train|valid)_\d+)_([a-z]+)_(\d+)\.nii\.gz$"
_CELLS = {"0": "absent", "0.0": "absent", "1": "present", "1.0": "present"}


def import_ctrate(folder: str | Path, *, name: str | None = None, partial: bool = False) -> Manifest:
    """Import CT-RATE (Hamamci et al. 2024, arXiv:2403.17834).

    The folder::

        CT-RATE/
            dataset/
                multi_abnormality_labels/train_predicted_labels.csv
                multi_abnormality_labels/valid_predicted_labels.csv
                metadata/train_metadata.csv                               optional: sex and age
                train/train_1/train_1_a/train_1_a_1.nii.gz                split, patient, scan, reconstruction
                valid/valid_1/valid_1_a/valid_1_a_1.nii.gz

    The folder holds ``multi_abnormality_labels/train_predicted_labels.csv`` and ``valid_predicted_labels.csv`` beside
    ``train/train_1/train_1_a/train_1_a_1.nii.gz`` (or ``train_fixed``), all of it also one level down in ``dataset``.
    The official ``valid`` is the validation section. Targets are the 18 columns of the label tables, absent or
    present: a model predicted them from the reports. Several reconstructions of a scan share one report, so they are
    no negatives of each other. Columns: ``study`` (``train_1_a``), ``reconstruction`` (number), and ``sex``, ``age``
    (years) where ``metadata/train_metadata.csv`` is there.

    Args:
        folder: the folder with ``dataset``, or what it holds.
        name: name of the manifest; None for the folder's name.
        partial: leave out rows whose volume is not there.

    Raises:
        FileNotFoundError: no label table, or no volume in place.
        ValueError: a volume's name of another form, or a label that is not 0 or 1.
    """
    folder = Path(folder)
    inner = "dataset/" if (folder / "dataset").is_dir() else ""
    names, items, sections = None, [], []
    for part, section in _SECTIONS.items():
        place, file = folder / inner / "multi_abnormality_labels", f"{part}_predicted_labels.csv"
        if names is not None and find_table(place, file) is None:
            continue  # a download of the training part alone
        if not place.is_dir():
            raise FileNotFoundError(
                f"the layout 'ctrate' needs multi_abnormality_labels/{file}; there is no such folder in {folder}; get "
                "the label tables, or name the folder that holds them"
            )
        frame = read_table(place, "ctrate", ("VolumeName",), file).drop_duplicates("VolumeName")
        labels = frame.drop(columns="VolumeName")
        if names is not None and list(labels.columns) != names:
            raise ValueError(
                f"{file} must have the columns {', '.join(names)}; found {', '.join(labels.columns)}; get it again"
            )
        names = list(labels.columns)
        items += _items(folder, inner, part, frame["VolumeName"], states(labels, _CELLS, file))
        sections += [section] * (len(items) - len(sections))
    return table_manifest(
        folder,
        name,
        items,
        sections,
        expected=f"{inner}train/train_1/train_1_a/ (or train_fixed)",
        partial=partial,
        modalities=("ct",),
        description="CT-RATE: non-contrast chest CT, several reconstructions per scan, labels predicted from reports",
        reference="Hamamci et al. 2024, arXiv:2403.17834",
        licence="CC BY-NC-SA 4.0; gated, no redistribution",
        split={"source": [f"{part}_predicted_labels.csv" for part in _SECTIONS]},
        targets={finding: ["absent", "present"] for finding in names or []},
    )


def _items(folder: Path, inner: str, part: str, volumes: pd.Series, targets: list[dict[str, str]]) -> list[dict]:
    parts = volumes.str.extract(_VOLUME)
    bad = volumes[parts[0].isna() | (parts[1] != part)].tolist()
    if bad:
        raise ValueError(
            f"a volume of this table must be called like {part}_1_a_1.nii.gz; found {bad[0]}; get the table again"
        )
    plain = (folder / inner / part).is_dir() or not (folder / inner / f"{part}_fixed").is_dir()
    scan = parts[0] + "_" + parts[2]
    place = f"{inner}{part}" if plain else f"{inner}{part}_fixed"
    return make_items(
        image=(place + "/" + parts[0] + "/" + scan + "/" + volumes).tolist(),
        patient=parts[0].tolist(),
        targets=targets,
        columns=columns(study=scan, reconstruction=parts[3].astype(float), **_people(folder / inner, part, volumes)),
    )


def _people(folder: Path, part: str, volumes: pd.Series) -> dict[str, pd.Series]:
    place = folder / "metadata"
    if not place.is_dir() or find_table(place, _METADATA[part]) is None:
        return {}
    table = read_table(place, "ctrate", ("VolumeName", "PatientSex", "PatientAge"), _METADATA[part])
    table = table.drop_duplicates("VolumeName").set_index("VolumeName")
    sex, age = (volumes.map(table[column]).fillna("") for column in ("PatientSex", "PatientAge"))
    return {"sex": sexes(sex), "age": years(age)}
