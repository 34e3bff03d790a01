"""Files of overrides, ``--args_file`` of the commands: read and merged as ``python -m monai.bundle run`` does it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .reading import read_json

__all__ = ["with_args_file"]


def with_args_file(
    files: str | Path | Sequence[str | Path] | None, given: Mapping[str, Any], bundle: str | Path | None = None
) -> dict[str, Any]:
    """Return the overrides of a file with those that were given by hand, which win.

    Where both have an object under one key, the objects are merged, as MONAI's runner merges them.

    Args:
        files: a JSON file of values by key, or a list with one such file; None for none.
        given: overrides by key.
        bundle: the bundle that they are for; a file that is missing is looked for there, to name the right one.

    Raises:
        FileNotFoundError: there is no such file; the message names the nearest one.
        ValueError: it is no JSON object, or there is more than one file.

    Example:
        >>> with_args_file(None, {"steps": 3})
        {'steps': 3}
    """
    files = [files] if isinstance(files, (str, Path)) else list(files or [])
    if not files:
        return dict(given)
    if len(files) > 1:
        shown = ", ".join(map(str, files))
        raise ValueError(f"one --args_file is expected, for a run takes one; found {shown}; write their keys into one")
    file = Path(files[0]).expanduser()
    if not file.is_file():
        raise FileNotFoundError(
            f"--args_file must be a JSON file of values for the config's keys; found none at {file}"
            f"{_nearest(file, bundle)}; correct the path"
        )
    return _merged(read_json(file), given)


def _merged(values: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """MONAI's runner leaves out what is None by hand; nobody who gives None to a function of medvol expects that."""
    found = dict(values)
    for key, value in given.items():
        old = found.get(key)
        found[key] = _merged(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return found


def _nearest(file: Path, bundle: str | Path | None) -> str:
    known = sorted(file.parent.glob("*.json")) if file.parent.is_dir() else []
    known += [] if bundle is None else sorted(_folder(bundle).glob("*args_*.json"))
    stems = {path.stem.removeprefix("args_"): path for path in known}  # what tells them apart
    same = [path for path in known if path.name in (file.name, f"{file.name}.json")]
    near = same or [stems[stem] for stem in difflib.get_close_matches(file.stem.removeprefix("args_"), stems, n=1)]
    return f"; did you mean '{_shown(near[0])}'?" if near else ""


def _folder(bundle: str | Path) -> Path:
    """Return the folder that holds a bundle's files, or the present one for what is no bundle."""
    from .showing.listing import bundle_folders

    path = Path(bundle)
    if path.is_file():
        return path.parent.parent if path.parent.name == "configs" else path.parent
    return bundle_folders().get(str(bundle), path)


def _shown(path: Path) -> Path:
    """Return a path as a person would type it here."""
    path = path.absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
