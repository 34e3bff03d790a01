"""Checks of one radiograph: what a picture on a plane can have wrong besides what any image can."""

from __future__ import annotations

import numpy as np

from ..reading import Header
from .finding import Problem
from .lettering import find_lettering

_FEW = 32  # gray levels
_FRAME = 0.05  # share of the side that a black frame may take without a remark


# DICOM's modalities that are pictures on a plane; several frames of CT or MR are a volume.
_PLANES = frozenset("CR DX RG RF MG XA IO PX XC OP SC".split())


def is_meant_as_radiograph(header: Header) -> bool:
    """Return whether an image lies on a plane, or is a stack of frames of a modality that takes planes.

    Example:
        >>> is_meant_as_radiograph(Header((64, 64, 9), 1, (1, 1, 1), None, "uint16", {"frames": "9", "modality": "XA"}))
        True
    """
    frames = header.tags.get("frames", "1")
    return header.is_radiograph or (frames.isdigit() and int(frames) > 1 and header.tags.get("modality") in _PLANES)


def check_radiograph(values: np.ndarray, header: Header) -> list[Problem]:
    """Return what is wrong with, or worth knowing of, a radiograph.

    Args:
        values: (rows, columns) or (rows, columns, channels), as :func:`medvol.data.reading.read_image` returns it; of
            a file with several frames, whatever shape it came in.
        header: the header that came with it.

    Example:
        >>> header = Header((64, 64), 1, (0.2, 0.2), None, "uint16", {"photometric": "MONOCHROME1"})
        >>> picture = np.arange(4096).reshape(64, 64)
        >>> [problem.kind for problem in check_radiograph(picture, header)]
        ['inverted']
    """
    if not header.is_radiograph and is_meant_as_radiograph(header):
        frames = header.tags["frames"]
        remedy = "export one frame, or take the item out"
        return [Problem("multi-frame", "error", "one frame", f"{frames} frames", remedy)]
    problems = _inverted(header)
    if not header.is_radiograph or 0 in values.shape:
        return problems
    problems += _colors(values)
    gray = values[..., :3].mean(-1) if values.ndim == 3 else values
    return problems + _levels(values, gray) + _border(gray) + _text(gray)


def _inverted(header: Header) -> list[Problem]:
    if header.tags.get("photometric", "").strip().upper() != "MONOCHROME1":
        return []
    # ITK, by which MONAI and we read, turns the values around; whoever trusts the tag turns them back.
    remedy = "do not invert it again: ITK does while it reads; look at pictures that other software made of such files"
    return [Problem("inverted", "warning", "MONOCHROME2", "MONOCHROME1: high values are stored dark", remedy)]


def _colors(values: np.ndarray) -> list[Problem]:
    if values.ndim < 3 or values.shape[2] < 3:  # two are gray and opacity
        return []
    first = values[..., 0]
    if all(np.array_equal(first, values[..., channel]) for channel in (1, 2)):
        remedy = "store one channel; the others are copies"
        return [Problem("gray-as-color", "note", "one channel", f"{values.shape[2]} channels, equal", remedy)]
    remedy = "look for colored marks or a photograph; convert to gray values"
    return [Problem("color", "warning", "one channel", f"{values.shape[2]} channels that differ", remedy)]


def _levels(values: np.ndarray, gray: np.ndarray) -> list[Problem]:
    values = values[..., 0] if values.ndim == 3 else gray
    if np.unique(values[::8, ::8]).size >= _FEW:  # a sixty-fourth of the picture tells most
        return []
    count = np.unique(values).size
    if count >= _FEW:
        return []
    remedy = "look for a mask or a thresholded copy; get the original if there is one"
    return [Problem("low-depth", "note", f"{_FEW} gray levels or more", f"{count} gray levels", remedy)]


def _border(gray: np.ndarray) -> list[Problem]:
    low, high = float(gray.min()), float(gray.max())
    step = 0.02 * (high - low)
    widths = np.maximum(_frame(gray > low + step), _frame(gray < high - step))  # a black one, a white one
    if not step or widths.max() <= _FRAME:
        return []
    found = ", ".join(f"{side} {width:.0%}" for side, width in zip(_SIDES, widths, strict=True) if width > _FRAME)
    remedy = "crop the frame away, so that the resized picture keeps its detail"
    return [Problem("border", "note", f"a black or white frame of at most {_FRAME:.0%} of a side", found, remedy)]


def _frame(content: np.ndarray) -> np.ndarray:
    """Return how far the content is from each side, top, bottom, left, right, as a share of the side's length."""
    widths = []
    for axis in (0, 1):
        lines = np.flatnonzero(content.mean(1 - axis) > 0.005)  # a letter or a speck in the frame is still a frame
        length = content.shape[axis]
        widths += [lines[0] / length, (length - 1 - lines[-1]) / length] if lines.size else [0.0, 0.0]
    return np.array(widths)


_SIDES = ("top", "bottom", "left", "right")


def _text(gray: np.ndarray) -> list[Problem]:
    lines = find_lettering(gray)
    if not lines:
        return []
    longest = max(lines, key=lambda line: line.letters)
    count = "one line" if len(lines) == 1 else f"{len(lines)} lines"
    found = f"{count} of letters; the longest has about {longest.letters}, at row {longest.top}, column "
    remedy = "make sure that it names no patient; cover it, or crop, lest it give the class away"
    return [Problem("burnt-in-text", "note", "no letters in the picture", f"{found}{longest.left}", remedy)]
