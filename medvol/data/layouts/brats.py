"""The BraTS challenges of 2013 to 2024: each year named its files, and sometimes its labels, anew."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..manifest import Manifest
from .columns import is_known, read_table, require_column
from .listing import image_files, list_files, require_choice

MODALITIES = ("flair", "t1", "t1ce", "t2")
_FOUR = {"necrosis": 1, "oedema": 2, "non_enhancing": 3, "enhancing": 4}
_GAP = {"necrosis": 1, "oedema": 2, "enhancing": 4}
_THREE = {"necrosis": 1, "oedema": 2, "enhancing": 3}
_CAVITY = {**_THREE, "resection_cavity": 4}
# Training case 355 of 2020 came with its label under the name of another place.
_MISNAMED = {"W39_1998.09.19_Segm": "BraTS20_Training_355"}


@dataclass(frozen=True, eq=False)  # an era is itself: a key of dicts
class Era:
    """How one or several years name their files.

    Attributes:
        years: the challenges.
        file: expression over the relative path without suffix; group ``case`` is the scan, ``patient`` who is on it,
            ``kind`` the channel or the label.
        kinds: ``kind`` in small letters to the channel's name, or to ``label``.
        labels: structure to integer.
    """

    years: tuple[int, ...]
    file: str
    kinds: Mapping[str, str]
    labels: Mapping[str, int]


_VSD = r"VSD\.Brain[^/]*/VSD\.Brain[^/]*?\.(?P<kind>MR_Flair|MR_T1|MR_T1c|MR_T2|OT)(?:\.\d+)?"
_VSD_KINDS = {"mr_flair": "flair", "mr_t1": "t1", "mr_t1c": "t1ce", "mr_t2": "t2", "ot": "label"}
_NAMES = {**{name: name for name in MODALITIES}, "seg": "label"}
_NEW = {"t2f": "flair", "t1n": "t1", "t1c": "t1ce", "t2w": "t2", "seg": "label"}
_OLD = r"(?P<patient>brats_\w+_pat\d+)_\d+"
_KIND = r"(?P<kind>flair|t1|t1ce|t2|seg)"
_NEW_KIND = r"(?P<kind>t2f|t1n|t1c|t2w|seg)"

ERAS = (
    Era((2013,), rf"(?:.*/)?(?P<case>(?P<patient>(?:HGG?|LGG?)/\d{{4}}))/{_VSD}", _VSD_KINDS, _FOUR),
    Era((2015, 2013, 2016), rf"(?:.*/)?(?P<case>{_OLD})/{_VSD}", _VSD_KINDS, _FOUR),
    Era((2015, 2013, 2016), rf"(?:.*/)?(?P<case>{_OLD})_{_KIND}", _NAMES, _FOUR),
    *(
        Era((year,), rf"(?:.*/)?(?P<case>(?P<patient>Brats{year - 2000}_\w+?)_\d+)_{_KIND}", _NAMES, _GAP)
        for year in (2017, 2018, 2019)
    ),
    Era((2020,), rf"(?:.*/)?(?P<case>(?P<patient>BraTS20_[A-Za-z]+_\d+))_{_KIND}", _NAMES, _GAP),
    Era((2021, 2022), rf"(?:.*/)?(?P<case>(?P<patient>BraTS2021_\d+))_{_KIND}", _NAMES, _GAP),
    Era((2023,), rf"(?:.*/)?(?P<case>(?P<patient>BraTS-[A-Z]+-\d+)-0\d\d)-{_NEW_KIND}", _NEW, _THREE),
    Era((2024,), rf"(?:.*/)?(?P<case>(?P<patient>BraTS-GLI-\d+)-1\d\d)-{_NEW_KIND}", _NEW, _CAVITY),
)


def import_brats(
    folder: Path,
    *,
    name: str | None = None,
    year: int | None = None,
    modalities: Sequence[str] | str = MODALITIES,
    label_map: Mapping[str, int] | None = None,
    section: str | None = None,
) -> Manifest:
    """Import a BraTS challenge's data (Menze et al. 2015, doi:10.1109/TMI.2014.2377694) with its own label numbers.

    The tree, by year::

        2013   HG/0001/VSD.Brain.XX.O.MR_Flair/VSD.Brain.XX.O.MR_Flair.684.mha, the label in VSD.Brain_3more.XX.XX.OT
        2015   HGG/brats_tcia_pat100_0001/VSD.Brain.XX.O.MR_T1c.35535/VSD.Brain.XX.O.MR_T1c.35535.mha
        2017   HGG/Brats17_TCIA_105_1/Brats17_TCIA_105_1_flair.nii.gz    and so 2018, 2019
        2020   BraTS20_Training_001/BraTS20_Training_001_flair.nii       name_mapping.csv: grade
        2021   BraTS2021_00000/BraTS2021_00000_flair.nii.gz              and so 2022
        2023   BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz        GLI, MEN, MET, SSA, PED
        2024   BraTS-GLI-00005-100/BraTS-GLI-00005-100-t2f.nii.gz        after treatment

    The channels are called flair, t1, t1ce and t2 in every year. Labels: 2013 and 2015 necrosis 1, oedema 2,
    non_enhancing 3, enhancing 4; 2017 to 2022 necrosis (with what does not enhance) 1, oedema 2, enhancing 4; from 2023
    on enhancing is 3; 2024 has resection_cavity 4. The labels of children (PED) differ between 2023 and 2024, which
    their names do not tell: state the year or the map. Patients: up to 2019 and from 2023 on the number at the end is
    the time point, so ``BraTS-GLI-00000-000`` and ``-001`` are one patient; 2020 and 2021 say nothing, each case is
    one. The grade, where a folder or ``name_mapping.csv`` says it, is the item's group.

    Args:
        folder: any folder above the cases.
        name: name of the manifest; None for the folder's name.
        year: the challenge; None for the one whose names all files have.
        modalities: the channels to take, in this order; a case must have them all.
        label_map: structure to integer, in place of the year's.
        section: the section for all items; None for validation where a folder or a case is called so, test likewise,
            else training.

    Raises:
        FileNotFoundError: no file with a name of these challenges.
        ValueError: names of several years, a year that the names contradict, or a case without one of its channels or
            with two files for it; each names the case.
    """
    files = image_files(list_files(folder))
    era = _era(files, year, folder)
    pediatric = next((file for file in files if re.search(r"BraTS-PED-\d", file, re.IGNORECASE)), None)
    if pediatric and year is None and not label_map:
        raise ValueError(
            f"the labels of children's tumors differ by year; found {pediatric} and no year; give year=2023, or "
            "label_map for another one"
        )
    wanted = (modalities,) if isinstance(modalities, str) else tuple(modalities)
    for modality in wanted:
        require_choice("modalities", modality, MODALITIES)
    cases, patients = _cases(files, era)
    grades = _grades(folder)
    sections: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for case, channels in sorted(cases.items()):
        item = _item(case, channels, wanted)
        grade = grades.get(case) or _grade_folder(item["image"][0])
        item = {**item, "patient": patients[case], **({"group": grade} if grade else {})}
        sections[section or _official(f"{folder.resolve().name}/{item['image'][0]}")].append(item)
    said = " or ".join(map(str, sorted(era.years))) if year is None else str(year)
    unlabelled = sum("label" not in item for items in sections.values() for item in items)
    return Manifest(
        name=name or folder.resolve().name,
        root=folder,
        modalities=wanted,
        label_map={"background": 0, **(label_map or era.labels)},
        synthetic=False,
        sections=dict(sections),
        description=f"BraTS {said}: multimodal MRI of brain tumors",
        reference="Menze et al. 2015, IEEE TMI 34(10):1993-2024; Bakas et al. 2017, Scientific Data 4:170117",
        provenance=[{"step": "import", "layout": "brats", "year": said, "unlabelled": unlabelled}],
    )


def _match(era: Era, file: str) -> re.Match[str] | None:
    path = re.sub(r"(\.nii\.gz|\.nii|\.mha)$", "", file)
    return re.fullmatch(era.file, path, re.IGNORECASE)


def _era(files: Sequence[str], year: int | None, folder: Path) -> Era:
    """Return the one era whose names the files have."""
    known = sorted(one for era in ERAS for one in era.years)
    if year is not None:
        require_choice("year", year, known)
    found = {era: hits for era in ERAS if (hits := [file for file in files if _match(era, file)])}
    if not found:
        raise FileNotFoundError(
            f"BraTS names its files like BraTS2021_00000_flair.nii.gz (the years {known[0]} to {known[-1]} are known); "
            f"found {', '.join(files[:2]) or 'no image'} in {folder}; name the folder of the cases, or use the layout "
            "'folder' for files of other names"
        )
    if len(found) > 1:
        shown = "; ".join(f"{era.years[0]}: {hits[0]}" for era, hits in found.items())
        raise ValueError(f"a folder must hold one year of BraTS; found {shown}; name the folder of one year")
    era = next(iter(found))
    if year is not None and year not in era.years:
        raise ValueError(
            f"the option year must be the year of the names; found {year}, and {found[era][0]} is of {era.years[0]}; "
            "leave the option out, or name the folder of that year"
        )
    return era


def _cases(files: Sequence[str], era: Era) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return for each case channel to file, and its patient."""
    cases: dict[str, dict[str, str]] = defaultdict(dict)
    patients: dict[str, str] = {}
    for file in files:
        match = _match(era, file)
        misnamed = _MISNAMED.get(PurePosixPath(file).name.split(".nii")[0]) if 2020 in era.years else None
        if misnamed:
            case, kind = misnamed, "label"
        elif match:
            case, kind = match["case"].replace("/", "_"), era.kinds[match["kind"].lower()]
            patients[case] = match["patient"].replace("/", "_")
        else:
            continue
        if kind in cases[case]:
            raise ValueError(f"case '{case}' must have one {kind}; found {cases[case][kind]} and {file}; remove one")
        cases[case][kind] = file
    return cases, patients


