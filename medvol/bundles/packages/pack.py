"""Pack a bundle with the weights of a run: one zip in the layout of MONAI's model zoo, checked before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medvol.data.files import checksum
from medvol.networks import find_bundle
from medvol.passport import passport_problems, read_passport

from ..checks.metadata_rules import metadata_rule
from ..opening import open_bundle
from ..reading import read_json
from ..together import replace_together
from .archive import INDEX, add_to_index, archive_in, read_index, write_checksum
from .consistency import config_problems, private_problems, run_problems
from .contents import VERSION, is_bundle_name
from .data_format import fitted_metadata
from .fitting import carried_values, fitting_network
from .package import package_members

__all__ = ["Packed", "pack"]

SMALL = 5_700_000  # bytes of weights that a repository takes without large-file storage
RELEASED = ("large_files.yml", "models/model.pt", "models/passport.json")  # the last one vouches for the others


@dataclass(frozen=True)
class Packed:
    """What was written.

    Attributes:
        file: the zip; its checksum stands beside it in ``<file>.sha256``.
        sha256: that checksum.
        size: its size in bytes.
        notes: what differs from the bundle's own files, and what to think of before publishing.
    """

    file: Path
    sha256: str
    size: int
    notes: tuple[str, ...] = ()


def pack(
    bundle: str | Path,
    out: str | Path,
    run: str | Path | None = None,
    weights_url: str | None = None,
    release: bool = True,
) -> Packed:
    """Pack a bundle with weights into ``<out>/<bundle>-<version>.zip``, and release these weights in the bundle.

    Everything is checked before anything is written: the run has finished and is one of this bundle, its weights are
    exactly the tensors of the bundle's network, its passport is complete, the metadata are valid. Where the run was
    made with another network than the bundle's default, the configs *in the zip* get its values. Packing twice gives
    the same bytes.

    Args:
        bundle: a bundle's name or folder.
        out: folder for zip, checksum and ``index.json``; it is made if it is not there.
        run: a run's name, its folder, or ``"latest"``; None packs the weights that were released before.
        weights_url: address where the weights alone will be served; written into ``large_files.yml``, which
            ``python -m monai.bundle download_large_files`` reads.
        release: also write ``models/model.pt`` and ``models/passport.json`` (and ``large_files.yml``) in the bundle.

    Returns:
        The zip, its checksum, its size, and notes.

    Raises:
        FileNotFoundError: there is no such bundle or run, or a required file is missing.
        ValueError: run, weights, passport, metadata or address are not what they must be.
        OSError: a file cannot be written; the zip that was there before is still there.
    """
    folder = find_bundle(bundle).absolute()
    metadata = _checked_metadata(folder)
    weights = _finished(folder, run)
    record = _checked_passport(folder, weights)
    values = carried_values(folder, weights, record)
    network = fitting_network(folder, weights, record, values)
    if record["weights"] != (found := checksum(weights)):
        raise ValueError(
            f"the weights must be those of the passport beside them ({record['weights']}); found others ({found}) in "
            f"{weights.parent}; copy model.pt and passport.json together from one run"
        )
    packed_metadata = fitted_metadata(metadata, network, record["modalities"]) if values else metadata
    members = package_members(folder, weights, record, values, packed_metadata, weights_url)
    problems = [*run_problems(record, weights), *config_problems(folder, record, values)]
    if problems := [*problems, *private_problems(record, members)]:
        raise ValueError(
            f"a package must fit together, and name neither patients nor places; found {'; '.join(problems[:4])}; "
            "correct that, and pack again"
        )
    notes = _notes(folder, values, record, weights, members)
    released = {name: members[name] for name in RELEASED if name in members} if release else {}
    return _written(folder, Path(out), str(metadata["version"]), members, released, notes)


def _checked_metadata(folder: Path) -> dict[str, Any]:
    opened = open_bundle(folder, "inference.json")
    for problem in metadata_rule(opened):
        if problem.state == "error":
            raise ValueError(f"{problem.expected} is expected; found {problem.found}; {problem.remedy}")
    metadata = read_json(folder / "metadata.json")
    if not isinstance(metadata["version"], str) or not VERSION.fullmatch(metadata["version"]):
        raise ValueError(
            f"the version must be like 0.1.0, of at most 64 characters; found {metadata['version']!r}; correct "
            "metadata.json"
        )
    if not is_bundle_name(folder.name) or "_v" in folder.name:
        raise ValueError(
            "a bundle's name must be at most 64 letters, digits, _ and -, none that Windows gives to a device, and "
            f"without '_v', where MONAI looks for a version; found {folder.name!r}; rename its folder"
        )
    return metadata


def _finished(folder: Path, run: str | Path | None) -> Path:
    """The weights of a finished run, or the released ones."""
    if run is None:
        place, what, remedy = folder / "models", "released weights", "name a run with --run, such as --run latest"
    else:
        place = _run_folder(folder, run)
        what, remedy = (
            f"the finished run {place.name}",
            "let its training end: start it once more with the same options",
        )
    for name in ("model.pt", "passport.json"):
        if not (place / name).is_file():
            raise FileNotFoundError(f"{what} must hold {name}; found none in {place}; {remedy}")
    return place / "model.pt"


def _run_folder(folder: Path, run: str | Path) -> Path:
    runs = folder / "eval"
    if str(run) == "latest":
        latest = runs / "latest.txt"
        if not latest.is_file():
            raise FileNotFoundError(
                f"a finished run is expected in {runs}; found none; train first, or name its folder"
            )
        return runs / latest.read_text(encoding="utf-8").strip()
    inside = runs / run if len(Path(run).parts) == 1 else Path(run)
    found = inside if inside.is_dir() else Path(run)
    if not found.is_dir():
        known = ", ".join(sorted(path.parent.name for path in runs.glob("*/run.json"))) or "none"
        raise FileNotFoundError(f"a run's name or folder is expected; found no {run}; runs of {folder.name}: {known}")
    return found.absolute()


def _checked_passport(folder: Path, weights: Path) -> dict[str, Any]:
    record = read_passport(weights) or {}
    if record.get("bundle") != folder.name:
        raise ValueError(
            f"weights of the bundle {folder.name} are expected; found those of {record.get('bundle')} in "
            f"{weights.parent}; pack that bundle, or choose another run"
        )
    problems = passport_problems(record)
    if problems:
        more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise ValueError(
            f"the passport of weights that go out must be complete; found in {weights.with_name('passport.json')}: "
            f"{'; '.join(problems[:4])}{more}; train again with this medvol, and without paths in the options"
        )
    return record


def _notes(
    folder: Path,
    values: Mapping[str, Any],
    record: Mapping[str, Any],
    weights: Path,
    members: Mapping[str, bytes | Path],
) -> tuple[str, ...]:
    notes = []
    if values:
        shown = ", ".join(f"{key}={value!r}" for key, value in sorted(values.items()))
        notes.append(f"the configs in the zip have the values of the run: {shown}")
    if record["recipe"].get("where"):
        notes.append(f"the passport and the card show how the images were chosen: {record['recipe']['where']}")
    size = weights.stat().st_size
    if size > SMALL:
        notes.append(
            f"the weights have {size} bytes, more than {SMALL}: serve them and name the address by --weights_url, so "
            "that a repository need not hold them"
        )
    data = record["data"]
    for key in ("licence", "reference"):
        if not data[key]:
            notes.append(
                f"the {key} of the data '{data['name']}' is not stated; say it in the manifest before you publish"
            )
    left = sorted(path.name for path in folder.glob("*.json") if path.name not in members)
    return (*notes, *([f"left out of the zip: {', '.join(left)}"] if left else []))


def _written(
    folder: Path,
    out: Path,
    version: str,
    members: Mapping[str, bytes | Path],
    released: Mapping[str, bytes | Path],
    notes: tuple[str, ...],
) -> Packed:
    """Zip, release, checksum and index, in this order; before the zip takes its place nothing else has changed."""
    out.mkdir(parents=True, exist_ok=True)
    read_index(out / INDEX)  # a broken one is refused before anything is written
    file = out / f"{folder.name}-{version}.zip"
    with archive_in(out, {f"{folder.name}/{name}": content for name, content in members.items()}) as part:
        if file.is_file() and checksum(file) != checksum(part):
            notes = (*notes, f"{file.name} held something else before; give a new version to what is published already")
        replace_together({folder / name: content for name, content in released.items()})
        part.replace(file)
    digest, size = write_checksum(file), file.stat().st_size
    add_to_index(out, folder.name, version, file.name, digest, size)
    return Packed(file, digest, size, notes)
