"""A folder of one's own scans as a manifest: cases and channels by the files' names, patients by a stated rule."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import medvol

from ..folder import arrange, check_channels, group_channels
from ..manifest import Manifest
from .columns import typed_columns
from .images import find_images
from .listing import require_choice
from .patients import check_rule, patient_of, patient_of_files


def import_folder(
    folder: Path,
    *,
    name: str | None = None,
    modalities: Sequence[str] | str,
    patient: str | None = None,
    images: str | Sequence[str] = ".",
    labels: str | None = None,
    label_map: Mapping[str, int] | None = None,
    licence: str = "",
    section: str = "training",
    columns: Mapping[str, str] | None = None,
    case: str = "name",
) -> Manifest:
    r"""Import one's own scans, cases and channels by the files' names.

    The tree, one of::

        scans/p1_flair.nii.gz p1_t1.nii.gz     the modality at the end of the name (or .nrrd, .mha)
        scans/p1/flair.nii.gz t1.nii.gz        the modality is the name
        scans/p1_0000.nii.gz p1_0001.nii.gz    the number of the channel
        scans/p1.nii.gz                        one file per case; several modalities lie on its last axis
        scans/p1/ct/1.dcm 2.dcm ...            a folder with one DICOM series is an image
        scans/p1/view1.png                     radiographs: PNG, JPEG, TIFF, BMP, DICOM

    Args:
        folder: the root of the manifest: paths and patterns start here.
        name: name of the manifest; None for the folder's name.
        modalities: channel names, as the files' names have them, or in the order of the channel numbers or of the last
            axis.
        patient: who is on an image: ``case`` (each case is another patient), ``folder`` (the name of the image's
            folder), or a regular expression over the relative path, whose group is the patient; never guessed.
        images: a folder below the root (all images in it and its subfolders; ``.`` is the root), or one or several
            patterns such as ``*/anat/*.nii.gz``. Labels (names that end with ``_seg``, ``_label`` or ``_mask``, and
            what ``labels`` describes) are no images.
        labels: where a case's label lies, relative to the root, with ``{case}``, ``{patient}`` or ``{folder}`` (the
            folder of the case's first image), for instance ``labels/{case}_seg.nii.gz``; ``*`` stands for any
            characters. A case without its label is kept without one, and counted in the provenance.
        label_map: structure to integer, needed with ``labels``.
        licence: what one may do with the data.
        section: the section for all items.
        columns: column name to a regular expression over the path, whose first group is the value, for instance
            ``{"site": "^([^/]+)/"}``.
        case: ``name`` (the files' names tell the cases apart) or ``path`` (only with their folders' names do they).

    Raises:
        FileNotFoundError: no such folder, no image in it, or a label pattern that finds nothing.
        ValueError: mixed formats or ways of naming, two files for one channel, two cases of one name, a missing
            channel, or no rule for the patients; each names a case or a file.
    """
    return create_manifest(
        folder, images, modalities=modalities, patient=patient, labels=labels, label_map=label_map, name=name,
        licence=licence, section=section, columns=columns, case=case,
    )  # fmt: skip


def create_manifest(
    root: str | Path,
    images: str | Sequence[str],
    *,
    modalities: Sequence[str] | str,
    patient: str | None,
    labels: str | None = None,
    label_map: Mapping[str, int] | None = None,
    name: str | None = None,
    licence: str = "",
    section: str = "training",
    columns: Mapping[str, str] | None = None,
    case: str = "name",
) -> Manifest:
    """Make a manifest of a folder of images; every argument is the option of :func:`import_folder` of that name.

    Args:
        root: the root of the manifest.
        images: a folder below it, or patterns.
        modalities: channel names, see :func:`medvol.data.folder.group_channels`.
        patient: patient rule, see :func:`medvol.data.layouts.patients.check_rule`.
        labels: pattern of the labels.
        label_map: structure to integer.
        name: name of the manifest; None for the root's name.
        licence: what one may do with the data.
        section: the section for all items.
        columns: column name to a regular expression over the path.
        case: ``"name"`` or ``"path"``.

    Returns:
        The manifest; its provenance counts the cases without a label as ``unlabelled``.

    Raises:
        FileNotFoundError: see :func:`import_folder`.
        ValueError: see there, too.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for file in ("p1_a_t1.nii.gz", "p1_a_flair.nii.gz", "p1_a_seg.nii.gz"):
        ...     (root / file).touch()
        >>> names = {"modalities": ["t1", "flair"], "patient": r"^([^_]+)_"}
        >>> manifest = create_manifest(root, ".", **names, labels="{case}_seg.nii.gz", label_map={"tumor": 1})
        >>> manifest.sections["training"][0]["patient"], manifest.sections["training"][0]["label"]
        ('p1', 'p1_a_seg.nii.gz')
    """
    root = Path(root).expanduser()
    require_choice("case", case, ["name", "path"])
    wanted = (modalities,) if isinstance(modalities, str) else tuple(modalities)
    if labels and not label_map:
        raise ValueError(f"labels need a label_map, names to integers; found '{labels}' and no map; name the labels")
    units = find_images(root, images, labels)
    layout, cases = group_channels([Path(unit) for unit in units], Path(), wanted, whole_path=case == "path")
    rule = check_rule(patient, units)
    items = [_item(root, layout, key, channels, wanted, rule) for key, channels in sorted(cases.items())]
    unlabelled = _add_labels(items, root, labels) if labels else len(items)
    _add_columns(items, columns or {})
    options = {"images": images, "modalities": list(wanted), "patient": rule, "labels": labels, "columns": columns}
    options = {key: value for key, value in {**options, "case": case, "section": section}.items() if value}
    step = {"step": "import", "layout": "folder", "medvol": medvol.__version__, "options": options}
    return Manifest(
        name=name or root.resolve().name,
        root=root,
        modalities=wanted,
        label_map=dict(label_map or {}),
        synthetic=False,
        sections={section: items},
        licence=licence,
        provenance=[{**step, "names": layout, "unlabelled": unlabelled}],
    )


def _item(
    root: Path, layout: str, case: str, channels: Mapping[str, Path], wanted: Sequence[str], rule: str
) -> dict[str, Any]:
    found = arrange(layout, case, channels, wanted)
    if isinstance(found, str):
        check_channels(case, root / found, wanted)
    paths = [Path(path).as_posix() for path in ([found] if isinstance(found, str) else found)]
    return {
        "image": paths[0] if len(paths) == 1 else paths,
        "patient": patient_of_files(paths, case, rule),
        "case": case,
    }


def _first(item: Mapping[str, Any]) -> str:
    return item["image"] if isinstance(item["image"], str) else item["image"][0]


def _add_labels(items: Sequence[dict[str, Any]], root: Path, labels: str) -> int:
    """Give each item its label, and return how many have none."""
    missing = []
    for item in items:
        folder = PurePosixPath(_first(item)).parent.as_posix()
        pattern = str(PurePosixPath(_fill(labels, {**item, "folder": folder})))
        found = [pattern] if (root / pattern).is_file() else []
        if not found and "*" in labels:
            escaped = {key: glob.escape(str(value)) for key, value in {**item, "folder": folder}.items()}
            found = [file.relative_to(root).as_posix() for file in root.glob(_fill(labels, escaped))]
        if len(found) > 1:
            raise ValueError(
                f"case '{item['case']}' must have one label; '{labels}' finds {', '.join(sorted(found)[:3])}; make the "
                "pattern more exact"
            )
        if found:
            item["label"] = found[0]
        else:
            missing.append(pattern)
    if len(missing) == len(items):
        raise FileNotFoundError(
            f"the pattern of the labels must find a file for some case; '{labels}' finds none (it looked for "
            f"{missing[0]}, for case '{items[0]['case']}'); correct the pattern: {{case}}, {{patient}} and {{folder}} "
            "are replaced, and it starts at the root"
        )
    return len(missing)


def _fill(labels: str, values: Mapping[str, Any]) -> str:
    return re.sub(r"\{(case|patient|folder)\}", lambda match: str(values[match[1]]), labels)


def _add_columns(items: Sequence[dict[str, Any]], columns: Mapping[str, str]) -> None:
    for expression in columns.values():
        check_rule(expression, [_first(item) for item in items])
    rows = [{c: patient_of(_first(item), item["case"], rule) for c, rule in columns.items()} for item in items]
    for item, values in zip(items, typed_columns(rows, list(columns)), strict=True):
        if values:
            item["columns"] = values
