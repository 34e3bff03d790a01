"""ChestX-ray14: one table, two lists of names, twelve folders of images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..manifest import Manifest
from .rows import check_flags, columns, find_table, make_items, read_table, sexes, states, table_manifest, years

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position")
_LISTS = {"train_val_list.txt": "training", "test_list.txt": "test"}


def import_chestxray(
    folder: str | Path, *, name: str | None = None, official_split: bool = True, partial: bool = False
) -> Manifest:
    """Import ChestX-ray14 (Wang et al. 2017, arXiv:1705.02315).

    The folder::

        ChestX-ray14/
            Data_Entry_2017_v2020.csv
            train_val_list.txt
            test_list.txt
            images_001/images/00000001_000.png      patient 1, image 0
            images_002/images/...

    The folder holds ``Data_Entry_2017*.csv``, ``train_val_list.txt``, ``test_list.txt`` and the images in
    ``images_001/images`` ... or ``images``. The official lists split by patient: train_val is the training section,
    test the test. Targets are the 14 findings and ``No Finding``, each absent or present: they were mined from
    reports, so all are known and some are wrong. Columns: ``view``, ``sex``, ``age`` (years), ``follow_up``.

    Args:
        folder: the folder with the table.
        name: name of the manifest; None for the folder's name.
        official_split: False puts all into training and reads no list.
        partial: leave out rows whose image is not there, for instance after a partial download.

    Raises:
        FileNotFoundError: no table, no list, or no image in place.
        ValueError: a column is missing, an unknown finding, or an image that stands in no list.
    """
    check_flags(official_split=official_split)
    folder = Path(folder)
    frame = read_table(folder, "chestxray", _COLUMNS, "Data_Entry_2017*.csv")
    images, place = frame["Image Index"], _places(folder)
    sex = next((frame[c] for c in ("Patient Gender", "Patient Sex") if c in frame), pd.Series("", frame.index))
    follow_up = pd.to_numeric(frame.get("Follow-up #", pd.Series("", frame.index)), errors="coerce").astype(float)
    items = make_items(
        image=[place.get(image, f"images/{image}") for image in images.tolist()],
        patient=frame["Patient ID"].tolist(),
        targets=_targets(frame["Finding Labels"]),
        columns=columns(
            view=frame["View Position"], sex=sexes(sex), age=years(frame["Patient Age"]), follow_up=follow_up
        ),
    )
    sections = _sections(folder, images) if official_split else ["training"] * len(items)
    return table_manifest(
        folder,
        name,
        items,
        sections,
        expected="images/ or images_001/images/ ...",
        partial=partial,
        description="ChestX-ray14: frontal chest radiographs of the NIH Clinical Center, findings mined from reports",
        reference="Wang et al. 2017, CVPR, doi:10.1109/CVPR.2017.369",
        licence="no restriction; link https://nihcc.app.box.com/v/ChestXray-NIHCC, cite Wang et al. 2017, acknowledge "
        "the NIH Clinical Center",
        split={"source": list(_LISTS)} if official_split else {},
        targets={finding: ["absent", "present"] for finding in (*FINDINGS, "No Finding")},
    )


def _places(folder: Path) -> dict[str, str]:
    """Return image name to relative path; the archives unpack into twelve folders of the same inner name."""
    inside = sorted({*folder.glob("images"), *folder.glob("images_*/images"), *folder.glob("images_*")})
    return {file.name: file.relative_to(folder).as_posix() for place in inside for file in place.glob("*.png")}


def _targets(labels: pd.Series) -> list[dict[str, str]]:
    table = labels.str.get_dummies("|")
    unknown = sorted(set(table.columns) - {*FINDINGS, "No Finding"})
    if unknown:
        raise ValueError(
            f"a finding must be one of {', '.join((*FINDINGS, 'No Finding'))}; found {', '.join(unknown[:3])} in the "
            "column 'Finding Labels'; correct the table"
        )
    table = table.reindex(columns=[*FINDINGS, "No Finding"], fill_value=0).astype(str)
    return states(table, {"0": "absent", "1": "present"}, "Data_Entry_2017")


def _sections(folder: Path, images: pd.Series) -> list[str]:
    section: dict[str, str] = {}
    for file, where in _LISTS.items():
        listed = find_table(folder, file)
        if listed is None:
            raise FileNotFoundError(
                f"the official split of ChestX-ray14 needs {' and '.join(_LISTS)} in {folder}; {file} is missing; get "
                "it from the source, or give official_split false to put all into training"
            )
        section.update(dict.fromkeys(listed.read_text(encoding="utf-8").split(), where))
    result = images.map(section)
    if result.isna().any():
        lost = images[result.isna()].tolist()
        raise ValueError(
            f"every image must stand in {' or '.join(_LISTS)}; {len(lost)} do not, for instance {lost[0]}; get the "
            "lists of this version, or give official_split false to put all into training"
        )
    return result.tolist()
