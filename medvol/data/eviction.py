"""How much the cache holds, and making room in it: the entries that were used longest ago go first."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .bound import parse_size, size_bound
from .cache import IN_USE, STARTED, cache_root, one_at_a_time
from .entries import PART

__all__ = ["Usage", "cache_usage", "clear", "make_room", "parse_size", "size_bound", "trim"]

_STALE = 3600.0  # seconds after which an unfinished file is taken for left over
_FILL = 0.9  # part of the bound that is left filled, so that not every new entry looks for the oldest again
_SHARE = 0.05  # part of the bound that a process adds before it looks what the others added
_LITTLE = 0.05, 10 * 2**30  # free part and free bytes of a disk, both, below which an unbounded cache warns
_totals: dict[Path, tuple[int, int]] = {}  # by folder: bytes when last looked plus own, and own since then
_warned: set[tuple[str, Path]] = set()


@dataclass(frozen=True)
class Usage:
    """What a part of the cache holds.

    Args:
        kind: name of the part, a sub-folder of :func:`medvol.data.cache_root`.
        entries: number of files and folders directly in it.
        bytes: size of all files in it.
        path: the folder.

    Example:
        >>> Usage("volumes", 2, 1000, Path("cache/volumes")).bytes
        1000
    """

    kind: str
    entries: int
    bytes: int
    path: Path


class _Entry(NamedTuple):
    used: float  # seconds since the epoch
    path: Path
    bytes: int


def cache_usage(root: str | os.PathLike | None = None) -> list[Usage]:
    """Return what each part of the cache holds, sorted by name; ``volumes`` are the pre-processed items.

    Args:
        root: folder of the cache; None for :func:`medvol.data.cache_root`.

    Raises:
        OSError: the folder is there and cannot be read.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "volumes").mkdir()
        >>> (root / "volumes" / "a.pt").write_bytes(b"123")
        3
        >>> [(usage.kind, usage.entries, usage.bytes) for usage in cache_usage(root)]
        [('volumes', 1, 3)]
    """
    folder = Path(root) if root is not None else cache_root()
    kinds = sorted(child for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []
    return [_usage(kind) for kind in kinds if not kind.name.startswith(".")]


def trim(limit: int, root: str | os.PathLike | None = None, idle: float = IN_USE) -> Usage:
    """Remove entries, least recently used first, until the whole cache is not larger than the limit.

    Entries are the files that lie directly in a part of the cache. A data set in a folder of its own, as the phantom,
    counts but stays, since its files are needed together: see :func:`clear`. A running program is safe: what it has
    mapped stays readable until it lets go, and what it does not find it makes again. Unfinished files older than an
    hour, left by killed programs, go in any case.

    Args:
        limit: bytes, 0 or more.
        root: folder of the cache; None for :func:`medvol.data.cache_root`.
        idle: seconds; entries used within them stay.

    Returns:
        What was removed, as the part ``freed``.

    Raises:
        ValueError: a negative limit.
        OSError: an entry cannot be removed.

    Example:
        >>> import tempfile
        >>> trim(0, tempfile.mkdtemp()).bytes
        0
    """
    if limit < 0:
        raise ValueError(f"limit must be 0 bytes or more; found {limit}; use 0 to remove all that is not in use")
    folder = Path(root) if root is not None else cache_root()
    kinds = [usage.path for usage in cache_usage(folder)]
    gone = [entry for kind in kinds for entry in _remove(_stale(kind))]
    excess = sum(usage.bytes for usage in cache_usage(folder)) - limit
    latest = time.time() - idle
    loose = [entry for kind in kinds if not (kind / "manifest.json").is_file() for entry in _entries(kind)]
    for entry in sorted(loose):
        if excess <= 0 or entry.used > latest:
            break
        gone += _remove([entry])
        excess -= entry.bytes
    return Usage("freed", len(gone), sum(entry.bytes for entry in gone), folder)


def clear(kind: str | None = None, root: str | os.PathLike | None = None) -> Usage:
    """Remove a whole part of the cache, or all of it, in use or not.

    Args:
        kind: a name as in :func:`cache_usage`, or its beginning up to a hyphen (``phantom``); None for all parts.
        root: folder of the cache; None for :func:`medvol.data.cache_root`.

    Returns:
        What was removed, as the part ``freed``.

    Raises:
        ValueError: there is no such part.
        OSError: a file cannot be removed.

    Example:
        >>> import tempfile
        >>> clear(root=tempfile.mkdtemp()).entries
        0
    """
    folder = Path(root) if root is not None else cache_root()
    parts = cache_usage(folder)
    chosen = [part for part in parts if kind is None or part.kind == kind or part.kind.startswith(f"{kind}-")]
    if kind is not None and not chosen:
        names = ", ".join(part.kind for part in parts) or "nothing"
        raise ValueError(f"kind must be a part of the cache {folder}; found {kind!r}, there is {names}; choose another")
    for part in chosen:
        shutil.rmtree(part.path)
        _totals.pop(part.path, None)
    return Usage("freed", sum(part.entries for part in chosen), sum(part.bytes for part in chosen), folder)


def make_room(file: Path, size: int) -> None:
    """Note a new entry, and remove the least recently used ones where the folder has outgrown its bound.

    The sum is kept per process and taken anew, under a lock, when it passes the bound or the process has added 5 % of
    it; several processes may therefore exceed the bound for a moment by 5 % each.

    Args:
        file: the entry, which stays.
        size: its bytes.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.pt"
        >>> make_room(file, file.write_bytes(b"123"))
        >>> file.exists()
        True
    """
    folder, bound = file.parent, size_bound()
    if bound is None:
        _warn_of_a_full_disk(folder)
        return
    total, own = _totals.get(folder, (bound, 0))  # nothing known yet: look
    _totals[folder] = total + size, own + size
    if total + size > bound or own + size > _SHARE * bound:
        with one_at_a_time(folder, "eviction"):
            _totals[folder] = _shrink(folder, bound, file), 0


def _shrink(folder: Path, bound: int, keep: Path) -> int:
    """Remove old entries where the folder holds more than the bound; return the bytes that stay."""
    _remove(_stale(folder))
    entries = sorted(_entries(folder))
    total = sum(entry.bytes for entry in entries)
    if total <= bound:
        return total
    of_this_run = sum(entry.bytes for entry in entries if entry.used >= STARTED)
    for entry in entries:
        # What this run uses goes only when it must: above the bound itself.
        if total <= (bound if entry.used >= STARTED else _FILL * bound):
            break
        if entry.path == keep:
            continue
        if entry.used >= STARTED:
            _warn_once(
                "small",
                folder,
                f"the cache should hold what a run uses; found entries of {of_this_run / 1e9:.3g} GB used since this "
                f"run began, and the bound MEDVOL_CACHE_SIZE is {bound / 1e9:.3g} GB; entries are removed and made "
                "again, which is correct but slow: raise the bound",
            )
        _remove([entry])
        total -= entry.bytes
    return total


def _warn_of_a_full_disk(folder: Path) -> None:
    disk = shutil.disk_usage(folder)
    if disk.free < min(_LITTLE[0] * disk.total, _LITTLE[1]):
        _warn_once(
            "full",
            folder,
            f"the cache has no bound; found {disk.free / 1e9:.2g} of {disk.total / 1e9:.3g} GB free on the disk of "
            f"{folder}; set the environment variable MEDVOL_CACHE_SIZE, for instance to 50GB, or choose another "
            "folder with MEDVOL_CACHE",
        )


def _warn_once(kind: str, folder: Path, message: str) -> None:
    if (kind, folder) not in _warned:
        _warned.add((kind, folder))
        warnings.warn(message, stacklevel=2)


def _usage(kind: Path) -> Usage:
    total = 0
    for place, _, names in os.walk(kind):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                total += (Path(place) / name).stat().st_size
    return Usage(kind.name, sum(not child.name.startswith(".") for child in kind.iterdir()), total, kind)


def _entries(folder: Path) -> Iterable[_Entry]:
    """Return the finished files directly in a folder; the time of change is that of the last use."""
    return [entry for entry in _files(folder) if not entry.path.name.startswith(".")]


def _stale(folder: Path) -> Iterable[_Entry]:
    """Return unfinished files that nobody can be writing any more."""
    latest = time.time() - _STALE
    return [entry for entry in _files(folder) if entry.path.name.startswith(PART) and entry.used < latest]


def _files(folder: Path) -> Iterable[_Entry]:
    found = []
    with os.scandir(folder) as children:
        for child in children:
            with contextlib.suppress(FileNotFoundError):
                if child.is_file(follow_symlinks=False):
                    state = child.stat()
                    found.append(_Entry(state.st_mtime, Path(child.path), state.st_size))
    return found


def _remove(entries: Iterable[_Entry]) -> list[_Entry]:
    """Remove files; safe while another process has one mapped, since its pages live until it unmaps them."""
    gone = []
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            entry.path.unlink()
            gone.append(entry)
    return gone
