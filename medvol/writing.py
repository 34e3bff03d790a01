"""Write a file at once: whoever reads it finds the old content or the new, after a kill, too."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike[str], content: str | bytes, durable: bool = False) -> Path:
    """Write a file at once, text in UTF-8, so that no reader meets half of it and two writers do not mix.

    It is written beside its place, as ``.<name>.<random>.part``, and renamed; a rename across file systems would be a
    copy. A file that exists keeps its rights.

    Args:
        path: the file; its folder must exist.
        content: all of it.
        durable: wait until the disk has it, so that a power cut does not leave an empty file either.

    Returns:
        The file.

    Raises:
        OSError: the folder takes no file, or the disk is full; nothing is left beside.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_whole(Path(folder) / "a.txt", "all").read_text(encoding="utf-8")
        'all'
    """
    path = Path(path)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        part.chmod(path.stat().st_mode if path.exists() else 0o666 & ~_MASK)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def _mask() -> int:
    mask = os.umask(0)  # there is no way to read it but to set it
    os.umask(mask)
    return mask


_MASK = _mask()  # once, while the module loads: to set it is not safe beside threads that write
