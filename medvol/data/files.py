"""What stands behind a path of a manifest: one file, or a folder with the slices of one DICOM series."""

from __future__ import annotations

import hashlib
from pathlib import Path

SUFFIXES = (
    ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img.gz", ".img",
    ".dcm", ".dicom", ".png", ".jpeg", ".jpg", ".tiff", ".tif", ".bmp",
)  # fmt: skip
_PIECE = 1 << 20  # bytes that a checksum holds at once


def stem(path: str | Path) -> str:
    """Return a file's name without its image suffix.

    Example:
        >>> stem("images/brain_7.nii.gz"), stem("slices/series.3"), stem("chest.PNG")
        ('brain_7', 'series.3', 'chest')
    """
    name = Path(path).name
    found = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(found)] if len(found) < len(name) else name


def is_there(path: Path) -> bool:
    """Return whether the path is a file, or a folder with at least one file in it."""
    return path.is_file() or bool(members(path))


def members(path: Path) -> list[Path]:
    """Return the file itself, or the files of a folder, sorted by name, hidden ones left out; none if nothing is there.

    Example:
        >>> members(Path("no such place"))
        []
    """
    if path.is_file():
        return [path]
    return sorted(f for f in path.iterdir() if f.is_file() and f.name[0] != ".") if path.is_dir() else []


def size_and_time(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the time of the last change in nanoseconds; of a folder, the sum and the latest.

    Raises:
        FileNotFoundError: nothing is there.
    """
    found = members(path)
    states = [file.stat() for file in found] if found else [path.stat()]
    return sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file in 64 hexadecimal digits, or of the names and checksums of a folder's files.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: a file is not readable.
    """
    if path.is_dir():
        lines = "".join(f"{checksum(file)}  {file.name}\n" for file in members(path))
        return hashlib.sha256(lines.encode()).hexdigest()
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
