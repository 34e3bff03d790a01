"""DICOM as it leaves an archive: a tree of folders in which every file names its patient, study and series."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import SimpleITK as sitk  # noqa: N813 (its documented short name)

from ..files import SUFFIXES
from ..manifest import Manifest
from ..reading import read_header
from .conversion import convert_series
from .images import is_dicom
from .listing import list_files
from .patients import check_rule, patient_of_files

# DICOM's words for images on a plane: every file is an image of its own there.
RADIOGRAPHS = ("CR", "DX", "DR", "MG", "PX", "IO", "RG")
_OTHERS = tuple(suffix for suffix in SUFFIXES if suffix not in (".dcm", ".dicom", ".img"))


@dataclass(frozen=True)
class Series:
    """One DICOM series, or one radiograph, of a tree.

    Attributes:
        path: its folder (or the radiograph's file) relative to the root.
        identity: what tells it from the other series of its folder.
        files: its slices in the order of their positions.
        tags: DICOM's own words, see :class:`medvol.data.reading.Header`.
        alone: whether the path holds nothing else.
    """

    path: str
    identity: str
    files: tuple[str, ...]
    tags: Mapping[str, str]
    alone: bool


def import_dicom(
    folder: Path,
    *,
    name: str | None = None,
    patient: str = "tag",
    modalities: Sequence[str] | str | None = None,
    series: Mapping[str, str] | None = None,
    convert: str | Path | None = None,
    section: str = "training",
) -> Manifest:
    """Import a tree of DICOM files, read by GDCM; what is no DICOM is passed over.

    The tree, with any names and depth::

        archive/
            3f9a/study1/series2/IM0001 ...   one series per folder: an item, its image is the folder
            3f9a/study2/1.dcm 2.dcm          CR, DX or MG: every file is an item
            77b0/DICOM/IM0001 ...            several series in one folder: give ``convert``

    Args:
        folder: the folder above the patients.
        name: name of the manifest; None for the folder's name.
        patient: ``"tag"`` for DICOM's PatientID, or a rule over the path, see
            :func:`medvol.data.layouts.patients.check_rule`.
        modalities: the one channel's name; None for DICOM's Modality in small letters, if all series share it.
        series: modality name to a regular expression over SeriesDescription (capitals do not matter): the matching
            series of a study are one item's channels. A study must have exactly one series for each.
        convert: write every series that is used as NIfTI to ``<convert>/<patient>/<series>.nii.gz``, values and
            geometry unchanged, and make the manifest of these files; what is there already is kept.
        section: the section for all items.

    Raises:
        FileNotFoundError: no DICOM file in the folder.
        ValueError: several series in a folder without ``convert``, a missing PatientID, several DICOM modalities
            without a name for them, or a study that does not match ``series``.
    """
    found = find_series(folder)
    if not found:
        raise FileNotFoundError(f"a tree of DICOM files was expected; found none in {folder}; name the folder of one")
    if patient != "tag":
        check_rule(patient, [one.path for one in found])
    cases = _studies(found, series) if series else [[one] for one in found]
    names = tuple(series) if series else (_modality(found, modalities),)
    if not convert:
        _require_alone([one for case in cases for one in case], folder)
    out = Path(convert).expanduser() if convert else None
    items = []
    for case in cases:
        person = _patient(case, patient)
        paths = [convert_series(folder, one, out, person) if out else one.path for one in case]
        case_name = _common(paths) if series else re.sub(r"\.(nii\.gz|dcm|dicom)$", "", paths[0], flags=re.IGNORECASE)
        items.append(
            {
                "image": paths if series else paths[0],
                "patient": person,
                "case": case_name.replace("/", "_"),
                "columns": _columns(case),
            }
        )
    items.sort(key=lambda item: item["case"])
    return Manifest(name or folder.resolve().name, out or folder, names, {}, False, {section: items})


def find_series(folder: Path) -> list[Series]:
    """Return the series below a folder, sorted by path.

    Args:
        folder: what the paths are relative to.

    Raises:
        ValueError: a DICOM file cannot be read.
    """
    places: dict[str, list[str]] = defaultdict(list)
    for file in list_files(folder):
        if not file.lower().endswith(_OTHERS):
            places[str(PurePosixPath(file).parent)].append(PurePosixPath(file).name)
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # GDCM reports every file that is no DICOM
    try:
        return [one for place in sorted(places) for one in _series_of(folder, place, places[place])]
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _series_of(folder: Path, place: str, names: Sequence[str]) -> list[Series]:
    reader, where = sitk.ImageSeriesReader, str(folder / place)
    found = []
    # Told apart as when they are read: by identifier, and by size, orientation and thickness of the slices.
    identities = reader.GetGDCMSeriesIDs(where, True)
    series = {identity: reader.GetGDCMSeriesFileNames(where, identity, True) for identity in sorted(identities)}
    known = {Path(file).name for files in series.values() for file in files}
    damaged = [name for name in names if name not in known and is_dicom(folder / place / name)]
    if damaged:
        raise ValueError(
            f"every DICOM file must be readable; in {folder / place} {len(damaged)} are not: {', '.join(damaged[:3])}; "
            "get them again, or take them out"
        )
    for identity, files in series.items():
        tags = read_header(files[0]).tags
        if tags.get("modality") in RADIOGRAPHS:
            for file in sorted(files):
                path = str(PurePosixPath(place) / Path(file).name)
                found.append(Series(path, identity, (file,), read_header(file).tags, True))
        else:
            found.append(Series(place, identity, tuple(files), tags, len(identities) == 1))
    return sorted(found, key=lambda one: (one.path, one.identity))


def _require_alone(found: Sequence[Series], folder: Path) -> None:
    for one in found:
        if not one.alone or one.path == ".":
            others = sum(other.path == one.path for other in found)
            expected = "inside the tree, not the tree itself" if one.alone else "with exactly one DICOM series"
            raise ValueError(
                f"an image is a folder {expected}; {folder / one.path} holds {others} series (one is "
                f"'{one.tags.get('description', '')}'); give convert=<folder> to write every series as NIfTI there"
                + (", or name the folder above" if one.alone else "")
            )


def _studies(found: Sequence[Series], series: Mapping[str, str]) -> list[list[Series]]:
    """Return for each study its series in the order of the modalities."""
    studies: dict[str, list[Series]] = defaultdict(list)
    for one in found:
        studies[one.tags.get("study", "")].append(one)
    cases = []
    for study, members in studies.items():
        case = []
        for modality, pattern in series.items():
            matches = [one for one in members if re.search(pattern, one.tags.get("description", ""), re.IGNORECASE)]
            if len(matches) != 1:
                known = ", ".join(sorted(f"'{one.tags.get('description', '')}'" for one in members))
                raise ValueError(
                    f"every study must have one series for {modality} ('{pattern}'); study {study} (in "
                    f"{members[0].path}) has {len(matches)} among {known}; correct the expression, or take it out"
                )
            case += matches
        cases.append(case)
    return cases


def _patient(case: Sequence[Series], rule: str) -> str:
    if rule != "tag":
        return patient_of_files([one.path for one in case], PurePosixPath(case[0].path).stem, rule)
    found = {one.tags.get("patient", "").strip() for one in case}
    if len(found) != 1 or "" in found:
        raise ValueError(
            f"an image must name one patient in DICOM's PatientID; {case[0].path} has {sorted(found)}; give a rule "
            "over the path with the option patient"
        )
    return found.pop()


def _modality(found: Sequence[Series], modalities: Sequence[str] | str | None) -> str:
    names = [modalities] if isinstance(modalities, str) else list(modalities or [])
    known = sorted({one.tags.get("modality", "").lower() for one in found})
    if len(names) == 1 or (not names and len(known) == 1 and known[0]):
        return names[0] if names else known[0]
    raise ValueError(
        f"modalities must be one name where each series is an item; found {names or 'none'}, and DICOM says "
        f"{', '.join(known)}; name it, or say with series={{name: expression}} which series are channels of one item"
    )


def _common(paths: Sequence[str]) -> str:
    """Return the folder that all paths share, or their first one."""
    parts = [PurePosixPath(path).parts[:-1] for path in paths]
    same = 0
    while same < min(map(len, parts)) and len({part[same] for part in parts}) == 1:
        same += 1
    digest = hashlib.sha256("|".join(paths).encode()).hexdigest()[:8]
    return "/".join([*parts[0][:same], digest])


def _columns(case: Sequence[Series]) -> dict[str, str]:
    keys = {"modality": "dicom_modality", "description": "series_description"}
    tags = case[0].tags
    return {column: tags[tag] for tag, column in keys.items() if len(case) == 1 and tags.get(tag)}
