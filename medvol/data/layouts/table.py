"""A table as a data set: one row per case, paths and everything else in columns that the user names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datalist import SECTIONS, case_name
from ..manifest import Manifest
from .columns import is_known, read_table, require_column, typed_columns
from .listing import safe_path
from .patients import check_rule, patient_of_files


def import_table(
    folder: Path,
    *,
    name: str | None = None,
    table: str | None = None,
    image: str | None = None,
    modalities: Sequence[str] | str,
    patient: str | None = None,
    label: str | None = None,
    label_map: Mapping[str, int] | None = None,
    case: str | None = None,
    section: str | None = None,
    sections: Mapping[str, str] | None = None,
    group: str | None = None,
    targets: Sequence[str] | str = (),
    columns: Sequence[str] | str = (),
    licence: str = "",
) -> Manifest:
    """Import a CSV or TSV file with one row per case; options name its columns.

    The tree::

        study/
            cases.csv          path,subject,grade,age      or: t1,flair,subject,...
            scans/a.nii.gz     paths in the table start at the folder

    Args:
        folder: where the table's paths start.
        name: name of the manifest; None for the folder's name.
        table: the table's path relative to the folder; None for the only CSV or TSV file in it.
        image: column with the image's path; None where each modality has a column of its own name.
        modalities: channel names.
        patient: column with the patient, or a patient rule over the path (``case``, ``folder``, or an expression with a
            group), see :func:`medvol.data.layouts.patients.check_rule`.
        label: column with the label's path; an empty cell means no label.
        label_map: structure to integer, needed with ``label``.
        case: column with the case's name; None for the image's name.
        section: column with the section; None for training.
        sections: what stands in that column to ``training``, ``validation`` or ``test``; None where it says these.
        group: column with the stratum.
        targets: columns with a class per image; an empty cell is unknown. The classes are the values found.
        columns: other columns to keep; ``where`` may ask for them.
        licence: what one may do with the data.

    Raises:
        FileNotFoundError: no table.
        ValueError: a column that the table does not have (with the nearest one), a row without an image or a patient,
            an unknown section, or a target with a single class.
    """
    file = _find(folder, table)
    rows = read_table(file)
    if not rows:
        raise ValueError(f"a table must have a row for each case; {file} has none; complete it")
    wanted = [modalities] if isinstance(modalities, str) else list(modalities)
    images = [image] if image else wanted
    kept, target_names = _list(columns), _list(targets)
    named = [column for column in (label, case, section, group) if column]
    for column in (*images, *named, *target_names, *kept):
        require_column(rows, column, file)
    in_column = bool(rows) and patient in rows[0]
    paths = [[safe_path(row[one], folder, f"{file.name}, row {i}") for one in images] for i, row in enumerate(rows, 1)]
    rule = "" if in_column else check_rule(patient, [path[0] for path in paths])
    result: dict[str, list[dict[str, Any]]] = {one: [] for one in SECTIONS}
    extra = typed_columns(rows, kept)
    for i, row in enumerate(rows):
        item: dict[str, Any] = {"image": paths[i][0] if len(paths[i]) == 1 else paths[i]}
        item["patient"] = _patient(row, str(patient), i + 1, file) if in_column else ""
        for key, column in (("label", label), ("case", case), ("group", group)):
            if column and is_known(row[column]):
                value = safe_path(row[column], folder, f"{file.name}, row {i + 1}") if key == "label" else row[column]
                item[key] = value
        if not in_column:
            item["patient"] = patient_of_files(paths[i], case_name(item), rule)
        found = {one: row[one] for one in target_names if is_known(row[one])}
        item.update({key: value for key, value in (("targets", found), ("columns", extra[i])) if value})
        result[_section(row, section, sections, i + 1, file)].append(item)
    return Manifest(
        name=name or folder.resolve().name,
        root=folder,
        modalities=tuple(wanted),
        label_map=dict(label_map or {}),
        synthetic=False,
        sections=result,
        licence=licence,
        split={"table": file.name, "column": section} if section else {},
        targets={one: sorted({row[one] for row in rows if is_known(row[one])}) for one in target_names},
    )


def _list(names: Sequence[str] | str) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _find(folder: Path, table: str | None) -> Path:
    if table:
        return folder / table
    found = sorted(file for pattern in ("*.csv", "*.tsv") for file in folder.glob(pattern) if file.name[0] != ".")
    if len(found) != 1:
        listed = ", ".join(file.name for file in found) or "none"
        raise FileNotFoundError(
            f"{folder} must have one CSV or TSV file where the option table names none; found {listed}; name it"
        )
    return found[0]


def _patient(row: Mapping[str, str], column: str, number: int, file: Path) -> str:
    if not is_known(row[column]):
        raise ValueError(
            f"every row must name its patient in '{column}'; row {number} of {file.name} does not; complete it"
        )
    return row[column]


def _section(
    row: Mapping[str, str], column: str | None, sections: Mapping[str, str] | None, number: int, file: Path
) -> str:
    if not column:
        return "training"
    found = (sections or {}).get(row[column], row[column])
    if found not in SECTIONS:
        raise ValueError(
            f"'{column}' must be one of {', '.join(SECTIONS)}; row {number} of {file.name} has '{row[column]}'; say "
            f"what it means with sections={{'{row[column]}': 'training'}}"
        )
    return found
