"""Folders, links, the database of the runs, and what the environment says."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import platformdirs

from medvol.data.bound import size_bound

from ..keys import suggest
from ..showing.listing import bundle_folders
from .diagnosis import Diagnosis

__all__ = ["EXAMINATIONS", "VARIABLES"]

VARIABLES = ("MEDVOL_CACHE", "MEDVOL_CACHE_SIZE", "MEDVOL_INDEX", "MEDVOL_TEST_DATA", "MEDVOL_ZOO_SCHEMA")
"""Environment variables that medvol and its tests read."""

_GB = 1e9
_LITTLE, _NONE = 5e9, 0.3e9  # bytes free on a disk: a warning, an error
_PATIENCE = 2.0  # seconds for counting the files of the cache
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def _cache() -> Iterator[Diagnosis]:
    try:
        place = _cache_root()
    except RuntimeError as error:
        text = f"The cache has no place, because there is no home folder ({error})."
        yield Diagnosis("cache", "error", text, "Set MEDVOL_CACHE to a folder.")
        return
    try:
        bound = size_bound()
    except ValueError as error:
        yield Diagnosis("cache", "error", f"{str(error).rstrip('.')}.", "Set it to a size such as 50GB, or unset it.")
        bound = None
    size = _size(place)
    held = "more files than are counted here" if size is None else f"{size / _GB:.2f} GB"
    limit = "without a limit (MEDVOL_CACHE_SIZE sets one)" if bound is None else f"of at most {bound / _GB:.0f} GB"
    yield from _writable("cache", place, f"The cache {place} holds {held}, {limit}", "Set MEDVOL_CACHE to a folder.")
    yield from _room("cache", place, "Free some, or set MEDVOL_CACHE to a folder on a larger disk.")


def _cache_root() -> Path:
    # As medvol.data.cache_root, which loads torch and MONAI; a test holds the two together.
    chosen = os.environ.get("MEDVOL_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("medvol", appauthor=False)


def _size(folder: Path) -> int | None:
    """Bytes below a folder, None where counting takes too long, as it may on a network disk."""
    sizes: list[int] = []

    def count() -> None:
        total = 0
        for place, _, names in os.walk(folder):
            for name in names:
                try:
                    total += (Path(place) / name).lstat().st_size
                except OSError:  # gone meanwhile
                    continue
        sizes.append(total)

    counting = threading.Thread(target=count, daemon=True)
    counting.start()
    counting.join(_PATIENCE)
    return sizes[0] if sizes else None


def _disk() -> Iterator[Diagnosis]:
    yield from _room("disk", Path.cwd(), "Free some, or write runs elsewhere by --output_dir.")


def _temporary() -> Iterator[Diagnosis]:
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        yield Diagnosis(
            "temporary", "error", f"There is no folder for temporary files ({error}).", "Set TMPDIR to one."
        )
        return
    yield from _writable("temporary", place, f"Temporary files go to {place}", "Set TMPDIR to another folder.")


def _nearest(place: Path) -> Path:
    """The folder itself, or the first one above it that is there."""
    return next((folder for folder in (place, *place.parents) if _seen(folder.exists)), Path.cwd())


def _seen(question: Callable[[], bool]) -> bool:
    """The answer about a path; no, where this user may not look."""
    try:
        return question()
    except OSError:
        return False


def _fault(place: Path) -> str:
    """Why no file can be written to a folder, or to the one in which it would be made; empty where one can."""
    folder = _nearest(place)
    if not folder.is_dir():
        return f"{folder} is no folder"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{error.strerror or error}: {folder}"


def _writable(part: str, place: Path, text: str, remedy: str) -> Iterator[Diagnosis]:
    fault = _fault(place)
    if fault:
        yield Diagnosis(part, "error", f"{text}; it cannot be written to ({fault}).", remedy)
    else:
        yield Diagnosis(part, "ok", f"{text}.")


def _room(part: str, place: Path, remedy: str) -> Iterator[Diagnosis]:
    disk = shutil.disk_usage(_nearest(place))
    text = f"{disk.free / _GB:.1f} of {disk.total / _GB:.0f} GB are free on the disk of {place}."
    if disk.free < _LITTLE:
        yield Diagnosis(part, "error" if disk.free < _NONE else "warning", text, remedy)
    else:
        yield Diagnosis(part, "ok", text)


def _links() -> Iterator[Diagnosis]:
    broken = [(folder, problem) for folder in bundle_folders().values() for problem in _broken_links(folder)]
    for folder, problem in broken:
        remedy = f"Name {folder.name}/train.json itself, or run 'git config core.symlinks true' and check out again."
        yield Diagnosis("links", "warning", f"{problem}.", remedy)
    if not broken:
        yield Diagnosis("links", "ok", "The links in the bundles' configs folders lead to their files.")


def _broken_links(folder: Path) -> Iterator[str]:
    """Files in ``configs`` that stand for a file of the bundle and are not it."""
    configs = folder / "configs"
    if not _seen(configs.is_dir):  # as in an installed medvol
        return
    for file in sorted(configs.iterdir()):
        where = f"{folder.name}/configs/{file.name}"
        if file.is_symlink() and not file.exists():
            yield f"The link {where} leads to {file.readlink()}, where nothing is"
        elif file.is_file() and file.stat().st_size < 200 and file.read_bytes().strip().startswith(b"../"):
            yield f"{where} is a text file with the target of a link, as a clone without links has it"


def _runs() -> Iterator[Diagnosis]:
    faults = {}
    for folder in bundle_folders().values():
        if fault := _fault(folder / "eval"):
            faults[folder.name] = fault
    for name, fault in faults.items():
        text = f"The runs of {name} cannot be written ({fault})."
        yield Diagnosis("runs", "warning", text, "Give --output_dir with each run, or correct the permissions.")
    if not faults:
        yield Diagnosis("runs", "ok", "The runs of all bundles can be written.")


def _tracking() -> Iterator[Diagnosis]:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri and not uri.startswith("sqlite:///"):
        yield Diagnosis("mlflow", "ok", f"MLflow keeps the runs at {uri} (MLFLOW_TRACKING_URI), which was not tried.")
        return
    own = [folder / "eval" / "mlruns.db" for folder in bundle_folders().values()]
    files = [Path(uri.removeprefix("sqlite:///"))] if uri else own
    there = [file for file in files if _seen(file.is_file)]
    faults = [(file, fault) for file in there if (fault := _database_fault(file))]
    for file, fault in faults:
        remedy = "Let the program that uses it end, or train with --mlflow False; the run's log.csv has all values."
        yield Diagnosis("mlflow", "warning", f"MLflow's database {file} cannot be written ({fault}).", remedy)
    if not faults:
        where = uri or "<bundle>/eval/mlruns.db"
        yield Diagnosis(
            "mlflow", "ok", f"MLflow keeps the runs at {where}; databases there now: {len(there)}, none locked."
        )


def _database_fault(file: Path) -> str:
    try:
        # Opening a transaction and leaving it changes nothing, and fails where another program holds the lock.
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=0)) as base:
            base.execute("BEGIN IMMEDIATE")
            base.rollback()
    except sqlite3.Error as error:
        return str(error)
    return ""


def _variables() -> Iterator[Diagnosis]:
    given = sorted(name for name in os.environ if name.startswith("MEDVOL_"))
    unknown = [name for name in given if name not in VARIABLES]
    for name in unknown:
        hint = suggest(name, VARIABLES).removeprefix("; d")
        remedy = f"D{hint}" if hint else f"Unset it; those that are read are {', '.join(VARIABLES)}."
        yield Diagnosis("variables", "warning", f"Nothing reads the environment variable {name}.", remedy)
    known = [f"{name}={os.environ[name]}" for name in given if name in VARIABLES]
    if not unknown:
        yield Diagnosis("variables", "ok", f"Set of medvol's variables: {', '.join(known) or 'none'}.")


def _network() -> Iterator[Diagnosis]:
    given = sorted({name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower())})
    proxies = f"{', '.join(given)} set" if given else "no proxy set"
    text = f"Training needs no network; only 'fetch' and 'push' do ({proxies}). Nothing was tried."
    yield Diagnosis("network", "ok", text)


EXAMINATIONS = (
    ("cache", _cache),
    ("disk", _disk),
    ("temporary", _temporary),
    ("links", _links),
    ("runs", _runs),
    ("mlflow", _tracking),
    ("variables", _variables),
    ("network", _network),
)
