"""Which bundles there are, what was released of them and which runs they have; a broken one is listed as broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import medvol

from .columns import line_width, table

__all__ = ["Entry", "Release", "RunEntry", "bundle_folders", "list_bundles", "listing_text"]

_FILES = ("train.json", "evaluate.json", "inference.json", "metadata.json", "configs")
_SHOWN = 5  # runs of a bundle in the text; --json has all


@dataclass(frozen=True)
class Release:
    """The released weights of a bundle, ``models/model.pt``.

    Attributes:
        size: bytes.
        run: name of the run they are from, None where no passport says.
        data: name of the data they were trained on.
        synthetic: whether those are simulated.
        steps: optimizer steps.
    """

    size: int
    run: str | None
    data: str | None
    synthetic: bool | None
    steps: int | None


@dataclass(frozen=True)
class RunEntry:
    """One run of a bundle.

    Attributes:
        name: name of its folder in ``eval``.
        state: ``finished`` or ``unfinished``.
        latest: whether ``<bundle>@latest`` means it.
        steps: optimizer steps, of an unfinished run those logged.
        data: name of its data.
        metrics: what its passport says of the result.
    """

    name: str
    state: str
    latest: bool
    steps: int | None
    data: str | None
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """A bundle.

    Attributes:
        name: name of its folder.
        version: of the bundle, None where the metadata do not say.
        task: what it is for.
        folder: absolute path.
        place: ``here`` for one in ``./bundles``, ``installed`` for one that came with medvol.
        weights: the released weights, if any.
        runs: the latest first, then the others, newest first.
        problems: what is wrong with it, in sentences.
    """

    name: str
    version: str | None
    task: str | None
    folder: str
    place: str
    weights: Release | None
    runs: tuple[RunEntry, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as plain values for JSON."""
        return json.loads(json.dumps(asdict(self)))


def bundle_folders() -> dict[str, Path]:
    """Return the folders of all bundles by name: those in ``./bundles``, then those that came with medvol.

    Example:
        >>> "cpc3d" in bundle_folders()
        True
    """
    found: dict[str, Path] = {}
    for root in (_installed(), Path("bundles").absolute()):  # the current folder wins
        found |= {folder.name: folder for folder in _children(root, []) if _looks_like_a_bundle(folder)}
    return dict(sorted(found.items()))


def list_bundles() -> list[Entry]:
    """Return every bundle, sorted by name, with its released weights and its runs.

    Nothing is imported or built: it reads the metadata, the passports and the logs.

    Example:
        >>> [entry.task for entry in list_bundles() if entry.name == "cpc3d"]
        ['Self-supervised pre-training by 3D contrastive predictive coding']
    """
    here = Path("bundles").absolute()
    return [_entry(folder, "here" if folder.parent == here else "installed") for folder in bundle_folders().values()]


def _installed() -> Path:
    # As medvol.networks.find_bundle looks, which loads torch and MONAI; a test holds the two together.
    package = Path(medvol.__file__).resolve().parent
    inside = package / "_bundles"
    return inside if inside.is_dir() else package.parent / "bundles"


