"""Put an unpacked bundle into its place: whole where nothing is, all files or none where a bundle stands.

What a user may have made is never overwritten. A record of what was fetched, ``.fetched``, tells it apart.
"""

from __future__ import annotations

import glob
import json
from dataclasses import dataclass, field
from pathlib import Path

from medvol.data.files import checksum
from medvol.writing import write_whole

from ..together import replace_together

_LAST = ("metadata.json", "models/model.pt", "models/passport.json")
RECORD = ".fetched"  # no .json: it is none of the bundle's configs
_PREFIXES = {"configs": "config", "models": "weights", "docs": "text"}
_CONFIGS = (".json", ".conf")


@dataclass
class Plan:
    """What happens to the files of a bundle's folder, by path in the folder.

    Attributes:
        put: written, new or in place of what was fetched before.
        removed: fetched before, unchanged, and not in the package any more.
        kept: pages that a user has changed; they stay.
        refused: configs and weights that a user has changed; nothing is done because of them.
    """

    put: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def place(unpacked: Path, target: Path, package: str, version: str) -> Plan:
    """Put the files of a package into a bundle's folder, all of them or none.

    Args:
        unpacked: the unpacked bundle, on the file system of ``target``, whose place it takes where nothing stands.
        target: the bundle's folder, which need not exist.
        package: SHA-256 of the zip, for the record.
        version: the bundle's version, for the record.

    Returns:
        What was done.

    Raises:
        ValueError: something else stands there, or configs or weights were changed by the user; nothing was touched.
        OSError: the folder takes no file; what stood there before stands there again.
    """
    files = sorted(file.relative_to(unpacked).as_posix() for file in unpacked.rglob("*") if file.is_file())
    hashes = {file: checksum(unpacked / file) for file in files}
    if not target.is_symlink() and target.is_dir() and not any(target.iterdir()):
        target.rmdir()
    if not target.is_symlink() and not target.exists():
        _write_record(unpacked, _record(unpacked, hashes, package, version, whole=True))
        unpacked.rename(target)
        return Plan(put=files)
    _check_target(target)
    before = read_record(target)
    plan = plan_changes(target, hashes, before, unpacked)
    if plan.refused:
        raise ValueError(
            f"{target} must not lose what was made there; found configs or weights that are neither the package's nor "
            f"fetched before: {', '.join(plan.refused)}; nothing was changed: move them away, or fetch into another "
            "folder with --into"
        )
    _tidy(target, {*files, *before.get("files", {})})
    if plan.put or plan.removed:
        # Both generations are known while the files change, so that a fetch after a kill takes either for its own.
        known = before.get("files", {})
        both = {file: [*known.get(file, []), *([hashes[file]] if file in hashes else [])] for file in {*known, *files}}
        _write_record(target, {**before, "package": None, "version": None, "files": both})
        try:
            # The last one is away while the others change: the passport, or else what no command needs for opening.
            order = sorted(plan.put, key=lambda file: (_LAST.index(file) if file in _LAST else -1, file))
            replace_together({target / f: unpacked / f for f in order}, [target / f for f in plan.removed])
        except BaseException:
            if (
                plan_changes(target, hashes, before, unpacked) == plan
            ):  # everything is there again, so the record is, too
                _write_record(target, before) if before else (target / RECORD).unlink()
            raise
    record = _record(target, hashes, package, version, whole=before.get("whole", False))
    if record != before:
        _write_record(target, record)
    return plan


def plan_changes(target: Path, hashes: dict[str, str], before: dict, unpacked: Path) -> Plan:
    """Decide, without changing anything, what happens to each file.

    Args:
        target: the bundle's folder.
        hashes: SHA-256 of every file of the package, by path.
        before: the record of the fetch before, ``{}`` where there was none.
        unpacked: the unpacked bundle.
    """
    plan, known = Plan(), before.get("files", {})
    for file, digest in hashes.items():
        there = target / file
        if _stands_for_another(there, file, hashes):
            continue
        if not there.exists() and not there.is_symlink():
            # A clone gets its weights, and not pages that its history does not have.
            if before.get("whole") or _kind(file) != "text":
                plan.put.append(file)
        elif there.is_symlink() or not there.is_file():
            plan.refused.append(file)
        elif (found := checksum(there)) != digest:
            changed = found not in known.get(file, [])
            if changed and _kind(file) == "config" and _differ_in_weights_alone(there, unpacked / file):
                continue
            (plan.put if not changed else plan.kept if _kind(file) == "text" else plan.refused).append(file)
    for file in sorted(set(known) - set(hashes)):
        there = target / file
        if there.is_file() and not there.is_symlink():
            (plan.removed if checksum(there) in known[file] else plan.kept).append(file)
    return plan


