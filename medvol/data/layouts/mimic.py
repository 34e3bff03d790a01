"""MIMIC-CXR and MIMIC-CXR-JPG: images by patient and study, and tables for split, labels and views."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..manifest import Manifest
from .chexpert import OBSERVATIONS, STATES, read_states
from .rows import check_flags, columns, find_table, make_items, read_table, table_manifest

_SECTIONS = {"train": "training", "validate": "validation", "test": "test"}
_KEYS = ("subject_id", "study_id")


def import_mimic(
    folder: str | Path,
    *,
    name: str | None = None,
    labeler: str = "chexpert",
    suffix: str = ".jpg",
    reports: bool = False,
    derive_no_finding: bool = False,
    partial: bool = False,
) -> Manifest:
    """Import MIMIC-CXR-JPG (Johnson et al. 2019, arXiv:1901.07042), or MIMIC-CXR with the tables of the former.

    The folder::

        mimic-cxr-jpg/
            mimic-cxr-2.0.0-split.csv.gz
            mimic-cxr-2.0.0-metadata.csv.gz
            mimic-cxr-2.0.0-chexpert.csv.gz
            files/p10/p10000032/s50414267/<dicom_id>.jpg      patient, study, image
            files/p10/p10000032/s50414267.txt                 optional: the report

    The folder holds ``mimic-cxr-2.0.0-split.csv``, ``-metadata.csv`` and ``-chexpert.csv`` (plain or ``.gz``, any
    version number) beside ``files/p10/p10000032/s50414267/<dicom_id>.jpg``. The official split is by patient. Targets
    are the 14 observations of a study in the states of CheXpert, for every image of that study; an empty cell is
    unknown. Columns: ``view`` (as written in ``ViewPosition``), ``study``, and with ``reports`` the path of the report.

    Args:
        folder: the folder with the tables.
        name: name of the manifest; None for the folder's name.
        labeler: ``chexpert`` or ``negbio``: whose labels; ``none`` for no targets, without a table.
        suffix: ``.jpg`` or ``.dcm``.
        reports: give each item the column ``report``, the path ``files/p10/p10000032/s50414267.txt``; no text is read.
        derive_no_finding: make an empty ``No Finding`` negative where an observation other than the devices is
            positive or uncertain.
        partial: leave out rows whose image is not there.

    Raises:
        FileNotFoundError: a table is missing, or no image is in place.
        ValueError: an unknown labeler or suffix, a missing column, an unknown split, or a cell that is no state.
    """
    _check("labeler", labeler, ("chexpert", "negbio", "none"))
    _check("suffix", suffix, (".jpg", ".dcm"))
    check_flags(reports=reports, derive_no_finding=derive_no_finding)
    folder = Path(folder)
    split = read_table(folder, "mimic", ("dicom_id", *_KEYS, "split"), "mimic-cxr-*-split.csv")
    section = split["split"].map(_SECTIONS)
    if section.isna().any():
        _check("a split", split["split"][section.isna()].iloc[0], tuple(_SECTIONS))
    study = "files/p" + split["subject_id"].str[:2] + "/p" + split["subject_id"] + "/s" + split["study_id"]
    more = {"report": study + ".txt"} if reports else {}
    items = make_items(
        image=(study + "/" + split["dicom_id"] + suffix).tolist(),
        patient=("p" + split["subject_id"]).tolist(),
        targets=_targets(folder, split, labeler, derive_no_finding),
        columns=columns(view=_views(folder, split), study="s" + split["study_id"], **more),
    )
    return table_manifest(
        folder,
        name,
        items,
        section.tolist(),
        expected="files/p10/p10000032/s50414267/",
        partial=partial,
        description="MIMIC-CXR: chest radiographs of an emergency department, observations mined from reports",
        reference="Johnson et al. 2019, Scientific Data 6:317; arXiv:1901.07042",
        licence="PhysioNet credentialed health data; no redistribution",
        split={"source": find_table(folder, "mimic-cxr-*-split.csv").name},
        targets={} if labeler == "none" else {observation: list(STATES) for observation in OBSERVATIONS},
    )


def _check(what: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}; found {found!r}; choose one of them")


def _views(folder: Path, split: pd.DataFrame) -> pd.Series:
    table = read_table(folder, "mimic", ("dicom_id", "ViewPosition"), "mimic-cxr-*-metadata.csv")
    views = table.drop_duplicates("dicom_id").set_index("dicom_id")["ViewPosition"]
    return split["dicom_id"].map(views).fillna("")


def _targets(folder: Path, split: pd.DataFrame, labeler: str, derive_no_finding: bool) -> list[dict[str, str]]:
    if labeler == "none":
        return [{} for _ in range(len(split))]
    table = read_table(folder, "mimic", (*_KEYS, *OBSERVATIONS), f"mimic-cxr-*-{labeler}.csv")
    found = read_states(table, f"the table of {labeler}", derive_no_finding)
    of_study = dict(zip(zip(table["subject_id"], table["study_id"], strict=True), found, strict=True))
    # A few studies have no report that could be labeled: their observations are unknown.
    return [of_study.get(key, {}) for key in zip(split["subject_id"], split["study_id"], strict=True)]
