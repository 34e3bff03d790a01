"""Put several files in the place of others: all of them, or none."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["replace_together"]


def replace_together(files: Mapping[Path, bytes | Path], remove: Iterable[Path] = ()) -> None:
    """Write files, and remove others, so that after any failure everything is as it was before.

    Everything is written beside its place first. The last file vouches for the others, as a passport does for weights:
    it is taken away before any of them changes and comes back last, so that nobody, after a kill either, finds it
    beside others than its own. Each of the others is the old one or the new one at any time.

    Args:
        files: content, or the file to copy it from, by the place where it belongs; folders are made.
        remove: files that shall be gone; those that are not there are none.

    Raises:
        OSError: a file cannot be written, read or removed; what was there before is there again.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> replace_together({folder / "a" / "one.txt": b"1", folder / "two.txt": b"2"})
        >>> replace_together({folder / "two.txt": b"3"}, remove=[folder / "a" / "one.txt"])
        >>> (folder / "a" / "one.txt").exists(), (folder / "two.txt").read_bytes()
        (False, b'3')
    """
    removed, made = list(remove), list[Path]()
    parts, kept = dict[Path, Path](), dict[Path, Path]()
    try:
        for target, content in files.items():
            _make_folder(target.parent, made)
            parts[target] = _write(target, content)
        for target in (*files, *removed):
            if os.path.lexists(target):
                kept[target] = _keep(target)
        for target in (*list(files)[-1:], *removed):
            target.unlink(missing_ok=True)
        for target, part in parts.items():
            part.replace(target)
    except BaseException as error:
        _put_back(parts, kept, error)
        raise
    finally:
        for leftover in (*parts.values(), *kept.values()):
            with contextlib.suppress(OSError):  # a hidden file too many; what was to be done is done, or undone
                leftover.unlink(missing_ok=True)
        for folder in reversed(made):
            if not any(folder.iterdir()):
                folder.rmdir()


def _make_folder(folder: Path, made: list[Path]) -> None:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir()
        made.append(path)


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.{suffix}")


def _write(target: Path, content: bytes | Path) -> Path:
    part = _beside(target, "part")
    try:
        with part.open("xb") as stream:  # with the rights that a new file has here, unlike a temporary one
            if isinstance(content, bytes):
                stream.write(content)
            else:
                with content.open("rb") as source:
                    shutil.copyfileobj(source, stream)
        if target.is_file() and not target.is_symlink():
            part.chmod(target.stat().st_mode)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def _keep(target: Path) -> Path:
    """A second name of a file, or a copy where the file system has no second names."""
    kept = _beside(target, "before")
    try:
        os.link(target, kept, follow_symlinks=False)
    except (OSError, NotImplementedError):
        try:
            shutil.copy2(target, kept, follow_symlinks=False)
        except BaseException:
            kept.unlink(missing_ok=True)
            raise
    return kept


def _put_back(parts: Mapping[Path, Path], kept: dict[Path, Path], error: BaseException) -> None:
    lost = []
    for target in {**parts, **kept}:
        try:
            if target in kept:
                kept[target].replace(target)
            elif not os.path.lexists(parts[target]):  # it has taken a place where nothing was
                target.unlink(missing_ok=True)
        except OSError:
            lost.append(str(kept.pop(target, target)))
    if lost:
        raise OSError(
            f"files that stood here before must come back after {error!r}; found that they cannot; take them from "
            f"{', '.join(lost)}"
        ) from error
