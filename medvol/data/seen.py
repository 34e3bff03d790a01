"""Files with a stated checksum, as they were first seen: a change is noticed without reading all of them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from .cache import cache_root
from .files import checksum, state

_known: dict[tuple[str, str], str] = {}


def require_unchanged(path: Path, expected: str) -> None:
    """Refuse a file that has changed since it was first seen with this checksum, unless its bytes are still the same.

    The state at first sight (size and time of change) is kept in the cache's ``seen.sqlite``. A file is read only when
    its state is another one. That it was right at first sight is what ``manifest verify`` is for.

    Args:
        path: a file, or a folder of slices.
        expected: its stated SHA-256.

    Raises:
        ValueError: the bytes are others.
        FileNotFoundError: nothing is there.
    """
    now, key = state(path), (str(path), expected)
    before = _known.get(key) or _recall(key)
    if before not in (None, now) and (found := checksum(path)) != expected:
        raise ValueError(
            f"the manifest states SHA-256 {expected} for {path}, which has changed since; found {found}; get the file "
            "again, or take the checksum out and run 'python -m medvol manifest verify <manifest> --write'"
        )
    if before != now:
        _remember(key, now)
    _known[key] = now


def _recall(key: tuple[str, str]) -> str | None:
    with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(_database()) as database:
        row = database.execute("SELECT state FROM seen WHERE path = ? AND sha256 = ?", key).fetchone()
        return row[0] if row else None
    return None


def _remember(key: tuple[str, str], now: str) -> None:
    # Without a folder to write to, nothing is remembered, and nothing else is lost.
    with contextlib.suppress(sqlite3.Error, OSError), contextlib.closing(_database()) as database, database:
        database.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (*key, now))


def _database() -> sqlite3.Connection:
    cache_root().mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(cache_root() / "seen.sqlite", timeout=30)
    database.execute("CREATE TABLE IF NOT EXISTS seen (path TEXT, sha256 TEXT, state TEXT, PRIMARY KEY (path, sha256))")
    return database
