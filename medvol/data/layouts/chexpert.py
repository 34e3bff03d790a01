"""CheXpert: tables of paths with 14 observations in four states."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..manifest import Manifest
from .rows import check_flags, columns, find_table, make_items, read_table, sexes, states, table_manifest, years

OBSERVATIONS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
STATES = ("negative", "positive", "uncertain")
_CELLS = {
    "0": "negative",
    "0.0": "negative",
    "1": "positive",
    "1.0": "positive",
    "-1": "uncertain",
    "-1.0": "uncertain",
}
_TABLES = {"training": ("train.csv",), "validation": ("valid.csv",), "test": ("test.csv", "test_labels.csv")}
_PATH = r"((?:train|valid|test)/(patient\d+)/(study\d+)/([^/]+)\.[^./]+)$"


def read_states(frame: pd.DataFrame, where: str, derive_no_finding: bool) -> list[dict[str, str]]:
    """Return the 14 observations of each row: 0 negative, 1 positive, -1 uncertain, empty (not mentioned) no entry.

    Args:
        frame: a table with :data:`OBSERVATIONS`, every cell text.
        where: what the table is, for the error.
        derive_no_finding: make an empty ``No Finding`` negative where an observation other than the devices is
            positive or uncertain: the labeler's own definition (Irvin et al. 2019) of what is not free of findings.

    Raises:
        ValueError: another cell.

    Example:
        >>> row = pd.DataFrame([["", "-1.0", *[""] * 12]], columns=list(OBSERVATIONS))
        >>> read_states(row, "train.csv", True)
        [{'No Finding': 'negative', 'Enlarged Cardiomediastinum': 'uncertain'}]
    """
    cells = frame[list(OBSERVATIONS)]
    if derive_no_finding:
        found = cells[list(OBSERVATIONS[1:-1])].isin(["1", "1.0", "-1", "-1.0"]).any(axis=1)
        empty = cells["No Finding"].str.strip() == ""
        cells = cells.assign(**{"No Finding": cells["No Finding"].where(~(found & empty), "0")})
    return states(cells, _CELLS, where)


def import_chexpert(
    folder: str | Path, *, name: str | None = None, derive_no_finding: bool = False, partial: bool = False
) -> Manifest:
    """Import CheXpert (Irvin et al. 2019, arXiv:1901.07031).

    The folder::

        CheXpert-v1.0-small/
            train.csv
            valid.csv
            train/patient00001/study1/view1_frontal.jpg
            valid/patient64541/study1/view1_frontal.jpg

    The folder holds ``train.csv`` and, where they are, ``valid.csv`` and ``test.csv`` (or ``test_labels.csv``), beside
    ``train/patient00001/study1/view1_frontal.jpg``; the tables' paths may begin with the release's name. Targets are
    the 14 observations, each negative, positive or uncertain; an empty cell (not mentioned) is unknown, never
    negative. What to do with uncertain ones is the task's choice. ``No Finding`` is 1 or empty in the source. Columns:
    ``view`` (frontal or lateral; laterals are included), ``projection`` (AP, PA), ``sex``, ``age`` (years), ``study``.

    Args:
        folder: the folder with the tables.
        name: name of the manifest; None for the folder's name.
        derive_no_finding: make an empty ``No Finding`` negative where an observation other than the devices is
            positive or uncertain.
        partial: leave out rows whose image is not there.

    Raises:
        FileNotFoundError: no ``train.csv``, or no image in place.
        ValueError: a column is missing, a path of another form, or a cell that is none of the four states.
    """
    check_flags(derive_no_finding=derive_no_finding)
    folder = Path(folder)
    items, sections = [], []
    for section, files in _TABLES.items():
        if section == "training" or find_table(folder, *files):
            found = _items(read_table(folder, "chexpert", ("Path", *OBSERVATIONS), *files), files[0], derive_no_finding)
            items += found
            sections += [section] * len(found)
    return table_manifest(
        folder,
        name,
        items,
        sections,
        expected="train/patient00001/study1/",
        partial=partial,
        description="CheXpert: chest radiographs, 14 observations from reports (training) or readers (the rest)",
        reference="Irvin et al. 2019, AAAI, arXiv:1901.07031",
        licence="Stanford research use agreement; registration",
        split={"source": [file for files in _TABLES.values() for file in files if find_table(folder, file)]},
        targets={observation: list(STATES) for observation in OBSERVATIONS},
    )


def _items(frame: pd.DataFrame, table: str, derive_no_finding: bool) -> list[dict]:
    parts = frame["Path"].str.extract(_PATH)
    bad = frame["Path"][parts[0].isna()].tolist()
    if bad:
        raise ValueError(
            f"a path in {table} must be like train/patient00001/study1/view1_frontal.jpg; found {bad[0]}; get the "
            "table as its source gives it"
        )
    empty = pd.Series("", frame.index)
    view = frame.get("Frontal/Lateral", empty).str.lower()
    # The test table has labels only; the file's name tells the view there.
    view = view.where(view != "", parts[3].str.extract(r"_(frontal|lateral)$")[0].fillna(""))
    return make_items(
        image=parts[0].tolist(),
        patient=parts[1].tolist(),
        case=(parts[1] + "_" + parts[2] + "_" + parts[3]).tolist(),
        targets=read_states(frame, table, derive_no_finding),
        columns=columns(
            view=view,
            projection=frame.get("AP/PA", empty),
            sex=sexes(frame.get("Sex", empty)),
            age=years(frame.get("Age", empty)),
            study=parts[1] + "_" + parts[2],
        ),
    )
