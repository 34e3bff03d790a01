"""Fetch a packed bundle: downloaded, checked, unpacked aside and put into its place, or nothing at all."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from medvol.data.files import checksum
from medvol.writing import write_whole

from ..packages.contents import Contents, check_contents
from .addresses import Patience
from .download import download, remove_part, wrong_checksum
from .placing import RECORD, Plan, is_current, place
from .sources import Source, find_source
from .unpacking import Limits, unpack

WORKSHOP = ".fetch"
"""The hidden folder beside the bundles where downloads lie and zips are unpacked."""

_OLD = 14 * 24 * 3600  # seconds after which a download that nobody went on with is removed
_FULL = {errno.ENOSPC, errno.EDQUOT}


def fetch(
    source: str | Path, into: str | Path = "bundles", index: str | Path | None = None, sha256: str | None = None,
    *, limits: Limits | None = None, patience: Patience | None = None, say: Callable[[str], None] | None = None,
) -> Path:  # fmt: skip
    """Bring a packed bundle into a folder of bundles; see ``docs/fetch.md`` for what is checked and replaced.

    Args:
        source: name of a bundle in the index, address of a zip (https, http, file), or a zip file.
        into: folder that holds the bundle's folder; it is made if need be.
        index: address or file of an index; None for the environment variable ``MEDVOL_INDEX``.
        sha256: checksum of the zip; None for that of the index, or of ``<source>.sha256``.
        limits: how much a package may hold.
        patience: waiting times and tries.
        say: called with sentences on what happens; None for silence.

    Returns:
        The bundle's folder.

    Raises:
        FileNotFoundError: no such name, file or address.
        ValueError: no checksum is known or it does not agree, the package is damaged or holds what it must not, or a
            file that the user has changed is in the way.
        OSError: no connection, a full disk, or a folder that takes no file. In every case the bundle's folder is as it
            was; a download that can be gone on with is kept.

    Example:
        >>> try:
        ...     fetch("cpc3d.zip")
        ... except FileNotFoundError as error:
        ...     print(error)
        a bundle's name, an address or a zip file is expected; found nothing at 'cpc3d.zip'; correct it
    """
    into, say = Path(into), say or (lambda _: None)
    wanted = find_source(source, index, sha256, patience)
    with _sentences(into), _workshop(into, say) as workshop:
        for record in sorted(into.glob(f"*/{RECORD}")):
            if is_current(record.parent, wanted.sha256):
                say(f"{record.parent} is that very package already; nothing to do")
                return record.parent
        package = _package(wanted, workshop, limits or Limits(), patience)
        target = _install(package, wanted, into, workshop, limits, say)
        _forget(package, workshop)
    return target


def _package(wanted: Source, workshop: Path, limits: Limits, patience: Patience | None) -> Path:
    if isinstance(wanted.place, str):
        return download(wanted.place, workshop, wanted.sha256, limits.size, patience)
    if not wanted.place.is_file():
        raise FileNotFoundError(f"a package is expected at {wanted.place}; found none; correct the index")
    if (found := checksum(wanted.place)) != wanted.sha256:
        raise ValueError(wrong_checksum(str(wanted.place), wanted.sha256, found))
    return wanted.place


def _install(
    package: Path, wanted: Source, into: Path, workshop: Path, limits: Limits | None, say: Callable[[str], None]
) -> Path:
    with tempfile.TemporaryDirectory(dir=workshop, prefix="unpack-") as folder:
        try:
            unpacked = unpack(package, Path(folder), limits)
            contents = check_contents(unpacked)
            _compare(contents, wanted)
        except ValueError:  # the package itself is refused: another try would load the same
            _forget(package, workshop)
            raise
        target = into / contents.name
        plan = place(unpacked, target, wanted.sha256, contents.version)
    _report(plan, target, contents.version, say)
    return target


def _compare(contents: Contents, wanted: Source) -> None:
    pairs = (("bundle", wanted.name, contents.name), ("version", wanted.version, contents.version))
    for what, expected, found in pairs:
        if expected not in (None, found):
            raise ValueError(
                f"the package must hold the {what} that the index names, {expected}; found {found}; ask the publisher "
                "of the index"
            )


def _report(plan: Plan, target: Path, version: str, say: Callable[[str], None]) -> None:
    if plan.kept:
        say(f"kept as they are, since they were changed here: {', '.join(plan.kept)}")
    if not plan.put and not plan.removed:
        say(f"{target} has version {version} with these weights already; nothing to do")
    else:
        removed = f", {len(plan.removed)} removed" if plan.removed else ""
        say(f"{target} is now version {version}: {len(plan.put)} files put in place{removed}")


def _forget(package: Path, workshop: Path) -> None:
    if package.parent == workshop:
        remove_part(package)


@contextlib.contextmanager
def _workshop(into: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """The hidden folder, for one fetch at a time, without what killed ones have left of unpacked files."""
    folder = into / WORKSHOP
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").is_file():
        write_whole(folder / ".gitignore", "*\n")  # inside of a clone, git shall not see it
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting for another fetch into {into}")
        lock.acquire()
    except NotImplementedError:  # a file system without locks: whoever comes last redoes what is there
        pass
    try:
        for left in folder.glob("unpack-*"):
            shutil.rmtree(left)
        for part in folder.glob("*.part"):
            if time.time() - part.stat().st_mtime > _OLD:
                remove_part(part)
        yield folder
    finally:
        lock.release()


@contextlib.contextmanager
def _sentences(into: Path) -> Iterator[None]:
    """Turn what the disk says into what to do."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a sentence already
            raise
        if error.errno in _FULL:
            text = (
                f"the disk of {into} must have room for the package, zipped and unpacked; found it full ({error}); "
                "make room and fetch again: what was downloaded is kept, and nothing half-unpacked is left"
            )
        else:
            text = (
                f"{into} must be a folder that takes files; found {error}; choose another one with --into, or change "
                "who may write there"
            )
        raise OSError(text) from error
