"""MedMNIST's volumes: arrays in one .npz file, written out as NIfTI once."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from medvol.writing import write_whole

from ..files import checksum
from ..manifest import Manifest
from .patients import check_rule, patient_of

_PARTS = {"train": "training", "val": "validation", "test": "test"}
_NOTE = "source.json"  # says which .npz the files beside it come from


def import_medmnist(
    folder: str | Path,
    *,
    convert: str | Path,
    name: str | None = None,
    file: str | None = None,
    target: str = "label",
    classes: str | Sequence[str] | None = None,
    patient: str | None = None,
) -> Manifest:
    """Import a 3D set of MedMNIST (Yang et al. 2023, doi:10.1038/s41597-022-01721-8).

    The folder::

        folder/
            adrenalmnist3d_64.npz                                     train_images, train_labels, val_..., test_...
        convert/
            train/adrenalmnist3d_64_train_00000.nii.gz                written by the import

    The folder holds one ``.npz`` with ``train_images`` (N, X, Y, Z) of uint8, ``train_labels`` (N, 1), and so on for
    ``val`` and ``test``, the official split. Each volume becomes ``convert/train/<name>_train_00000.nii.gz``, one at a
    time and in the array's own axes; the source gives no spacing, so that 1 mm in the files is a stand-in. Equal
    volumes give equal bytes. A conversion that was cut off goes on where it stopped.

    Args:
        folder: the folder with the ``.npz``.
        convert: folder to write to, which becomes the manifest's root; made if it is not there.
        name: name of the manifest; None for the file's stem.
        file: name of the ``.npz``; None if the folder has only one.
        target: name of the target.
        classes: its classes by number, text split at commas; None for ``"0"``, ``"1"`` and so on.
        patient: the source says nothing of patients: ``case`` takes every volume as another one.

    Raises:
        FileNotFoundError: no ``.npz``.
        ValueError: several, arrays of another form, too few classes, no patient rule, or ``convert`` holds other files.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> arrays = {f"{part}_images": np.zeros((2, 4, 4, 4), np.uint8) for part in _PARTS}
        >>> labels = {f"{part}_labels": np.array([[0], [1]]) for part in _PARTS}
        >>> np.savez(folder / "cubes.npz", **arrays, **labels)
        >>> manifest = import_medmnist(folder, convert=folder / "nifti", classes="normal,mass", patient="case")
        >>> [item["targets"]["label"] for item in manifest.sections["test"]]
        ['normal', 'mass']
    """
    source, out = _source(Path(folder), file), Path(convert)
    labels = {part: _labels(source, part) for part in _PARTS}
    names = _classes(classes, max(int(values.max()) for values in labels.values()) + 1)
    stem = source.stem
    cases = {part: [f"{stem}_{part}_{i:05d}" for i in range(len(labels[part]))] for part in _PARTS}
    rule = check_rule(patient, [f"{part}/{case}.nii.gz" for part in _PARTS for case in cases[part]])
    _claim(source, out)
    sections = {}
    for part, section in _PARTS.items():
        images = [f"{part}/{case}.nii.gz" for case in cases[part]]
        _write(source, part, [out / image for image in images])
        sections[section] = [
            {"image": image, "patient": patient_of(image, case, rule), "targets": {target: names[int(label)]}}
            for image, case, label in zip(images, cases[part], labels[part], strict=True)
        ]
    return Manifest(
        name=name or stem,
        root=out,
        modalities=("image",),
        label_map={},
        synthetic=False,
        sections=sections,
        description=f"{stem} of MedMNIST, written out as NIfTI; the spacing of 1 mm is a stand-in",
        reference="Yang et al. 2023, MedMNIST v2, Scientific Data 10:41, doi:10.1038/s41597-022-01721-8",
        licence="CC BY 4.0 for most sets of MedMNIST; see medmnist.com for this one",
        split={"source": source.name},
        targets={target: names},
    )


def _source(folder: Path, file: str | None) -> Path:
    found = [folder / file] if file else sorted(folder.glob("*.npz"))
    if not found or not found[0].is_file():
        raise FileNotFoundError(
            f"the layout 'medmnist' needs {file or 'an .npz file'} in {folder}; found none; get it, or correct the name"
        )
    if len(found) > 1:
        raise ValueError(
            f"the layout 'medmnist' takes one .npz; found {', '.join(f.name for f in found[:3])}; name one with the "
            "option file"
        )
    return found[0]


def _labels(source: Path, part: str) -> np.ndarray:
    """Return the class numbers (N,) of a part."""
    try:
        with source.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            key = f"{part}_labels"
            labels = arrays[key] if key in arrays.files else np.zeros(0)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"an .npz must be a whole zip archive of arrays; {source} is not ({error}); get it again"
        ) from error
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not labels.size or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"{part}_labels must be one whole number from 0 per image, (N, 1); found shape {labels.shape} of "
            f"{labels.dtype} in {source}; a set with several labels per image is not imported"
        )
    return labels


def _classes(classes: str | Sequence[str] | None, count: int) -> list[str]:
    names = (
        re.split(r"\s*,\s*", classes.strip()) if isinstance(classes, str) else list(classes or map(str, range(count)))
    )
    if len(names) < count:
        raise ValueError(f"classes must name {count} classes, 0 to {count - 1}; found {names}; name each")
    return names


def _claim(source: Path, out: Path) -> None:
    """Let the folder be filled from this source only, so that a file of final name there is trusted."""
    note, mine = out / _NOTE, {"source": source.name, "sha256": checksum(source)}
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == mine:
        for part in out.rglob(".*.part"):  # of a conversion that was killed
            part.unlink()
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f"convert must be a new or empty folder, or one that {source.name} was written to before; found other "
            f"files in {out}; name another folder"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_whole(note, json.dumps(mine))


def _write(source: Path, part: str, files: Sequence[Path]) -> None:
    files[0].parent.mkdir(parents=True, exist_ok=True)
    if all(file.is_file() for file in files):
        return
    try:
        for file, volume in zip(files, _volumes(source, part, len(files)), strict=True):
            if not file.is_file():
                image = nib.Nifti1Image(volume, np.eye(4))
                write_whole(file, gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"an .npz must be whole; {source} is damaged ({error}); get it again") from error


def _volumes(source: Path, part: str, count: int) -> Iterator[np.ndarray]:
    """Yield the volumes (X, Y, Z) one by one: the archive is never unpacked whole."""
    with zipfile.ZipFile(source) as archive:
        name = f"{part}_images.npy"
        if name not in archive.namelist():
            raise ValueError(
                f"{source} must have the array {name}; found {', '.join(archive.namelist())}; get it again"
            )
        with archive.open(name) as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream)
            if len(shape) != 4 or shape[0] != count or dtype != np.uint8 or fortran:
                raise ValueError(
                    f"{part}_images must be {count} volumes (N, X, Y, Z) of uint8 in C order; found {shape} of {dtype} "
                    f"in {source}; sets of flat images are not imported"
                )
            size = int(np.prod(shape[1:]))
            for i in range(count):
                content = stream.read(size)
                # The archive's own checksum is compared at its end: the last file is written only after that.
                if len(content) < size or (i == count - 1 and stream.read(1)):
                    raise EOFError(f"{name} has another length than it says")
                yield np.frombuffer(content, np.uint8).reshape(shape[1:])
