"""The images to embed: the cases of a folder, of a manifest or of one file, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medvol.data import folder_items, load_manifest
from medvol.data.datalist import SECTIONS, case_name, did_you_mean
from medvol.data.files import SUFFIXES, is_there, stem
from medvol.data.manifest import find_manifest
from medvol.data.reading import read_header
from medvol.data.where import columns_of

__all__ = ["Cases", "count_voxels", "find_cases"]


@dataclass(frozen=True)
class Cases:
    """What shall be embedded.

    Attributes:
        name: the manifest's name, or that of the folder or file.
        items: what a bundle's pre-processing reads, sorted by case.
        table: one line per item: ``case``, ``patient`` (the text, not the number) and, of a manifest, ``section``,
            ``group``, its targets and its columns, in pandas' nullable types.
    """

    name: str
    items: list[dict[str, Any]]
    table: pd.DataFrame

    def column(self, name: str) -> list[Any]:
        """Return one column of the table, None where a value is unknown.

        Raises:
            ValueError: there is no such column, or no case has a value in it.
        """
        if name not in self.table:
            raise ValueError(
                f"the color must be a column of the images, found {name!r}; {did_you_mean(name, self.table.columns)}"
            )
        values = [None if value is pd.NA else value for value in self.table[name]]
        if all(value is None for value in values):
            raise ValueError(f"the color must be known for some case, found no value of '{name}'; choose another one")
        return values

    def keep(self, places: Sequence[int]) -> Cases:
        """Return the cases at these places only."""
        return Cases(self.name, [self.items[i] for i in places], self.table.iloc[list(places)].reset_index(drop=True))


def find_cases(
    images: str | Path,
    modalities: Sequence[str],
    dataset_dir: str | Path | None = None,
    section: str | None = None,
) -> Cases:
    """Find the images to embed.

    Args:
        images: a folder in one of the layouts of :func:`medvol.data.folder_items`, one image file, or the name or file
            of a manifest.
        modalities: channel names in the order that the network expects.
        dataset_dir: folder of a manifest's data.
        section: of a manifest; None for all three.

    Raises:
        FileNotFoundError: there is nothing of that name, or a file is missing.
        ValueError: the name means two things, or there is no case, or one without its channels.

    Example:
        >>> from medvol.data import phantom_manifest  # doctest: +SKIP
        >>> find_cases("phantom", ["t1"], section="test").table.columns.tolist()  # doctest: +SKIP
        ['case', 'patient', 'section']
    """
    path = Path(images).expanduser()
    if str(images).endswith((".json", ".parquet")) or not path.exists():
        return _of_manifest(images, modalities, dataset_dir, section)
    # './name' is the folder, with the separators of Windows, too.
    if path.is_dir() and str(images) == Path(images).name and _is_manifest(str(images)):
        raise ValueError(
            f"the images must be one thing, found that '{images}' is a folder here and a manifest; write "
            f"'./{images}' for the folder, or call this from another folder for the manifest"
        )
    if section is not None:
        raise ValueError(f"a section belongs to a manifest, found --section with {images}; leave it out")
    items = folder_items(path, modalities) if path.is_dir() else [_one(path, modalities)]
    items = [{**item, "patient": number} for number, item in enumerate(_sorted(items))]
    names = [item["case"] for item in items]
    return Cases(path.absolute().name, items, _texts({"case": names, "patient": names}))


def _of_manifest(images: str | Path, modalities: Sequence[str], folder: Any, section: str | None) -> Cases:
    try:
        manifest = load_manifest(images, folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"images must be a folder, an image file, or the name or file of a manifest, found {str(images)!r}: {error}"
        ) from error
    if absent := [name for name in modalities if name not in manifest.modalities]:
        raise ValueError(
            f"the images must have the channels that the network reads, {', '.join(modalities)}; the manifest "
            f"'{manifest.name}' has {', '.join(manifest.modalities)}, not {', '.join(absent)}; choose other images or "
            "other weights"
        )
    sections = SECTIONS if section is None else (section,)
    found: list[tuple[dict[str, Any], str]] = []
    rows: dict[str, Mapping[str, Any]] = {}
    for one in sections:
        found += [(item, one) for item in manifest.items(one, modalities, labelled=False)]
        rows.update((case_name(row), row) for row in manifest.sections[one])
    if not found:
        held = {key: len(cases) for key, cases in manifest.sections.items()}
        raise ValueError(
            f"the manifest '{manifest.name}' must have cases in {section or 'a section'}; found {held}; "
            "choose another section or manifest"
        )
    found.sort(key=lambda pair: pair[0]["case"])
    table = columns_of([rows[item["case"]] for item, _ in found]).drop(columns="labelled")
    table.insert(2, "section", pd.array([one for _, one in found], dtype="string[python]"))
    first = ["case", "patient", "section"]
    known = [name for name in table if name not in first and not table[name].isna().all()]
    return Cases(manifest.name, [item for item, _ in found], table[first + known])


def count_voxels(item: Mapping[str, Any], spacing: Sequence[float] | None = None) -> float:
    """Read the headers of a case's files, so that a broken one is met before hours are spent.

    Args:
        item: an entry of :attr:`Cases.items`.
        spacing: voxel size in millimeters that the pre-processing resamples to, if it does.

    Returns:
        The number of voxels of one channel, after resampling.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is unreadable, or one that should hold one channel holds several.
    """
    files = [item["image"]] if isinstance(item["image"], str) else item["image"]
    return max(_voxels(Path(file), item, spacing) for file in files)


def _is_manifest(name: str) -> bool:
    if name == "phantom":  # to look for it would make it
        return True
    try:
        find_manifest(name)
    except FileNotFoundError:
        return False
    return True


def _one(file: Path, modalities: Sequence[str]) -> dict[str, Any]:
    if not file.name.lower().endswith(SUFFIXES):
        raise ValueError(f"an image file must end in one of {', '.join(SUFFIXES)}; found {file.name}; convert it")
    stacked = len(modalities) > 1
    if stacked and (count := read_header(file).channels) != len(modalities):
        raise ValueError(
            f"one file must hold the {len(modalities)} channels {', '.join(modalities)}, found {count} in {file}; "
            "give the folder that holds one file per channel, or name its channels by --modalities"
        )
    image = str(file.absolute())
    return {"case": stem(file), **({"image": image, "channels": [*range(len(modalities))]} if stacked else
            {"image": [image]})}  # fmt: skip


def _sorted(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(items, key=lambda item: item["case"])


def _texts(columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.array(values, dtype="string[python]") for name, values in columns.items()})


def _voxels(file: Path, item: Mapping[str, Any], spacing: Sequence[float] | None) -> float:
    if not is_there(file):
        raise FileNotFoundError(f"an image must be an existing file; found no file {file}; correct the path")
    header = read_header(file)
    if not header.is_radiograph and header.channels > 1 and "channels" not in item:
        raise ValueError(
            f"an image file must hold one channel; found {header.channels} of shape {header.shape} in {file}; write "
            "one file for each, or state in the manifest which of them to read"
        )
    shape = np.asarray(header.shape, float)
    if spacing is not None and len(spacing) == len(shape) and np.isfinite(header.spacing).all():
        # The axes of the file may stand in another order than those of the network.
        shape = shape * np.asarray(header.spacing) / np.prod(np.asarray(spacing, float)) ** (1 / len(shape))
    return float(np.prod(shape))