def _item(case: str, channels: Mapping[str, str], wanted: Sequence[str]) -> dict[str, Any]:
    missing = [modality for modality in wanted if modality not in channels]
    if missing:
        raise ValueError(
            f"case '{case}' must have {', '.join(wanted)}; it has {', '.join(sorted(channels))} and lacks "
            f"{', '.join(missing)}; complete it, or name the channels to take with the option modalities"
        )
    item = {"image": [channels[modality] for modality in wanted], "case": case}
    return {**item, "label": channels["label"]} if "label" in channels else item


def _official(path: str) -> str:
    """Return the section that the innermost folder or name says; one that says several says nothing."""
    for part in reversed(path.lower().split("/")):
        said = {"validation": "validation", "testing": "test", "training": "training"}
        found = [section for word, section in said.items() if word in part]
        if len(found) == 1:
            return found[0]
    return "training"


def _grade_folder(path: str) -> str:
    """Return the grade where a folder is called so: HGG or HG, LGG or LG."""
    found = [part.upper() for part in PurePosixPath(path).parts[:-1] if part.upper() in ("HG", "HGG", "LG", "LGG")]
    return f"{found[-1][0]}GG" if found else ""


def _grades(folder: Path) -> dict[str, str]:
    """Return case to grade out of name_mapping.csv of 2020, wherever it lies."""
    grades: dict[str, str] = {}
    for file in (one for one in list_files(folder) if re.fullmatch(r"name_mapping\w*\.csv", PurePosixPath(one).name)):
        rows = read_table(folder / file)
        subjects = [column for column in (rows[0] if rows else {}) if re.fullmatch(r"BraTS_20\d\d_subject_ID", column)]
        if not subjects or "Grade" not in rows[0]:
            continue
        require_column(rows, "Grade", folder / file)
        for row in rows:
            grades.update({row[one]: row["Grade"] for one in subjects if is_known(row["Grade"]) and is_known(row[one])})
    return grades