def _children(folder: Path, problems: list[str]) -> list[Path]:
    """Sub-folders, newest first by the time of their last change; none, and why, where the folder cannot be read."""
    try:
        found = [(path.lstat().st_mtime, path) for path in folder.iterdir() if path.is_dir() or _is_dangling(path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"{folder.name}/ must be a folder to read; found {error.strerror}; correct its permissions")
        return []
    return [path for _, path in sorted(found, reverse=True)]


def _is_dangling(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _looks_like_a_bundle(folder: Path) -> bool:
    if folder.name.startswith((".", "_")):
        return False
    try:
        return _is_dangling(folder) or any(file.name in _FILES for file in folder.iterdir())
    except OSError:  # a folder that may not be entered is listed, with that as its problem
        return True


def _entry(folder: Path, place: str) -> Entry:
    if _is_dangling(folder):
        fault = f"{folder.name} must be a folder; found a link to {folder.readlink()}, where nothing is; remove it"
        return Entry(folder.name, None, None, str(folder), place, None, (), (fault,))
    problems: list[str] = []
    meta = _read(folder / "metadata.json", problems) or {}
    for name in ("train.json", "inference.json"):
        _read(folder / name, problems)
    for key in ("version", "task"):
        if meta and not isinstance(meta.get(key), str):
            problems.append(f"metadata.json must have a text under '{key}'; found {meta.get(key)!r}; add it")
    version, task = (meta[key] if isinstance(meta.get(key), str) else None for key in ("version", "task"))
    runs = tuple(_runs(folder, problems))
    return Entry(folder.name, version, task, str(folder), place, _release(folder, problems), runs, tuple(problems))


def _read(file: Path, problems: list[str], required: bool = True) -> dict[str, Any] | None:
    """A JSON object, or None and, in ``problems``, why not."""
    where = f"{file.parent.name}/{file.name}"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required or file.is_symlink():
            problems.append(f"{where} must be there; found none; write it, or fetch the bundle again")
        return None
    except OSError as error:
        found = error.strerror or error
        problems.append(f"{where} must be a readable file; found {found}; put one there, or correct the permissions")
        return None
    except ValueError as error:
        problems.append(f"{where} must be JSON; found {error}; correct that place")
        return None
    if not isinstance(content, dict):
        problems.append(f"{where} must be a JSON object; found {type(content).__name__}; write {{...}}")
        return None
    return content


def _release(folder: Path, problems: list[str]) -> Release | None:
    try:
        size = (folder / "models" / "model.pt").stat().st_size
    except OSError:
        return None
    passport = _read(folder / "models" / "passport.json", problems, required=False) or {}
    data = _dict(passport.get("data"))
    return Release(size, passport.get("run"), data.get("name"), data.get("synthetic"), passport.get("steps"))


def _runs(folder: Path, problems: list[str]) -> list[RunEntry]:
    try:
        latest = (folder / "eval" / "latest.txt").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        latest = ""
    runs = [_run(path, path.name == latest, problems) for path in _children(folder / "eval", problems)]
    found = [run for run in runs if run is not None]
    return sorted(found, key=lambda run: not run.latest)  # a stable sort: otherwise newest first


def _run(folder: Path, latest: bool, problems: list[str]) -> RunEntry | None:
    try:
        names = {path.name for path in folder.iterdir()}
    except OSError:
        names = set()
    if not names & {"run.json", "passport.json", "model.pt"}:
        return None  # the folder of something else, such as MLflow's files
    finished = {"passport.json", "model.pt"} <= names
    record = _read(folder / ("passport.json" if finished else "run.json"), problems, required=finished) or {}
    steps = record.get("steps") if finished else _logged_steps(folder / "log.csv")
    state = "finished" if finished else "unfinished"
    return RunEntry(folder.name, state, latest, steps, _dict(record.get("data")).get("name"), _metrics(record))


def _metrics(record: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(_dict(record.get("metrics")).items()))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _logged_steps(log: Path) -> int | None:
    """The step in the last line of a log."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 500))
            return int(file.read().split(b"\n")[-2].split(b",")[0])
    except (OSError, ValueError, IndexError):
        return None


def listing_text(entries: Sequence[Entry], width: int | None = None) -> str:
    """Return the bundles as a table, below it their runs, and what is wrong.

    Args:
        entries: from :func:`list_bundles`.
        width: characters in a line; default: 100, or those of a narrower terminal.
    """
    if not entries:
        return "No bundle is here: run in a folder with bundles/, or get one by 'python -m medvol fetch'."
    width = width or line_width(100)
    head = [("bundle", "version", "task", "released weights", "runs")]
    cells = [(e.name, e.version or "?", e.task or "?", _weights(e.weights), _count(e.runs)) for e in entries]
    parts = [table(head + cells, width, [2, 3])]
    runs = [row for entry in entries for row in _run_rows(entry)]
    if runs:
        parts.append(table([("run", "state", "steps", "data", "result"), *runs], width, [4, 0]))
    parts.append("\n".join(f"{e.name}: {problem}." for e in entries for problem in e.problems))
    installed = [e for e in entries if e.place == "installed"]
    if installed:
        names = ", ".join(e.name for e in installed)
        parts.append(f"Came with medvol, in {Path(installed[0].folder).parent}: {names}.")
    return "\n\n".join(part for part in parts if part)


def _weights(release: Release | None) -> str:
    if release is None:
        return "none"
    data = f", {release.data}" if release.data else ""
    return f"{release.size / 1e6:.1f} MB{data}{' (synthetic)' if release.synthetic else ''}"


def _count(runs: Sequence[RunEntry]) -> str:
    unfinished = sum(run.state == "unfinished" for run in runs)
    return f"{len(runs)} ({unfinished} unfinished)" if unfinished else str(len(runs) or "none")


def _run_rows(entry: Entry) -> list[tuple[str, ...]]:
    rows = [
        (
            f"{entry.name}@{run.name}",
            f"{run.state}, latest" if run.latest else run.state,
            "?" if run.steps is None else str(run.steps),
            run.data or "?",
            ", ".join(f"{name} {_number(value)}" for name, value in run.metrics.items()),
        )
        for run in entry.runs[:_SHOWN]
    ]
    more = len(entry.runs) - _SHOWN
    return [*rows, (f"{entry.name}: {more} more, all in --json FILE", "", "", "", "")] if more > 0 else rows


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
