"""What must hold of the folders that a bundle writes to, and of the links in its own."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from medvol.data.cache import cache_root
from medvol.networks import find_weights

from ..opening import OpenBundle
from ..refusal import Problem, innermost
from .trying import on_the_side, side_parser

LEAST_FREE = 64 * 10**6
"""Bytes that must be free where a run writes; :mod:`medvol.bundles.checks.estimate` knows more."""

_FOLDERS = {"output_dir": "the runs", "results_dir": "the results", "cache_dir": "the cache"}


def places_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The folders for runs, results and the cache can be written to, and their disks have some room."""
    for key, what in _FOLDERS.items():
        if key not in opened.config or (key == "cache_dir" and opened.config.get("shards") is not None):
            continue
        remedy = f"give another one by --{key}"
        try:
            with on_the_side():
                given = side_parser(opened.config).get_parsed_content(key)
        except Exception as error:
            if key != "results_dir" or _has_weights(opened):  # they lie beside the weights, which have their own rule
                yield Problem(f"a folder for {what} under '{key}'", innermost(error), remedy)
            continue
        if key == "cache_dir":
            given = cache_root() / "volumes" if given is None else given
            remedy += ", or by the environment variable MEDVOL_CACHE"
        if given is not None:
            yield from _folder_problems(Path(str(given)).absolute(), what, remedy)


def links_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The files in ``configs/`` are links or real files, not the texts that a system without links makes of links."""
    texts = []
    for file in sorted((opened.folder / "configs").glob("*")):
        if file.is_symlink():
            if not file.exists():
                expected = f"a file behind the link configs/{file.name}"
                yield Problem(expected, f"nothing at {file.readlink()}", "copy the bundle whole, with its links")
            continue
        if not file.is_file() or file.stat().st_size > 200:
            continue
        text = file.read_text(encoding="utf-8", errors="replace").strip()
        if re.fullmatch(r"\.\./[\w.-]+", text):
            texts.append(file.name)
    if texts:
        yield Problem(
            f"links to the files above in configs/: {', '.join(texts)}",
            "files that hold a link's text: the copy was made without symbolic links",
            f"use {opened.folder.name}/{texts[-1]} and the like, which are whole; or clone again after 'git config "
            "--global core.symlinks true'",
            "warning",
        )


def room_problems(folder: Path, needed: int, what: str, remedy: str) -> Iterator[Problem]:
    """Yield a problem if the disk of a folder, which need not exist yet, has less room than needed.

    Args:
        folder: where files will be written.
        needed: bytes.
        what: what will be written.
        remedy: where else it could go.

    Example:
        >>> list(room_problems(Path("."), 0, "nothing", "nowhere"))
        []
    """
    free = shutil.disk_usage(_existing(folder)).free
    if free < needed:
        expected = f"{needed / 1e6:.0f} MB free for {what} on the disk of {folder}"
        yield Problem(expected, f"{free / 1e6:.0f} MB", f"free some room, or {remedy}")


def _folder_problems(folder: Path, what: str, remedy: str) -> Iterator[Problem]:
    existing = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=existing):  # the rights alone do not tell: a disk may be mounted read-only
            pass
    except OSError as error:
        yield Problem(f"a folder for {what} that can be written to, {folder}", str(error), remedy)
        return
    yield from room_problems(folder, LEAST_FREE, what, remedy)


def _has_weights(opened: OpenBundle) -> bool:
    try:
        return find_weights(opened.config.get("weights")) is not None
    except (OSError, ValueError, TypeError):
        return False


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that there is; a file in the way is returned, too."""
    for path in (folder, *folder.parents):
        with contextlib.suppress(OSError):  # a folder above it that may not be looked into
            if path.exists():
                return path
    return Path(folder.anchor)
