"""One DICOM series in a folder: which files are its slices, in which order, and whether one is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 (its documented short name)

_SUFFIXES = (".dcm", ".dicom", ".ima")
_JITTER = 0.01  # of the median distance: positions are stored in few digits

_UPRIGHT = 0.5  # degrees


def series_files(folder: Path) -> list[str]:
    """Return the slices of the one DICOM series in a folder, in the order of their positions.

    Series are told apart as MONAI does it: by identifier, and by size, orientation and thickness of the slices.

    Raises:
        ValueError: no series or several, or a DICOM file that does not read.
    """
    series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder), True)
    if len(series) != 1:
        raise ValueError(
            f"a folder must hold the slices of one DICOM series (one identifier, one size, one orientation); {folder} "
            f"holds {len(series)}; " + ("give each a folder of its own" if series else "name the image files instead")
        )
    files = list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series[0], True))
    slices = {Path(file).name for file in files}
    # GDCM leaves a damaged slice out without a word, and the volume would be one slice shorter.
    damaged = sorted(file.name for file in folder.iterdir() if file.name not in slices and _is_dicom(file))
    if damaged:
        raise ValueError(
            f"every DICOM file of a series must be readable; in {folder} {len(damaged)} are not: "
            f"{', '.join(damaged[:3])}; get them again"
        )
    return files


def unevenness(origins: Sequence[Sequence[float]], normal: np.ndarray) -> str:
    """Return in words how the distances between neighboring slices differ, or nothing if they are equal.

    Args:
        origins: position of each slice, in order, three millimeters each.
        normal: unit vector across the slices.

    Example:
        >>> unevenness([(0, 0, 0), (0, 0, 3), (0, 0, 9)], np.array([0, 0, 1]))
        'slices lie 3 to 6 mm apart'
        >>> unevenness([(0, 0, 0), (0, 0, 3), (0, 0, 6)], np.array([0, 0, 1]))
        ''
    """
    steps = np.abs(np.diff(np.asarray(origins, float) @ normal))
    if len(steps) == 0 or (steps.min() > 0 and np.ptp(steps) <= _JITTER * np.median(steps)):
        return ""
    return f"slices lie {steps.min():.4g} to {steps.max():.4g} mm apart"


def tilt(origins: Sequence[Sequence[float]], normal: np.ndarray) -> str:
    """Return in words by how much a series leans (a tilted CT gantry), or nothing if it stands upright.

    Args:
        origins: position of each slice, in order, three millimeters each.
        normal: unit vector across the slices.

    Example:
        >>> tilt([(0, 0, 0), (0, 3, 3)], np.array([0, 0, 1]))
        'slices are shifted, as by a gantry tilted by 45 degrees'
    """
    way = np.subtract(origins[-1], origins[0])
    along = abs(float(way @ normal))
    degrees = float(np.degrees(np.arctan2(np.sqrt(max(float(way @ way) - along**2, 0.0)), along)))
    return f"slices are shifted, as by a gantry tilted by {degrees:.3g} degrees" if degrees > _UPRIGHT else ""


def _is_dicom(file: Path) -> bool:
    if not file.is_file() or file.name[0] == "." or file.name.upper() == "DICOMDIR":
        return False
    if file.suffix.lower() in _SUFFIXES:
        return True
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"
