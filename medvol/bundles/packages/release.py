"""The only way in which the released weights of a bundle change: weights and passport together, or neither."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["release_files"]


def release_files(folder: Path, files: Mapping[str, bytes | Path]) -> None:
    """Put files in the place of others in a bundle, all or none.

    Everything is written beside its place first. Then the passport is taken away before the weights change, and comes
    back last: whoever looks in between, or after a loss of power, finds weights without a passport, never those of
    one run with the passport of another.

    Args:
        folder: the bundle's folder.
        files: content, or the file that holds it, by path below the folder; the last one vouches for the others.

    Raises:
        OSError: a file cannot be written; what was there before is there again.
    """
    parts: dict[Path, Path] = {}
    kept: dict[Path, Path] = {}
    try:
        for name, content in files.items():
            parts[folder / name] = _beside(folder / name, content)
        for target in reversed(list(parts)):
            if target.exists():
                kept[target] = target.replace(target.with_name(f".{target.name}.{os.getpid()}.before"))
        for target, part in parts.items():
            part.replace(target)
    except BaseException:
        for target, part in parts.items():
            if target in kept:
                kept.pop(target).replace(target)
            elif not part.exists():  # it has taken a place where nothing was
                target.unlink(missing_ok=True)
        raise
    finally:
        for leftover in (*parts.values(), *kept.values()):
            leftover.unlink(missing_ok=True)


def _beside(target: Path, content: bytes | Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if isinstance(content, bytes):
                stream.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, stream)
        part.chmod(0o644)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part
