"""Open-I's Indiana University collection: XML reports that name their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..manifest import Manifest
from .rows import table_manifest

_UNKNOWN = {"no indexing"}


def import_openi(
    folder: str | Path, *, name: str | None = None, images: str = "NLMCXR_png", partial: bool = False
) -> Manifest:
    """Import the chest radiographs of Open-I (Demner-Fushman et al. 2016, doi:10.1093/jamia/ocv080).

    The folder::

        folder/
            ecgen-radiology/1.xml                   the report, with the names of its images
            NLMCXR_png/CXR1_1_IM-0001-3001.png

    The folder holds the reports ``ecgen-radiology/*.xml`` and the images in one folder; a report names its images by
    ``parentImage``. The source has no key for patients: each report (its uId) counts as one. There is no official
    split, so all stands in training. The target ``abnormality`` comes from the indexers' main headings (MeSH major):
    only ``normal`` is normal, no indexing is unknown. Columns: ``study`` (the report's uId), ``report`` (path of the
    XML file; the text itself is not stored) and ``mesh`` (the main headings, ``; `` between them).

    Args:
        folder: the folder with ``ecgen-radiology``.
        name: name of the manifest; None for the folder's name.
        images: folder of the images, relative to ``folder``; ``.`` if they lie beside ``ecgen-radiology``.
        partial: leave out images that are not there.

    Raises:
        FileNotFoundError: no report, or no image in place.
        ValueError: a report is no XML, or names no number.
    """
    folder = Path(folder)
    reports = sorted((folder / "ecgen-radiology").glob("*.xml"), key=lambda file: (len(file.name), file.name))
    if not reports:
        raise FileNotFoundError(
            f"the layout 'openi' needs reports at ecgen-radiology/*.xml in {folder}; found none; unpack "
            "NLMCXR_reports.tgz there, or name the folder that holds ecgen-radiology"
        )
    items = [item for report in reports for item in _items(report, folder, images)]
    sections = ["training"] * len(items)
    return table_manifest(
        folder,
        name,
        items,
        sections,
        expected=f"{images}/*.png",
        partial=partial,
        description="Open-I, Indiana University: chest radiographs with reports, frontal and lateral",
        reference="Demner-Fushman et al. 2016, JAMIA 23(2):304-310",
        licence="open download from the NLM; CC BY-NC-ND 4.0 as stated by others, check at openi.nlm.nih.gov",
        targets={"abnormality": ["normal", "abnormal"]},
    )


def _items(report: Path, folder: Path, images: str) -> list[dict[str, Any]]:
    try:
        root = ElementTree.parse(report).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"a report must be XML; {report} is not ({error}); get it again") from error
    number = root.find("uId")
    study = "" if number is None else number.get("id", "")
    if not study:
        raise ValueError(
            f"a report must have its number as <uId id='CXR1'/>; found none in {report}; get it again, or take it out"
        )
    headings = [text for tag in root.findall("MeSH/major") if (text := " ".join((tag.text or "").split()))]
    known = [heading for heading in headings if heading.lower() not in _UNKNOWN]
    columns = {"study": study, "report": report.relative_to(folder).as_posix()}
    rest: dict[str, Any] = {"columns": {**columns, "mesh": "; ".join(headings)} if headings else columns}
    if known:
        normal = [heading.lower() for heading in known] == ["normal"]
        rest["targets"] = {"abnormality": "normal" if normal else "abnormal"}
    ids = dict.fromkeys(tag.get("id", "") for tag in root.iter("parentImage"))
    return [{"image": f"{images}/{image}.png", "patient": study, **rest} for image in ids if image]
