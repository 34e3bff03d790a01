"""A plain folder of NIfTI files as items for inference, in the three layouts people have."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib

from .manifest import load_manifest

# BraTS 2023 renamed its modalities; segmentations lie beside the images there.
_ALIASES = {"t2f": "flair", "t1n": "t1", "t1c": "t1ce", "t2w": "t2"}
_BRATS = ("flair", "t1", "t1ce", "t2")
_LABELS = ("seg", "label", "mask")


def folder_items(folder: str | Path, modalities: Sequence[str] | str) -> list[dict[str, Any]]:
    """Find the cases in a folder and its subfolders, and each case's files by modality.

    The layout is one of: a modality at the end of each name (``case_flair.nii.gz``, ``case/flair.nii.gz``; BraTS, from
    2023 on ``case-t2f.nii.gz``), a channel number there (``case_0000.nii.gz``; nnU-Net, number k is the k-th of
    ``modalities``), or one file per case (with several modalities a 4D file, whose last axis follows ``modalities``).
    Files of modalities that nobody asked for, and labels, are passed over.

    Args:
        folder: where to look, one level of subfolders included.
        modalities: wanted channel names, in the wanted order.

    Returns:
        Dicts as of :meth:`medvol.data.Manifest.items`, sorted by case: ``image``, ``channels`` for a 4D file,
        ``patient`` (each case its own), ``case``, ``identity``.

    Raises:
        FileNotFoundError: no such folder, or no NIfTI file in it.
        ValueError: mixed layouts, two files for one channel, a channel that is missing, or a wrong number of channels;
            each names the case.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a_0000", "a_0001"):
        ...     (folder / f"{name}.nii.gz").touch()
        >>> [Path(path).name for path in folder_items(folder, ["t1", "flair"])[0]["image"]]
        ['a_0000.nii.gz', 'a_0001.nii.gz']
    """
    wanted = (modalities,) if isinstance(modalities, str) else tuple(modalities)
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"modalities must be different names, at least one; found {list(wanted)}; name the channels")
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise FileNotFoundError(f"input must be a folder of NIfTI files; there is no folder {root}; correct the path")
    files = sorted(f for pattern in ("*.nii*", "*/*.nii*") for f in root.glob(pattern) if _is_image(f))
    if not files:
        raise FileNotFoundError(
            f"input must be a folder with .nii or .nii.gz files, there or one level below; found none in {root}; "
            "name the folder of the images"
        )
    layout, cases = _group(files, root, wanted)
    rows = [_ROWS[layout](case, channels, wanted) for case, channels in sorted(cases.items())]
    return [{**row, "patient": i, "identity": _identity(row["image"])} for i, row in enumerate(rows)]


def inference_items(
    input_dir: str | Path | None,
    manifest: str | Path,
    dataset_dir: str | Path | None,
    section: str,
    modalities: Sequence[str],
) -> list[dict[str, Any]]:
    """Return the cases of a folder if one is named, or else those of a manifest's section.

    Args:
        input_dir: folder for :func:`folder_items`, or None.
        manifest: name or path for :func:`medvol.data.load_manifest`, read only without ``input_dir``.
        dataset_dir: folder of the manifest's data.
        section: section of the manifest.
        modalities: wanted channel names, in the wanted order.

    Raises:
        ValueError: see :func:`folder_items` and :meth:`medvol.data.Manifest.items`.
        FileNotFoundError: see there, too.
    """
    if input_dir:
        return folder_items(input_dir, modalities)
    return load_manifest(manifest, dataset_dir).items(section, modalities, labelled=False)


def _is_image(file: Path) -> bool:
    # Apple's copies of a file start with "._".
    hidden = file.name.startswith(".") or not file.name.endswith((".nii", ".nii.gz")) or not file.is_file()
    return not hidden and not re.search(rf"[_-]({'|'.join(_LABELS)})$", _stem(file), re.IGNORECASE)


def _stem(file: Path) -> str:
    return file.name.removesuffix(".gz").removesuffix(".nii")


def _group(files: Sequence[Path], root: Path, wanted: Sequence[str]) -> tuple[str, dict[str, dict[str, Path]]]:
    """Return the layout and, for each case, channel to file."""
    names = {name.lower(): name for name in (*_BRATS, *wanted)}
    names = {**{alias: names[name] for alias, name in _ALIASES.items()}, **names}
    cases: dict[str, dict[str, Path]] = defaultdict(dict)
    example: dict[str, Path] = {}
    for file in files:
        layout, case, channel = _place(file, root, names)
        example.setdefault(layout, file)
        if channel in cases[case]:
            raise ValueError(
                f"case '{case}' must have one file per channel; found {cases[case][channel]} and {file}; remove one"
            )
        cases[case][channel] = file
    if len(example) > 1:
        found = "; ".join(f"{layout}: {file.name}" for layout, file in example.items())
        raise ValueError(f"a folder must have one layout of names; found {found}; rename them, or write a manifest")
    return next(iter(example)), cases


def _place(file: Path, root: Path, names: Mapping[str, str]) -> tuple[str, str, str]:
    """Return layout, case and channel of a file."""
    stem = _stem(file)
    found = re.fullmatch(r"(.+)[_-]([^_-]+)", stem)
    case, last = found.groups() if found else ("", stem)
    if not case and file.parent != root and last.lower() in names:
        case = file.parent.name
    if case and last.lower() in names:
        return "modality at the end", case, names[last.lower()]
    if case and re.fullmatch(r"\d{4}", last):
        return "channel number at the end", case, last
    return "one file per case", stem, ""


def _by_name(case: str, channels: Mapping[str, Path], wanted: Sequence[str]) -> dict[str, Any]:
    missing = [name for name in wanted if name not in channels]
    if missing:
        raise ValueError(
            f"case '{case}' must have {', '.join(wanted)}; it has {', '.join(sorted(channels))} and lacks "
            f"{', '.join(missing)}; add the files, or take the case out"
        )
    return {"image": [str(channels[name]) for name in wanted], "case": case}


def _by_number(case: str, channels: Mapping[str, Path], wanted: Sequence[str]) -> dict[str, Any]:
    expected = [f"{k:04d}" for k in range(len(wanted))]
    if sorted(channels) != expected:
        meaning = ", ".join(f"{case}_{number} = {name}" for number, name in zip(expected, wanted, strict=True))
        missing = ", ".join(sorted(set(expected) - set(channels))) or "none"
        raise ValueError(
            f"case '{case}' must have exactly the channels {meaning}; found {', '.join(sorted(channels))}, missing "
            f"{missing}; correct the files or the modalities; if the number belongs to the name, write a manifest"
        )
    return {"image": [str(channels[number]) for number in expected], "case": case}


def _by_axis(case: str, channels: Mapping[str, Path], wanted: Sequence[str]) -> dict[str, Any]:
    file = channels[""]
    shape = nib.load(file).shape  # reads the header only
    count = shape[3] if len(shape) > 3 else 1
    if count != len(wanted):
        raise ValueError(
            f"case '{case}' must have {len(wanted)} channels ({', '.join(wanted)}); {file} has {count}, its shape is "
            f"{shape}; name its channels in their order, or give one file per channel"
        )
    if len(wanted) == 1:
        return {"image": [str(file)], "case": case}
    return {"image": str(file), "channels": list(range(count)), "case": case}


_ROWS = {"modality at the end": _by_name, "channel number at the end": _by_number, "one file per case": _by_axis}


def _identity(image: str | Sequence[str]) -> str:
    files = [Path(path) for path in ([image] if isinstance(image, str) else image)]
    states = [(file, file.stat()) for file in files]
    return ";".join(f"image={file}|{state.st_size}|{state.st_mtime_ns}" for file, state in states)
