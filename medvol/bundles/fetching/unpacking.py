"""Unpack a packed bundle: everything in the zip is looked at before the first byte is written."""

from __future__ import annotations

import errno
import stat
import struct
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from ..packages.contents import RESERVED, is_bundle_name

_FOLDERS = ("configs", "docs", "models")
_CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat")
_PIECE = 1 << 18
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError,
    OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How much a package may hold.

    Attributes:
        files: entries.
        size: bytes of all files after unpacking.
    """

    files: int = 1000
    size: int = 1 << 33


def unpack(package: Path, folder: Path, limits: Limits | None = None) -> Path:
    """Unpack the bundle in a zip into a folder; the bundle's own folder is made there.

    Refused are: anything but one top folder with a bundle's name, or in it anything but ``configs``, ``docs``,
    ``models`` and single files; absolute paths, ``..``, backslashes, drives and names that some system cannot hold;
    links and devices; two entries of one name, upper and lower case alike; programs; encrypted or unusually compressed
    entries; more entries or bytes than the limits; a checksum that does not fit.

    Args:
        package: the zip.
        folder: where the bundle's folder is made; the caller removes it when an error is raised.
        limits: how much is unpacked.

    Returns:
        The bundle's folder.

    Raises:
        ValueError: the file is no zip, is damaged, or holds what is refused.
        OSError: the disk is full, or the folder takes no file.
    """
    limits = limits or Limits()
    try:
        with ZipFile(package) as archive:
            name = _check(archive.infolist(), package.name, limits)
            for entry in archive.infolist():
                _extract(archive, entry, folder, package.name)
    except OSError as error:
        if error.errno != errno.EINVAL:  # which a damaged offset leads to; the others are the disk's own
            raise
        raise _damaged(package, error) from error
    except _DAMAGE as error:
        raise _damaged(package, error) from error
    return folder / name


def _check(entries: list[ZipInfo], package: str, limits: Limits) -> str:
    """Refuse what must not be unpacked; return the name of the top folder."""
    if len(entries) > limits.files:
        _refuse(package, f"at most {limits.files} entries", str(len(entries)))
    size = sum(entry.file_size for entry in entries)
    if size > limits.size:
        _refuse(package, f"at most {limits.size} bytes after unpacking", str(size))
    for entry in entries:
        _check_entry(entry, package)
    _check_twins([entry.filename for entry in entries], package)
    tops = sorted({entry.filename.split("/")[0] for entry in entries})
    files = [entry.filename for entry in entries if not entry.is_dir()]
    if len(tops) != 1 or not files or not all("/" in file for file in files):
        _refuse(package, "one folder, named like the bundle, with everything in it", ", ".join(tops[:5]) or "nothing")
    if not is_bundle_name(tops[0]):
        _refuse(package, "a folder named like a bundle, of letters, digits, _ and -", repr(tops[0]))
    return tops[0]


def _check_entry(entry: ZipInfo, package: str) -> None:
    name = entry.orig_filename  # what zipfile shows has been cut at a null byte
    parts = name.removesuffix("/").split("/")
    if name != entry.filename or not all(map(_is_plain, parts)) or len(name) > 200:
        _refuse(package, "plain relative names of files", repr(name[:200]))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        _refuse(package, "files and folders only", f"a link or a device, {name}")
    if entry.flag_bits & 0x41:
        _refuse(package, "files that are not encrypted", name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        _refuse(package, "files that are stored or deflated", f"another compression of {name}")
    foreign = len(parts) > 2 and parts[1] not in _FOLDERS
    if foreign or name.lower().endswith(_CODE) or (entry.is_dir() and len(parts) == 2 and parts[1] not in _FOLDERS):
        _refuse(package, f"the folders {', '.join(_FOLDERS)}, single files, and no programs", name)


def _is_plain(part: str) -> bool:
    """Whether every system takes this for the name of one visible file in the folder it stands in."""
    characters = part.isprintable() and not set(part) & set('\\:*?"<>|')
    shape = bool(part) and part[0] != "." and part[-1] not in ". "
    return characters and shape and part.partition(".")[0].lower() not in RESERVED


def _check_twins(names: list[str], package: str) -> None:
    """Refuse two entries that are one file on some system, and a file where others have a folder."""
    plain = [unicodedata.normalize("NFC", name.removesuffix("/")).casefold() for name in names]
    folders = {str(parent) for name in plain for parent in PurePosixPath(name).parents}
    seen: set[str] = set()
    for name, found in zip(names, plain, strict=True):
        if found in seen or (found in folders and not name.endswith("/")):
            _refuse(package, "every name once, upper and lower case alike", name)
        seen.add(found)


def _extract(archive: ZipFile, entry: ZipInfo, folder: Path, package: str) -> None:
    target = folder / entry.filename
    if entry.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(entry) as stream, target.open("xb") as file:
        while piece := stream.read(_PIECE):  # the checksum is compared at its end
            written += len(piece)
            if written > entry.file_size:
                _refuse(package, f"{entry.file_size} bytes in {entry.filename}, as it says", "more")
            file.write(piece)
    if written != entry.file_size:
        _refuse(package, f"{entry.file_size} bytes in {entry.filename}, as it says", str(written))


def _damaged(package: Path, error: Exception) -> ValueError:
    return ValueError(f"{package.name} must be a whole zip; found {error or type(error).__name__}; fetch it again")


def _refuse(package: str, expected: str, found: str) -> None:
    raise ValueError(
        f"the package {package} must hold {expected}; found {found}; nothing was unpacked: ask its publisher for a zip "
        "that 'python -m medvol pack' wrote"
    )
