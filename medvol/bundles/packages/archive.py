"""A zip whose bytes depend on the names and contents in it alone, with its checksum and its line in an index."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from medvol.data.files import checksum
from medvol.writing import write_whole

from ..reading import read_json

__all__ = ["INDEX", "add_to_index", "archive_in", "bundles_in", "read_index", "write_checksum"]

INDEX = "index.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can say
_REGULAR_FILE = 0o100644
_PIECE = 1 << 20


@contextmanager
def archive_in(folder: Path, members: Mapping[str, bytes | Path]) -> Iterator[Path]:
    """Write a zip beside its place, and take it away again unless the caller has moved it there.

    Members stand sorted by name, uncompressed (two versions of zlib may compress the same bytes differently), with
    one time and one set of permissions; so equal members give equal bytes on any day and any machine.

    Args:
        folder: where the zip will stand; it must exist.
        members: content, or the file that holds it, by name inside of the zip.

    Yields:
        The finished zip, under a hidden name.

    Raises:
        OSError: the folder takes no file, or a member cannot be read.
    """
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".zip.part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for member in sorted(members):
                _add(archive, member, members[member])
        part.chmod(0o666 & ~_mask())  # a temporary file is its owner's alone; the zip is to be read by others
        yield part
    finally:
        part.unlink(missing_ok=True)


def _mask() -> int:
    mask = os.umask(0)  # there is no way to read it but to set it
    os.umask(mask)
    return mask


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr = 3, _REGULAR_FILE << 16  # 3: permissions as Unix writes them
    info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
    with archive.open(info, "w") as target:
        if isinstance(content, bytes):
            target.write(content)
            return
        with content.open("rb") as source:
            shutil.copyfileobj(source, target, _PIECE)


def write_checksum(file: Path) -> str:
    """Write ``<file>.sha256`` as ``sha256sum`` does, and return the 64 digits.

    Example:
        >>> import hashlib
        >>> path = Path(tempfile.mkdtemp()) / "a.zip"
        >>> _ = path.write_bytes(b"a")
        >>> write_checksum(path) == hashlib.sha256(b"a").hexdigest()
        True
    """
    digest = checksum(file)
    write_whole(file.with_name(f"{file.name}.sha256"), f"{digest}  {file.name}\n")
    return digest


def read_index(file: Path) -> dict[str, Any]:
    """Return the bundles of an index file by name, none where there is no file.

    Raises:
        ValueError: it is no index.
    """
    return bundles_in(read_json(file), str(file)) if file.is_file() else {}


def bundles_in(content: Any, where: str) -> dict[str, Any]:
    """Return the bundles of an index that has been read, by name.

    Args:
        content: what the JSON of the index holds.
        where: its file or address, for the message.

    Raises:
        ValueError: it is no index.

    Example:
        >>> bundles_in({"bundles": {"cpc3d": {}}}, "index.json")
        {'cpc3d': {}}
    """
    bundles = content.get("bundles") if isinstance(content, dict) else None
    if not isinstance(bundles, dict):
        found = "none" if bundles is None else f"{type(bundles).__name__} there"
        raise ValueError(
            f"the index {where} must hold an object 'bundles'; found {found}; correct or remove it, or give the "
            f"{INDEX} that 'python -m medvol pack' writes"
        )
    return bundles


def add_to_index(folder: Path, name: str, version: str, file: str, sha256: str, size: int) -> None:
    """Write a bundle's entry into the folder's ``index.json``; those of other bundles stay.

    Args:
        folder: where zip and index stand.
        name: the bundle's name.
        version: the bundle's version.
        file: the zip's name.
        sha256: its checksum.
        size: its size in bytes.

    Raises:
        ValueError: the file there is no index.
        OSError: the folder takes no file.
    """
    with _locked(folder):  # two packs at once lose no entry
        bundles = read_index(folder / INDEX)
        bundles[name] = {"version": version, "file": file, "sha256": sha256, "size": size}
        write_whole(folder / INDEX, json.dumps({"bundles": bundles}, sort_keys=True, indent=1) + "\n")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".index.lock", mode=0o666)  # whoever may write into the folder may pack into it
    try:
        with contextlib.suppress(NotImplementedError):  # a file system without locks
            lock.acquire()
        yield
    except OSError as error:
        raise OSError(
            f"{folder} must be a folder that takes files; found {error}; give another --out, or change who may write "
            "there"
        ) from error
    finally:
        lock.release()
