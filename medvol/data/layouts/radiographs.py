"""A small collection of radiographs out of several sources: one table whose rows name their subset."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..manifest import Manifest
from ..splits import split_patients
from .rows import columns, make_items, read_table, sexes, sort_into, years

_COLUMNS = ("path", "subset", "split", "patient", "view", "sex", "age", "labels", "text_kind", "licence", "sha256")
# Target, and the labels of the table that stand for its classes; every other label is refused.
_TASKS = {
    "kermany": ("pneumonia", {"Normal": "normal", "Pneumonia|Bacterial": "bacterial", "Pneumonia|Viral": "viral"}),
    "nih": ("No Finding", None),
}
_ABOUT = {
    "kermany": (
        "chest radiographs of children of 1 to 5 years at 224 px, aspect ratio lost: normal, bacterial or viral "
        "pneumonia; markers in the images depend on the class",
        "Kermany, Zhang, Goldbaum 2018, Mendeley Data, doi:10.17632/rscbjbr9sj",
    ),
    "nih": (
        "frontal chest radiographs of ChestX-ray14 at 64 px; labels mined from reports; for pre-training and the one "
        "binary task 'No Finding'",
        "Wang et al. 2017, CVPR, doi:10.1109/CVPR.2017.369; data provider: NIH Clinical Center, "
        "https://nihcc.app.box.com/v/ChestXray-NIHCC",
    ),
    "hannover": (
        "chest radiographs of COVID-19 patients at 256 px; sentences made from the structured record, no reports",
        "Winther et al. 2020, Hannover Medical School, doi:10.25835/0090041",
    ),
    "covid": (
        "chest radiographs with clinical notes at 256 px; notes repeat within a case",
        "Cohen et al. 2020, arXiv:2006.11988; each image's own source in the column source_url",
    ),
}


def import_radiographs(
    folder: str | Path, *, subset: str, name: str | None = None, seed: int = 0, partial: bool = False
) -> Manifest:
    """Import one subset of a collection with one ``manifest.csv``; subsets are never mixed, the source tells the label.

    The folder::

        folder/
            manifest.csv
            kermany/kermany_IM-0001-0001.jpg
            nih/nih_00000231_013.png

    The table has the columns ``path subset split patient view sex age labels text_kind licence sha256``. Its ``train``
    is the training section and its ``val`` the validation; kermany's ``val`` is halved by patient into validation and
    test, in the shares of the classes. Targets: kermany ``pneumonia`` (normal, bacterial, viral), nih ``No Finding``
    (absent, present), others none. Columns: ``view``, ``sex``, ``age`` (years), ``licence``, ``source_url`` and
    ``text_kind``, each only where it differs within the subset or is a licence of several; texts are not stored.

    Args:
        folder: the folder with ``manifest.csv``.
        subset: name in the column ``subset``.
        name: name of the manifest; None for the subset's name.
        seed: seed of the halving; stands in ``split``.
        partial: leave out rows whose image is not there.

    Raises:
        FileNotFoundError: no table, or no image in place.
        ValueError: an unknown subset, split or label, or a column is missing.
    """
    folder = Path(folder)
    frame = read_table(folder, "radiographs", _COLUMNS, "manifest.csv")
    if subset not in set(frame["subset"]):
        raise ValueError(
            f"subset must be one of {', '.join(sorted(frame['subset'].unique()))}; found {subset!r}; choose one: a "
            "label task over two sources learns the source"
        )
    rows = frame[frame["subset"] == subset].reset_index(drop=True)
    sections, split = _sections(rows, seed if subset == "kermany" else None)
    target, classes = _classes(rows, subset)
    more = {} if classes is None else {"targets": [{target: value} for value in classes]}
    if told := _told(rows):
        more["columns"] = columns(**told)
    paths = rows["path"].tolist()
    items = make_items(
        image=paths,
        patient=rows["patient"].tolist(),
        **more,
        sha256=[{path: value} for path, value in zip(paths, rows["sha256"], strict=True)],
    )
    description, reference = _ABOUT.get(subset, ("", ""))
    return Manifest(
        name=name or subset,
        root=folder,
        modalities=("xray",),
        label_map={},
        synthetic=False,
        sections=sort_into(folder, items, sections, expected=f"{subset}/", partial=partial),
        description=description,
        reference=reference,
        licence=_licence(rows["licence"]),
        split=split,
        targets={} if classes is None else {target: _names(subset)},
    )


def _sections(rows: pd.DataFrame, seed: int | None) -> tuple[list[str], dict]:
    strangers = sorted(set(rows["split"]) - {"train", "val"})
    if strangers:
        raise ValueError(f"'split' must be train or val; found {strangers[0]!r}; correct manifest.csv")
    sections = rows["split"].map({"train": "training", "val": "validation"})
    if seed is None:
        return sections.tolist(), {"source": "manifest.csv", "unit": "patient"}
    held = rows[rows["split"] == "val"]
    strata = dict(zip(held["patient"], held["labels"], strict=True))
    half = len(strata) // 2
    parts = split_patients(strata, {"validation": half, "test": -1}, seed, strata=strata)
    sections = sections.mask(rows["patient"].isin(parts["test"]), "test")
    how = {"source": "manifest.csv, its val halved", "seed": seed, "validation_patients": half}
    return sections.tolist(), {**how, "strata": "pneumonia", "unit": "patient"}


def _names(subset: str) -> list[str]:
    classes = _TASKS[subset][1]
    return ["absent", "present"] if classes is None else list(classes.values())


def _classes(rows: pd.DataFrame, subset: str) -> tuple[str, list[str] | None]:
    if subset not in _TASKS:
        return "", None
    target, classes = _TASKS[subset]
    if classes is None:
        found = rows["labels"].str.split("|").map(lambda labels: "present" if target in labels else "absent")
        return target, found.tolist()
    found = rows["labels"].map(classes)
    if found.isna().any():
        raise ValueError(
            f"a label of {subset} must be one of {', '.join(classes)}; found {rows['labels'][found.isna()].iloc[0]!r}; "
            "correct manifest.csv"
        )
    return target, found.tolist()


def _told(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the columns that tell rows apart; one value for all would only make the manifest longer."""
    told = {"view": rows["view"], "sex": sexes(rows["sex"]), "age": years(rows["age"]), "licence": rows["licence"]}
    if "source_url" in rows:
        told["source_url"] = rows["source_url"]
    told["text_kind"] = rows["text_kind"]
    return {
        name: cells
        for name, cells in told.items()
        if cells.nunique() > 1 or (name == "text_kind" and (cells != "").any())
    }


def _licence(cells: pd.Series) -> str:
    counts = cells.value_counts()
    if len(counts) == 1:
        return str(counts.index[0])
    shares = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    closed = ", in part non-commercial" if cells.str.contains("-NC").any() else ""
    return f"per image, in the column licence{closed}: " + "; ".join(
        f"{licence} ({count})" for licence, count in shares
    )
