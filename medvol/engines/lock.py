"""A lock on a run folder: two processes never write the same run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows has no record locks of this kind; there, nothing refuses a second writer
    fcntl = None  # type: ignore[assignment]


class RunLock:
    """Locks a folder for this process until :meth:`release`, or until the process ends in whatever way.

    It is a POSIX record lock: the system drops it with the process, so a killed run leaves nothing stale behind, and
    forked loader workers, which may live some seconds longer, do not hold it.

    Args:
        folder: the run folder; must exist.

    Example:
        >>> import tempfile
        >>> lock = RunLock(tempfile.mkdtemp())
        >>> lock.acquire(); lock.release()
    """

    _held: set[Path] = set()  # noqa: RUF012 - record locks do not hold between two parts of one process, this does

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder).resolve() / ".lock"
        self._file: TextIO | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            RuntimeError: when another process, or another training in this one, writes the run.
        """
        if self.path in self._held:
            self._refuse("this very process")
        # Opened only after that check: closing any file handle on it would drop this process's lock.
        file = self.path.open("a+", encoding="utf-8")
        try:
            if fcntl is not None:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            self._refuse(f"process {owner}")
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file
        self._held.add(self.path)

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._held.discard(self.path)

    def _refuse(self, owner: str) -> None:
        raise RuntimeError(
            f"expected to be the only one to write {self.path.parent}, found that {owner} is training there; "
            "wait for it, end it, or choose another --run_name"
        )
