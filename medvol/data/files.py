"""What stands behind a path of a manifest: a file, with the file of its voxels, or a folder with one DICOM series."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

SUFFIXES = (
    ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img.gz", ".img",
    ".dcm", ".dicom", ".png", ".jpeg", ".jpg", ".tiff", ".tif", ".bmp",
)  # fmt: skip
# Headers that name the file with their voxels, by the line that does.
_DETACHED = {".mhd": r"ElementDataFile\s*=\s*(\S.*?)\s*$", ".nhdr": r"data ?file:\s*(\S.*?)\s*$"}
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
    return path.is_file() or (path.is_dir() and any(_is_visible_file(file) for file in path.iterdir()))


def members(path: Path) -> list[Path]:
    """Return every file behind a path: itself and the file of its voxels, or a folder's files, hidden ones left out.

    Returns:
        Sorted by name, the file itself first; empty if nothing is there.

    Example:
        >>> members(Path("no such place"))
        []
    """
    if path.is_file():
        return [path, *(file for file in _voxel_files(path) if file.is_file())]
    return sorted(filter(_is_visible_file, path.iterdir())) if path.is_dir() else []


def size_and_time(path: Path) -> tuple[int, int]:
    """Return the size in bytes and the time of the last change in nanoseconds; of several files, sum and latest.

    Raises:
        FileNotFoundError: nothing is there.
    """
    states = [file.stat() for file in _present(path)]
    return sum(state.st_size for state in states), max(state.st_mtime_ns for state in states)


def state(path: Path) -> str:
    """Return what changes when a file is written: size and time of change; of several files, a hash of all of them.

    Raises:
        FileNotFoundError: nothing is there.
    """
    states = [(file.name, file.stat()) for file in _present(path)]
    texts = [f"{found.st_size}|{found.st_mtime_ns}" for _, found in states]
    if len(texts) == 1:
        return texts[0]
    lines = "".join(f"{text}  {name}\n" for (name, _), text in zip(states, texts, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and checksums of several files, in 64 hexadecimal digits.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: a file is not readable.
    """
    found = _present(path)
    if path.is_file() and len(found) == 1:
        return _digest(path)
    lines = "".join(f"{_digest(file)}  {file.name}\n" for file in found)
    return hashlib.sha256(lines.encode()).hexdigest()


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _present(path: Path) -> list[Path]:
    found = members(path)
    if not found:
        raise FileNotFoundError(f"an image is a file or a folder of DICOM slices; nothing is at {path}; get the data")
    return found


def _is_visible_file(file: Path) -> bool:
    return file.name[0] != "." and file.is_file()


def _voxel_files(path: Path) -> list[Path]:
    suffix = path.suffix.lower()
    if suffix == ".hdr":
        return [path.with_suffix(".img"), path.with_suffix(".img.gz")]
    if suffix == ".img" or path.name.lower().endswith(".img.gz"):
        return [path.parent / f"{stem(path)}.hdr"]
    if suffix not in _DETACHED:
        return []
    with path.open("rb") as stream:
        head = stream.read(_PIECE).decode("latin-1")
    found = re.search(_DETACHED[suffix], head, re.MULTILINE | re.IGNORECASE)
    return [path.parent / found[1]] if found else []
