"""UK Biobank's brain MRI as its bulk fields unpack: one folder per participant, field, visit and array index."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ..manifest import Manifest
from .rows import check_flags

# Bulk field, and the file in it; the pipeline puts the FLAIR on the T1's grid.
_FIELDS = {"t1": ("20252", "T1/T1{brain}.nii.gz"), "flair": ("20253", "T2_FLAIR/T2_FLAIR{brain}.nii.gz")}
_NAME = re.compile(r"^(\d+)_(2025[23])_([23])_(\d+)$")


def import_ukb(
    folder: str | Path,
    *,
    name: str | None = None,
    modalities: str | Sequence[str] = ("t1", "flair"),
    brain: bool = True,
    partial: bool = False,
) -> Manifest:
    """Import T1 and FLAIR of UK Biobank (Alfaro-Almagro et al. 2018, doi:10.1016/j.neuroimage.2017.10.034).

    The folder::

        folder/
            1000012_20252_2_0/T1/T1_brain.nii.gz                     eid, field, visit, array index
            1000012_20253_2_0/T2_FLAIR/T2_FLAIR_brain.nii.gz
            1000012_20252_3_0/T1/T1_brain.nii.gz                     the second imaging visit

    The folder holds the unpacked bulk files ``<eid>_20252_2_0/T1/T1_brain.nii.gz`` (T1) and
    ``<eid>_20253_2_0/T2_FLAIR/T2_FLAIR_brain.nii.gz``, directly or one level down (also as ``<eid>/20252_2_0``). One
    item per visit: the instances 2 and 3 are two visits of one patient, the eid. Column: ``visit``. Whoever withdrew
    must be taken out by the user's own list.

    Args:
        folder: the folder with the unpacked files.
        name: name of the manifest; None for the folder's name.
        modalities: ``t1``, ``flair`` or both, in the wanted order; text is split at commas.
        brain: take the skull-stripped files; False takes the whole heads.
        partial: leave out visits that lack a modality.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: a file that is still zipped, an unknown modality, or a visit that lacks one.
    """
    check_flags(brain=brain, partial=partial)
    folder, wanted = Path(folder), _modalities(modalities)
    visits = _visits(folder)
    files = {modality: _FIELDS[modality][1].format(brain="_brain" if brain else "") for modality in wanted}
    items, lacking = [], []
    for (patient, visit, index), fields in sorted(visits.items()):
        images = [_image(folder, fields.get(_FIELDS[m][0]), files[m]) for m in wanted]
        if all(images):
            case = f"{patient}_{visit}_{index}"
            items.append({"image": images, "patient": patient, "case": case, "columns": {"visit": int(visit)}})
        else:
            missing = [files[m] for m, image in zip(wanted, images, strict=True) if not image]
            lacking.append(f"{patient} visit {visit} ({' and '.join(missing)})")
    if not items:
        raise FileNotFoundError(
            f"the layout 'ukb' needs <eid>_20252_2_0/T1/T1_brain.nii.gz and the like in {folder}; no visit has all of "
            f"{', '.join(files.values())}; unpack the bulk files, or ask for other modalities"
        )
    if lacking and not partial:
        raise ValueError(
            f"every visit must have {', '.join(wanted)}; {len(lacking)} lack one: {', '.join(lacking[:3])}; get the "
            "files, ask for one modality, or give partial true to leave these visits out"
        )
    return Manifest(
        name=name or folder.resolve().name,
        root=folder,
        modalities=wanted,
        label_map={},
        synthetic=False,
        sections={"training": items},
        description="UK Biobank brain MRI" + (", skull-stripped" if brain else ""),
        reference="Miller et al. 2016, Nature Neuroscience 19:1523; Alfaro-Almagro et al. 2018, NeuroImage 166:400",
        licence="UK Biobank access agreement; no redistribution",
    )


def _modalities(found: str | Sequence[str]) -> tuple[str, ...]:
    names = tuple(re.split(r"[,\s]+", found.strip()) if isinstance(found, str) else found)
    if not names or len(set(names)) != len(names) or not set(names) <= set(_FIELDS):
        raise ValueError(f"modalities must be t1, flair or both; found {found!r}; name each once")
    return names


def _visits(folder: Path) -> dict[tuple[str, str, str], dict[str, Path]]:
    """Return (eid, instance, array index) to bulk field to folder."""
    found: dict[tuple[str, str, str], dict[str, Path]] = defaultdict(dict)
    zipped = []
    for place in [path for top in sorted(folder.iterdir()) for path in (top, *_inside(top))]:
        whole, path = place.name.removesuffix(".zip"), place
        match = _NAME.match(whole) or _NAME.match(f"{place.parent.name}_{whole}")
        if match and place.is_dir():
            patient, field, visit, index = match.groups()
            fields = found[patient, visit, index]
            if field in fields:
                raise ValueError(
                    f"a visit must have one folder per field; found {fields[field]} and {path}; remove one"
                )
            fields[field] = path
        elif match and place.suffix == ".zip" and not place.with_suffix("").is_dir():
            zipped.append(place)
    if zipped:
        raise ValueError(
            f"bulk files must be unpacked; {len(zipped)} are still zipped, for instance {zipped[0]}; unpack each into "
            f"a folder of its name: unzip {zipped[0].name} -d {zipped[0].stem}"
        )
    return found


def _inside(top: Path) -> list[Path]:
    return sorted(top.iterdir()) if top.is_dir() and not _NAME.match(top.name) else []


def _image(folder: Path, place: Path | None, file: str) -> str:
    path = place / file if place else None
    return path.relative_to(folder).as_posix() if path and path.is_file() else ""
