"""One DICOM series as one NIfTI file."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its documented short name)

from ..series import tilt, unevenness

if TYPE_CHECKING:
    from .dicom import Series


def convert_series(folder: Path, series: Series, out: Path, patient: str) -> str:
    """Write a series as compressed NIfTI, values and geometry unchanged, and return the file relative to ``out``.

    The name is made of the description and of a digest of what identifies the series, so that a second run finds what
    the first one wrote. A file appears whole or not at all.

    Args:
        folder: the root of the series' path.
        series: what to write.
        out: where the patients' folders go.
        patient: whose it is.

    Raises:
        ValueError: the slices are not evenly spaced, or cannot be read.
        OSError: the folder cannot be written.
    """
    # The path counts: two copies of a series, perhaps with other slices, must not become one file.
    digest = hashlib.sha256(f"{series.path}|{series.identity}".encode()).hexdigest()[:8]
    start = _word(series.tags.get("description", "") or series.tags.get("modality", "") or "series")
    relative = f"{_word(patient)}/{start}_{digest}.nii.gz"
    file = out / relative
    if file.is_file():
        return relative
    image = _read(folder / series.path, series.files)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".part-{file.name}")
    try:
        sitk.WriteImage(image, str(part), useCompression=True)
        part.replace(file)
    except RuntimeError as error:
        raise OSError(f"{out} must be a folder with room for the images; writing {file} failed ({error})") from error
    finally:
        part.unlink(missing_ok=True)
    return relative


def _word(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("_.") or "unnamed"


def _read(place: Path, files: tuple[str, ...]) -> sitk.Image:
    _require_even(place, files)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    try:
        return reader.Execute() if len(files) > 1 else sitk.ReadImage(files[0])
    except RuntimeError as error:
        raise ValueError(f"a DICOM series must be readable; {place} is not ({error}); get the series again") from error


def _require_even(place: Path, files: tuple[str, ...]) -> None:
    """Refuse slices that NIfTI cannot hold: it knows one step, and no shift from slice to slice by ITK's hand."""
    if len(files) < 2:
        return
    reader, origins = sitk.ImageFileReader(), []
    for file in files:
        reader.SetFileName(file)
        reader.ReadImageInformation()
        origins.append(reader.GetOrigin())
    normal = np.array(reader.GetDirection()).reshape(3, 3)[:, 2]
    problem = unevenness(origins, normal) or tilt(origins, normal)
    if problem:
        raise ValueError(
            f"the slices of {place} must be evenly spaced and upright, as NIfTI has them; found: {problem}; complete "
            "or resample the series, or take it out"
        )
