"""A plain folder of NIfTI files as items for inference, in the three layouts people have."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from .files import stem
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
    layout, cases = group_channels(files, root, wanted)
    rows = []
    for case, channels in sorted(cases.items()):
        image = arrange(layout, case, channels, wanted)
        if "" in channels:
            check_channels(case, channels[""], wanted)
        axis = {"channels": list(range(len(wanted)))} if isinstance(image, str) else {}
        rows.append({"image": image, **axis, "patient": len(rows), "case": case, "identity": _identity(image)})
    return rows


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
    return not hidden and not is_label(file)


def is_label(file: PurePath) -> bool:
    """Return whether a file is a label by the end of its name.

    Example:
        >>> is_label(Path("a/case_seg.nii.gz")), is_label(Path("segment.nii.gz"))
        (True, False)
    """
    return bool(re.search(rf"[_-]({'|'.join(_LABELS)})$", stem(file), re.IGNORECASE))


def group_channels(
    files: Sequence[Path], root: Path, wanted: Sequence[str], whole_path: bool = False
) -> tuple[str, dict[str, dict[str, Path]]]:
    """Sort files into cases and channels by their names; see :func:`folder_items` for the three layouts.

    Args:
        files: image files, or folders with one DICOM series each.
        root: the folder above them; a file directly in it has no case by its folder.
        wanted: channel names.
        whole_path: a case's name begins with the folders below the root, joined by ``_``.

    Returns:
        The layout, and for each case, channel to file.

    Raises:
        ValueError: mixed layouts, or two files for one channel.

    Example:
        >>> layout, cases = group_channels([Path("x/a_t1.nii.gz"), Path("x/a_flair.nii.gz")], Path("x"), ["t1"])
        >>> layout, sorted(cases["a"])
        ('modality at the end', ['flair', 't1'])
    """
    names = {name.lower(): name for name in (*_BRATS, *wanted)}
    names = {**{alias: names[name] for alias, name in _ALIASES.items()}, **names}
    # The longest name wins: "a_post_t1" ends with the channel "post_t1", if there is one.
    ending = re.compile(
        rf"(?:(.+?)[_-])?({'|'.join(sorted(map(re.escape, names), key=len, reverse=True))})", re.IGNORECASE
    )
    cases: dict[str, dict[str, Path]] = defaultdict(dict)
    example: dict[str, Path] = {}
    for file in files:
        layout, case, channel = _place(file, root, ending, names)
        if whole_path:
            parts = file.parent.relative_to(root).parts
            case = "_".join(parts if parts and parts[-1] == case else (*parts, case))
        example.setdefault(layout, file)
        if channel in cases[case]:
            first = cases[case][channel]
            elsewhere = (
                ", choose the images by a pattern such as imagesTr/*, or, where each folder holds other cases, name "
                "them by their path (case='path')"
            )
            raise ValueError(
                f"case '{case}' must have one file per channel; found {first} and {file}; remove one"
                + ("" if first.parent == file.parent or whole_path else elsewhere)
            )
        cases[case][channel] = file
    if len(example) > 1:
        found = "; ".join(f"{layout}: {file.name}" for layout, file in example.items())
        raise ValueError(
            f"a folder must have one layout of names; found {found}; rename them, or say "
            "which you mean: an import takes a pattern"
        )
    return next(iter(example)), cases


def _place(file: Path, root: Path, ending: re.Pattern[str], names: Mapping[str, str]) -> tuple[str, str, str]:
    """Return layout, case and channel of a file."""
    name = stem(file)
    found = ending.fullmatch(name)
    case = found[1] or (file.parent.name if file.parent != root else "") if found else ""
    if found and case:
        return "modality at the end", case, names[found[2].lower()]
    numbered = re.fullmatch(r"(.+)[_-](\d{4})", name)
    if numbered:
        return "channel number at the end", numbered[1], numbered[2]
    return "one file per case", name, ""


def arrange(layout: str, case: str, channels: Mapping[str, Path], wanted: Sequence[str]) -> list[str] | str:
    """Return the files of a case in the order of the wanted channels, or its one file with them on the last axis.

    Args:
        layout: what :func:`group_channels` found.
        case: name of the case.
        channels: channel to file.
        wanted: channel names.

    Raises:
        ValueError: a channel is missing, or there are others than the layout says.

    Example:
        >>> arrange("channel number at the end", "a", {"0001": Path("a_0001"), "0000": Path("a_0000")}, ["t1", "t2"])
        ['a_0000', 'a_0001']
    """
    return _FILES[layout](case, channels, wanted)


def _by_name(case: str, channels: Mapping[str, Path], wanted: Sequence[str]) -> list[str]:
    missing = [name for name in wanted if name not in channels]
    if missing:
        raise ValueError(
            f"case '{case}' must have {', '.join(wanted)}; it has {', '.join(sorted(channels))} and lacks "
            f"{', '.join(missing)}; add the files, or take the case out"
        )
    return [str(channels[name]) for name in wanted]


def _by_number(case: str, channels: Mapping[str, Path], wanted: Sequence[str]) -> list[str]:
    expected = [f"{k:04d}" for k in range(len(wanted))]
    if sorted(channels) != expected:
        meaning = ", ".join(f"{case}_{number} = {name}" for number, name in zip(expected, wanted, strict=True))
        missing = ", ".join(sorted(set(expected) - set(channels))) or "none"
        raise ValueError(
            f"case '{case}' must have exactly the channels {meaning}; found {', '.join(sorted(channels))}, missing "
            f"{missing}; correct the files or the modalities; if the number belongs to the name, write a manifest"
        )
    return [str(channels[number]) for number in expected]


def _by_axis(case: str, channels: Mapping[str, Path], wanted: Sequence[str]) -> list[str] | str:
    return [str(channels[""])] if len(wanted) == 1 else str(channels[""])


_FILES = {"modality at the end": _by_name, "channel number at the end": _by_number, "one file per case": _by_axis}


def check_channels(case: str, file: Path, wanted: Sequence[str]) -> None:
    """Refuse a file that holds another number of channels than there are names; reads its header only.

    Raises:
        ValueError: names the case, its channels and its shape.
    """
    from .reading import read_header  # SimpleITK loads only where it is used

    header = read_header(file)
    if header.channels != len(wanted):
        raise ValueError(
            f"case '{case}' must have {len(wanted)} channels ({', '.join(wanted)}); {file} has {header.channels}, its "
            f"shape is {header.shape}; name its channels in their order, or give one file per channel"
        )


def _identity(image: str | Sequence[str]) -> str:
    files = [Path(path) for path in ([image] if isinstance(image, str) else image)]
    states = [(file, file.stat()) for file in files]
    return ";".join(f"image={file}|{state.st_size}|{state.st_mtime_ns}" for file, state in states)
