"""Which files of a folder are its images: by pattern or all of them, labels left out, a DICOM series as its folder."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from ..files import SUFFIXES
from ..folder import is_label
from .listing import image_files, list_files

_FORMATS = {
    "NIfTI": (".nii.gz", ".nii", ".hdr", ".img", ".img.gz"), "NRRD": (".nrrd", ".nhdr"), "MetaImage": (".mha", ".mhd"),
    "pictures": (".png", ".jpeg", ".jpg", ".tiff", ".tif", ".bmp"),
}  # fmt: skip
_DICOM = (".dcm", ".dicom", ".ima")


def find_images(root: Path, images: str | Sequence[str], labels: str | None = None) -> list[str]:
    """Return the images of a folder relative to it, sorted: files, or folders with one DICOM series each.

    Args:
        root: where paths and patterns start.
        images: a folder below the root, or patterns.
        labels: the pattern of the labels, see :func:`medvol.data.layouts.folder.create_manifest`; what it describes is
            no image.

    Raises:
        FileNotFoundError: no such folder, or no image.
        ValueError: images of several formats, or a folder with several DICOM series.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for file in ("a.nii.gz", "a_seg.nii.gz", "notes.txt"):
        ...     (root / file).touch()
        >>> find_images(root, ".")
        ['a.nii.gz']
    """
    if not root.is_dir():
        raise FileNotFoundError(f"images are looked for in a folder; there is no folder {root}; correct the path")
    patterns = [images] if isinstance(images, str) else list(images)
    files = sorted({file for pattern in patterns for file in _matches(root, pattern)})
    label = label_expression(labels) if labels else None
    kept = [file for file in files if not is_label(PurePosixPath(file)) and not (label and label.fullmatch(file))]
    formats = {form: image_files(kept, suffixes) for form, suffixes in _FORMATS.items()}
    formats["DICOM"] = [file for file in kept if is_dicom(root / file)]
    formats = {form: found for form, found in formats.items() if found}
    if not formats:
        but = f"; '{labels}' describes every file there" if labels and files and not kept else ""
        raise FileNotFoundError(
            f"images are files with {', '.join(SUFFIXES)}, or folders of DICOM files; found none among {len(files)} "
            f"files of {', '.join(patterns)} in {root}{but}; name the folder or the pattern of the images"
        )
    if len(formats) > 1:
        shown = " and ".join(f"{len(found)} of {form} ({found[0]})" for form, found in formats.items())
        raise ValueError(
            f"images must be of one format; found {shown} in {root}; name those that you mean by a pattern, for "
            f"instance images='**/*{''.join(PurePosixPath(next(iter(formats.values()))[0]).suffixes[-2:])}'"
        )
    (form, found), *_ = formats.items()
    return _dicom_images(root, found) if form == "DICOM" else found


def label_expression(labels: str) -> re.Pattern[str]:
    """Return what a path looks like that the pattern of the labels describes.

    Example:
        >>> bool(label_expression("labels/{case}_seg.nii.gz").fullmatch("labels/p1_seg.nii.gz"))
        True
    """
    kinds = {"{case}": "[^/]+", "{patient}": "[^/]+", "{folder}": ".*", "*": "[^/]*"}
    parts = re.split(r"(\{case\}|\{patient\}|\{folder\}|\*)", labels)
    return re.compile("".join(kinds.get(part, re.escape(part)) for part in parts))


def _matches(root: Path, pattern: str) -> Iterable[str]:
    if Path(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
        raise ValueError(f"images must be a folder or a pattern below {root}; found '{pattern}'; name them from there")
    if not any(sign in pattern for sign in "*?["):
        if not (root / pattern).is_dir():
            raise FileNotFoundError(
                f"images must be a folder or a pattern below {root}; there is no folder '{pattern}'; correct it, or "
                "write a pattern with *"
            )
        return list_files(root, pattern)
    found = [path for path in root.glob(pattern) if path.name[0] != "."]
    inside = [file for path in found if path.is_dir() for file in list_files(root, path.relative_to(root).as_posix())]
    # A pattern that ends at folders means series of slices, so only what may be one counts there.
    slices = [file for file in inside if not file.lower().endswith(_OTHERS)]
    return [path.relative_to(root).as_posix() for path in found if path.is_file()] + slices


_OTHERS = tuple(suffix for suffix in SUFFIXES if suffix not in _DICOM)


def is_dicom(file: Path) -> bool:
    """Return whether a file is DICOM by its suffix, or, where its name says nothing, by its first bytes.

    Example:
        >>> is_dicom(Path("IM0001.dcm")), is_dicom(Path("DICOMDIR")), is_dicom(Path("notes.txt"))
        (True, False, False)
    """
    if file.name.lower().endswith(_DICOM):
        return True
    if file.name.upper() == "DICOMDIR" or re.search(r"\.[A-Za-z]\w*$", file.name):
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:  # a link that leads nowhere, for instance
        return False


def _dicom_images(root: Path, files: Sequence[str]) -> list[str]:
    from ..reading import read_header, series_files
    from .dicom import RADIOGRAPHS  # SimpleITK loads only where it is used

    places: dict[PurePosixPath, list[str]] = defaultdict(list)
    for file in files:
        places[PurePosixPath(file).parent].append(file)
    result = []
    for place, inside in sorted(places.items()):
        if read_header(root / inside[0]).tags.get("modality") in RADIOGRAPHS:
            result += inside
            continue
        try:
            series_files(root / place)
        except ValueError as error:
            raise ValueError(
                f"{error}; or write every series as NIfTI: the layout 'dicom' with convert=<folder>"
            ) from error
        if str(place) == ".":
            raise ValueError(
                f"a DICOM series is a folder below the root; found its slices in {root} itself; name the folder above"
            )
        result.append(str(place))
    return sorted(result)
