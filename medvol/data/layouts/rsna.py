"""RSNA pneumonia challenge: a table with one row per box, and DICOM radiographs out of ChestX-ray14."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ..manifest import Manifest
from .rows import columns, find_table, make_items, read_table, table_manifest

_MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
_BOX = ("x", "y", "width", "height")
_GROUPS = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")


def import_rsna(folder: str | Path, *, name: str | None = None, partial: bool = False) -> Manifest:
    """Import the RSNA pneumonia detection challenge of 2018 (Shih et al. 2019, doi:10.1148/ryai.2019180041).

    The folder::

        rsna-pneumonia/
            stage_2_train_labels.csv                               one row per box
            stage_2_detailed_class_info.csv
            stage_2_train_images/<patientId>.dcm
            pneumonia-challenge-dataset-mappings_2018.json         optional: names in ChestX-ray14

    The folder holds ``stage_2_train_labels.csv`` (one row per box), ``stage_2_detailed_class_info.csv`` and
    ``stage_2_train_images/<patientId>.dcm``. One item per patientId; the target ``pneumonia`` is present where any of
    its rows has Target 1. ``group`` is the detailed class: the negatives mix normal lungs and other findings. Columns:
    ``num_boxes``, and ``boxes`` as text, ``"x y width height; ..."`` in pixels from the upper left of the 1024-pixel
    image. All stands in training: the test's labels are not public.

    The images come from ChestX-ray14, so never pre-train on that set and test here. With the challenge's mapping
    ``pneumonia-challenge-dataset-mappings_2018.json`` in the folder, ``patient`` is ChestX-ray14's and the column
    ``nih_image`` its file; otherwise each patientId, in truth one per examination, is a patient.

    Args:
        folder: the folder with the tables.
        name: name of the manifest; None for the folder's name.
        partial: leave out rows whose image is not there.

    Raises:
        FileNotFoundError: a table is missing, or no image is in place.
        ValueError: a column is missing, an unknown class or Target, or a mapping that leaves an image out.
    """
    folder = Path(folder)
    rows = read_table(folder, "rsna", ("patientId", *_BOX, "Target"), "stage_2_train_labels.csv")
    info = read_table(folder, "rsna", ("patientId", "class"), "stage_2_detailed_class_info.csv")
    _check("Target", rows["Target"], ("0", "1"))
    _check("class", info["class"], _GROUPS)
    by_image = rows.assign(target=rows["Target"].astype(int)).groupby("patientId", sort=True)["target"].max()
    group = info.drop_duplicates("patientId").set_index("patientId")["class"].reindex(by_image.index)
    if group.isna().any():
        raise ValueError(
            f"every image must have a class in stage_2_detailed_class_info.csv; {group.isna().sum()} have none, for "
            f"instance {group.index[group.isna()][0]}; get both tables of one stage"
        )
    ids, boxes = by_image.index.to_series(), _boxes(rows).reindex(by_image.index).fillna("")
    nih = _nih_images(folder, ids)
    more = {} if nih is None else {"nih_image": nih}
    items = make_items(
        image=("stage_2_train_images/" + ids + ".dcm").tolist(),
        patient=(ids if nih is None else nih.str.split("_").str[0].str.lstrip("0")).tolist(),
        group=group.tolist(),
        targets=[{"pneumonia": "present" if value else "absent"} for value in by_image.tolist()],
        columns=columns(num_boxes=boxes.str.count(";").add(1).where(boxes != "", 0), boxes=boxes, **more),
    )
    sections = ["training"] * len(items)
    return table_manifest(
        folder,
        name,
        items,
        sections,
        expected="stage_2_train_images/",
        partial=partial,
        description="RSNA pneumonia detection challenge 2018: frontal views of ChestX-ray14, boxes by radiologists",
        reference="Shih et al. 2019, Radiology: Artificial Intelligence 1(1):e180041; Wang et al. 2017, CVPR",
        licence="academic, commercial and non-commercial use with attribution, see the RSNA challenge page",
        targets={"pneumonia": ["absent", "present"]},
    )


def _check(column: str, cells: pd.Series, known: tuple[str, ...]) -> None:
    strangers = sorted(set(cells.unique()) - set(known))
    if strangers:
        raise ValueError(f"'{column}' must be one of {', '.join(known)}; found {strangers[0]!r}; get the table again")


def _boxes(rows: pd.DataFrame) -> pd.Series:
    drawn = rows[rows["Target"] == "1"]
    numbers = [drawn[side].str.removesuffix(".0") for side in _BOX]
    text = numbers[0].str.cat(numbers[1:], sep=" ")
    return text.groupby(drawn["patientId"]).agg("; ".join)


def _nih_images(folder: Path, ids: pd.Series) -> pd.Series | None:
    file = find_table(folder, _MAPPING)
    if file is None:
        return None
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        images = ids.map({entry["subset_img_id"]: entry["img_id"] for entry in entries})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} must be a list of objects with 'subset_img_id' and 'img_id'; found another form ({error!r}); get "
            "it again, or take it out of the folder"
        ) from error
    if images.isna().any():
        raise ValueError(
            f"{_MAPPING} must name every image; {images.isna().sum()} are missing, for instance "
            f"{ids[images.isna()].iloc[0]}; get it again, or take it out of the folder"
        )
    return images