def read_record(target: Path) -> dict:
    """Return what the last fetch into a bundle's folder noted, ``{}`` where there was none or it cannot be read."""
    try:
        record = json.loads((target / RECORD).read_text(encoding="utf-8"))
        sound = all(isinstance(hashes, list) for hashes in record["files"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return record if sound else {}


def is_current(target: Path, package: str) -> bool:
    """Whether a folder holds a package's files as they were fetched; pages may have been changed since."""
    record = read_record(target)
    own = record.get("bundle") == target.name  # and not a copy's
    return (
        own
        and record.get("package") == package
        and all(
            (target / file).is_file() and (_kind(file) == "text" or checksum(target / file) in hashes)
            for file, hashes in record["files"].items()
        )
    )


def _check_target(target: Path) -> None:
    bundle = any((target / config).exists() for config in ("train.json", "inference.json", "configs"))
    if target.is_symlink() or not target.is_dir() or not bundle:
        found = "a link" if target.is_symlink() else "files of something else" if target.is_dir() else "a file"
        raise ValueError(f"{target} must be a bundle's folder or absent; found {found}; fetch into another with --into")
    for folder in _PREFIXES:
        if (target / folder).is_symlink() or ((target / folder).exists() and not (target / folder).is_dir()):
            raise ValueError(
                f"{target / folder} must be a folder; found a link or a file; fetch into another folder with --into"
            )


def _tidy(target: Path, files: set[str]) -> None:
    """Remove the hidden files beside others that a killed fetch has left; only one fetch at a time comes here."""
    for file in files:
        for suffix in ("part", "before"):
            name = f".{glob.escape(Path(file).name)}.{'[0-9a-f]' * 8}.{suffix}"
            for leftover in (target / file).parent.glob(name):
                leftover.unlink()


def _stands_for_another(there: Path, file: str, hashes: dict[str, str]) -> bool:
    """Whether ``configs/x.json`` is a link to the bundle's own ``x.json``, as in a clone; then only that is written."""
    name = file.removeprefix("configs/")
    if name == file or name not in hashes:
        return False
    if there.is_symlink():
        return there.readlink().as_posix() == f"../{name}"
    # Without links, git writes where one leads as the text of a file.
    return there.is_file() and there.stat().st_size < 300 and there.read_bytes().strip() == f"../{name}".encode()


def _differ_in_weights_alone(one: Path, other: Path) -> bool:
    """Whether two configs are the same but for which weights they name: a package its own, a clone its newest run."""
    try:
        contents = [json.loads(file.read_text(encoding="utf-8")) for file in (one, other)]
        return len({json.dumps({**content, "weights": None}, sort_keys=True) for content in contents}) == 1
    except (ValueError, TypeError):
        return False


def _kind(file: str) -> str:
    top, _, rest = file.partition("/")
    return _PREFIXES[top] if rest else "config" if file.endswith(_CONFIGS) else "text"


def _record(folder: Path, hashes: dict[str, str], package: str, version: str, whole: bool) -> dict:
    """What stands in a folder as the package has it; ``whole`` says that a fetch has made the folder."""
    there = {file: [digest] for file, digest in hashes.items() if (folder / file).is_file()}
    same = {file: digests for file, digests in there.items() if checksum(folder / file) in digests}
    return {"bundle": folder.name, "package": package, "version": version, "whole": whole, "files": same}


def _write_record(folder: Path, record: dict) -> None:
    write_whole(folder / RECORD, json.dumps(record, indent=1, sort_keys=True) + "\n")
