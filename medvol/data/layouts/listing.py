"""What lies in a data set's folder: its image files by relative path, and its JSON heads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..datalist import did_you_mean
from ..files import SUFFIXES


def list_files(folder: Path, under: str = ".") -> list[str]:
    """Return all files of a folder and its subfolders, relative to it, sorted; hidden ones are left out.

    Hidden files include ``._name``, in which macOS keeps what other file systems cannot. Links to folders are followed
    once.

    Args:
        folder: what the paths are relative to.
        under: the subfolder to look in.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "a").mkdir()
        >>> (folder / "a" / "t1.nii.gz").touch()
        >>> (folder / "a" / "._t1.nii.gz").touch()
        >>> list_files(folder)
        ['a/t1.nii.gz']
    """
    found, seen = [], set()
    for place, folders, files in os.walk(folder / under, followlinks=True):
        real = os.path.realpath(place)
        kept = [name for name in folders if real not in seen and not name.startswith((".", "__MACOSX"))]
        # In a fixed order, links last: which of two ways to a folder its files are called by is then no chance.
        folders[:] = sorted(kept, key=lambda name: ((Path(place) / name).is_symlink(), name))  # noqa: B023
        if real not in seen:
            near = os.path.relpath(place, folder).replace(os.sep, "/")
            start = "" if near == "." else f"{near}/"
            found += [start + file for file in files if not file.startswith(".")]
        seen.add(real)
    return sorted(found)


def image_files(files: Iterable[str], suffixes: Sequence[str] = SUFFIXES) -> list[str]:
    """Return those of the files that are images by their suffix; of an Analyze pair, the one that holds the voxels.

    Example:
        >>> image_files(["a.nii.gz", "a.txt", "b.hdr", "b.img"])
        ['a.nii.gz', 'b.img']
    """
    images = [file for file in files if file.lower().endswith(tuple(suffixes))]
    voxels = {file[:-4] for file in images if file.endswith(".img")}
    return [file for file in images if not (file.endswith(".hdr") and file[:-4] in voxels)]


def read_object(file: Path, what: str) -> dict[str, Any]:
    """Return the object in a JSON file.

    Args:
        file: a JSON file.
        what: the layout, for the error.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no JSON object.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{what} has the file {file.name}; there is none in {file.parent}; name its folder")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} must be JSON; found what is not ({error}); correct that place") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{file} must hold a JSON object; found {type(content).__name__}; get the file again")
    return dict(content)


def require_key(content: Mapping[str, Any], keys: Sequence[str], file: Path) -> Any:
    """Return the value of the first of some equivalent keys.

    Raises:
        ValueError: none of them is there.

    Example:
        >>> require_key({"modality": {"0": "MRI"}}, ["channel_names", "modality"], Path("dataset.json"))
        {'0': 'MRI'}
    """
    for key in keys:
        if key in content:
            return content[key]
    raise ValueError(
        f"{file} must have the key {' or '.join(repr(key) for key in keys)}; found {', '.join(map(str, content))}; "
        "complete the file"
    )


def require_choice(option: str, value: Any, known: Sequence[Any]) -> None:
    """Refuse an option's value that is none of the known ones.

    Raises:
        ValueError: with the nearest known value.

    Example:
        >>> require_choice("case", "path", ["name", "path"])
    """
    if value not in known:
        raise ValueError(
            f"the option {option} must be one that is known; found {value!r}; "
            f"{did_you_mean(str(value), [str(one) for one in known])}"
        )


def safe_path(path: Any, folder: Path, where: str) -> str:
    """Return a path of a data set's own list in the form of a manifest: relative to the root, without ``./``.

    Raises:
        ValueError: no text, or a place outside the folder.

    Example:
        >>> safe_path("./imagesTr/a.nii.gz", Path("data"), "dataset.json")
        'imagesTr/a.nii.gz'
    """
    text = os.path.normpath(path).replace(os.sep, "/") if isinstance(path, str) and path else ""
    if not text or text.startswith(("../", "/")) or text in ("..", "."):
        raise ValueError(
            f"the paths in {where} must be inside {folder}; found {path!r}; correct the path, or name the folder "
            "that holds the data"
        )
    return text
