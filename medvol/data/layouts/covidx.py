"""COVIDx: text lists of patient, file, class and source, one for each section."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..manifest import Manifest
from .rows import columns, make_items, table_manifest

_LISTS = {"train": "training", "val": "validation", "test": "test"}
# File names may hold spaces; the three other words never do.
_LINE = r"^(\S+) (.+) (\S+) (\S+)$"
_TASKS = {"pneumonia": ("normal", "pneumonia", "COVID-19"), "covid19": ("negative", "positive")}


def import_covidx(folder: str | Path, *, name: str | None = None, suffix: str = "", partial: bool = False) -> Manifest:
    """Import COVIDx (Wang, Lin, Wong 2020, arXiv:2003.09871), any version whose lines name the source.

    The folder::

        COVIDx/
            train.txt          patient, file, class, source
            val.txt            from CXR-4 on
            test.txt
            train/a.png
            test/b.png

    The folder holds ``train.txt``, ``test.txt`` and, from CXR-4 on, ``val.txt`` beside ``train/``, ``val/`` and
    ``test/``. A line is ``patient file class source``. The three-class lists (A) give the target ``pneumonia``
    (normal, pneumonia, COVID-19), the binary ones (B) the target ``covid19`` (negative, positive). ``group`` is the
    source, which gives the class away: negatives come from RSNA and ChestX-ray14, positives from elsewhere. A patient
    is named ``source-patient``, as the numbers of two sources may be equal. Versions are not comparable.

    Args:
        folder: the folder with the lists.
        name: name of the manifest; None for the folder's name.
        suffix: end of the lists' names: ``_COVIDx9A`` reads ``train_COVIDx9A.txt`` and so on.
        partial: leave out lines whose image is not there.

    Raises:
        FileNotFoundError: no train or test list, or no image in place.
        ValueError: a line of another form, or classes that are neither the three nor the two.
    """
    folder = Path(folder)
    files = {part: folder / f"{part}{suffix}.txt" for part in _LISTS}
    for part in ("train", "test"):
        if not files[part].is_file():
            there = ", ".join(sorted(file.name for file in folder.glob("*.txt"))) or "no .txt file"
            raise FileNotFoundError(
                f"the layout 'covidx' needs {files[part].name} in {folder}; found {there}; name the folder with the "
                "lists, or give the option suffix, for instance _COVIDx9A"
            )
    found = {part: _lines(file) for part, file in files.items() if file.is_file()}
    rows = pd.concat(found, names=["part"]).reset_index("part")
    task = _task(set(rows[2].unique()))
    items = make_items(
        image=(rows["part"] + "/" + rows[1]).tolist(),
        patient=(rows[3] + "-" + rows[0]).tolist(),
        case=(rows["part"] + "_" + rows[1]).tolist(),
        group=rows[3].tolist(),
        targets=[{task: value} for value in rows[2].tolist()],
        columns=columns(source=rows[3]),
    )
    sections = rows["part"].map(_LISTS).tolist()
    return table_manifest(
        folder,
        name,
        items,
        sections,
        expected="train/ and test/",
        partial=partial,
        description="COVIDx: chest radiographs put together out of several sources, which differ by class",
        reference="Wang, Lin, Wong 2020, Scientific Reports 10:19549, arXiv:2003.09871; and each source",
        licence="each source's own, partly non-commercial",
        split={"source": [files[part].name for part in found]},
        targets={task: list(_TASKS[task])},
    )


def _lines(file: Path) -> pd.DataFrame:
    lines = pd.Series(file.read_text(encoding="utf-8-sig").splitlines(), dtype=str).str.strip()
    lines = lines[lines != ""].reset_index(drop=True)
    parts = lines.str.extract(_LINE)
    bad = parts[0].isna()
    if bad.any():
        raise ValueError(
            f"a line of {file.name} must be 'patient file class source'; found {lines[bad].iloc[0]!r}; early versions "
            "lack the source: get a later one"
        )
    return parts


def _task(classes: set[str]) -> str:
    for task, known in _TASKS.items():
        if classes <= set(known):
            return task
    raise ValueError(
        f"the classes of COVIDx must be {' or '.join(', '.join(known) for known in _TASKS.values())}; found "
        f"{', '.join(sorted(classes))}; do not mix lists of two versions"
    )
