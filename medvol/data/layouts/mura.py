"""MURA: radiographs of the upper limb by region, patient and study, whose folder's name is the label."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..manifest import Manifest
from .rows import columns, make_items, table_manifest

_LISTS = {"train_image_paths.csv": "training", "valid_image_paths.csv": "validation"}
_PATH = r"((?:train|valid)/(XR_[A-Z]+)/(patient\d+)/(study\d+)_(positive|negative)/([^/]+)\.[^./]+)$"
_CLASSES = {"positive": "abnormal", "negative": "normal"}


def import_mura(folder: str | Path, *, name: str | None = None, partial: bool = False) -> Manifest:
    """Import MURA (Rajpurkar et al. 2018, arXiv:1712.06957).

    The folder::

        MURA-v1.1/
            train_image_paths.csv
            valid_image_paths.csv
            train/XR_WRIST/patient00001/study1_positive/image1.png
            valid/XR_HAND/patient11185/study1_negative/image1.png

    The folder holds ``train_image_paths.csv`` and ``valid_image_paths.csv`` beside
    ``train/XR_WRIST/patient00001/study1_positive/image1.png``; the tables' paths begin with the release's name. The
    target ``abnormality`` (normal, abnormal) belongs to a study: average an image's scores over the column ``study``.
    A number is one patient in every region. The official ``valid`` is the validation section; the test is hidden.
    Columns: ``study``, ``region``.

    Args:
        folder: the folder with the lists, for instance ``MURA-v1.1``.
        name: name of the manifest; None for the folder's name.
        partial: leave out rows whose image is not there.

    Raises:
        FileNotFoundError: a list is missing, or no image is in place.
        ValueError: a path of another form.
    """
    folder = Path(folder)
    paths = pd.concat([_paths(folder, file) for file in _LISTS], keys=list(_LISTS))
    parts = paths.str.extract(_PATH)
    bad = paths[parts[0].isna()].tolist()
    if bad:
        raise ValueError(
            f"a path of MURA must be like train/XR_WRIST/patient00001/study1_positive/image1.png; found {bad[0]}; get "
            "the lists as their source gives them"
        )
    study = parts[1] + "/" + parts[2] + "/" + parts[3]
    items = make_items(
        image=parts[0].tolist(),
        patient=parts[2].tolist(),
        case=(parts[2] + "_" + parts[1] + "_" + parts[3] + "_" + parts[5]).tolist(),
        targets=[{"abnormality": value} for value in parts[4].map(_CLASSES).tolist()],
        columns=columns(study=study, region=parts[1].str.removeprefix("XR_").str.lower()),
    )
    sections = [_LISTS[file] for file, _ in paths.index]
    return table_manifest(
        folder,
        name,
        items,
        sections,
        expected="train/XR_WRIST/patient00001/",
        partial=partial,
        description="MURA: radiographs of seven regions of the upper limb, normal or abnormal by study",
        reference="Rajpurkar et al. 2018, MIDL, arXiv:1712.06957",
        licence="Stanford research use agreement; registration",
        split={"source": list(_LISTS)},
        targets={"abnormality": ["normal", "abnormal"]},
    )


def _paths(folder: Path, file: str) -> pd.Series:
    if not (folder / file).is_file():
        raise FileNotFoundError(
            f"the layout 'mura' needs {' and '.join(_LISTS)}; {file} is missing in {folder}; name the folder MURA-v1.1"
        )
    return pd.Series((folder / file).read_text(encoding="utf-8-sig").split(), dtype=str)
