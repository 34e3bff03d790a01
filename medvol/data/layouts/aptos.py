"""APTOS 2019: fundus photographs with a grade of diabetic retinopathy."""

from __future__ import annotations

from pathlib import Path

from ..manifest import Manifest
from .patients import check_rule, patient_of
from .rows import make_items, read_table, states, table_manifest

GRADES = ("none", "mild", "moderate", "severe", "proliferative")


def import_aptos(
    folder: str | Path, *, name: str | None = None, patient: str | None = None, partial: bool = False
) -> Manifest:
    """Import the APTOS 2019 blindness detection challenge.

    The folder::

        aptos2019/
            train.csv                         id_code, diagnosis (0 to 4)
            train_images/000c1434d8d7.png

    The folder holds ``train.csv`` (``id_code``, ``diagnosis``) and ``train_images/<id_code>.png``. The target
    ``retinopathy`` is the diagnosis 0 to 4: none, mild, moderate, severe, proliferative. All stands in training: the
    test's grades are not public. The images are in color: the modalities are red, green and blue of one file.

    Args:
        folder: the folder with the table.
        name: name of the manifest; None for the folder's name.
        patient: the source says nothing of patients, whose two eyes may both be in the set: ``case`` takes every
            photograph as another patient; a regular expression over the path works where names were made anew.
        partial: leave out rows whose image is not there.

    Raises:
        FileNotFoundError: no table, or no image in place.
        ValueError: a column is missing, a diagnosis is not 0 to 4, or no patient rule.
    """
    folder = Path(folder)
    frame = read_table(folder, "aptos", ("id_code", "diagnosis"), "train.csv")
    cases = frame["id_code"].tolist()
    images = [f"train_images/{case}.png" for case in cases]
    rule = check_rule(patient, images)
    grades = {str(grade): word for grade, word in enumerate(GRADES)}
    items = make_items(
        image=images,
        patient=[patient_of(image, case, rule) for image, case in zip(images, cases, strict=True)],
        targets=states(frame[["diagnosis"]].set_axis(["retinopathy"], axis=1), grades, "train.csv"),
    )
    sections = ["training"] * len(items)
    return table_manifest(
        folder,
        name,
        items,
        sections,
        expected="train_images/",
        partial=partial,
        modalities=("red", "green", "blue"),
        description="APTOS 2019: fundus photographs of Aravind Eye Hospital, graded for diabetic retinopathy",
        reference="Asia Pacific Tele-Ophthalmology Society 2019, kaggle.com/c/aptos2019-blindness-detection",
        licence="rules of the challenge",
        targets={"retinopathy": list(GRADES)},
    )
