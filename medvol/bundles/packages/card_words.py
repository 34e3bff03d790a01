"""The preparation of images in words: what a passport's list of transforms does to a volume before anything random."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_SILENT = frozenset(["EnsureType", "EnsureChannelFirst", "ToTensor", "SelectChannels", "Identity", "CopyItems"])
"""Transforms that change the form of a sample and not its content."""


def preprocessing_words(transforms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each transform that changes an image.

    Args:
        transforms: dicts with ``_target_`` and plain arguments, as in a passport.

    Example:
        >>> spacing = {"_target_": "monai.transforms.Spacingd", "keys": ["image"], "pixdim": [1.0, 1.0, 2.0]}
        >>> preprocessing_words([spacing])
        ['Resampled to a voxel spacing of 1 x 1 x 2 mm (bilinear).']
    """
    sentences = []
    for node in transforms:
        name = str(node.get("_target_", "")).rpartition(".")[2]
        stem = name[:-1] if name.endswith("d") and "keys" in node else name
        if stem not in _SILENT:
            words = _WORDS.get(stem)
            sentences.append(_other(name, node) if words is None else words(node))
    return sentences


def _other(name: str, node: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in node.items() if key != "_target_"}
    arguments = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(rest.items()))
    return f"{name}({arguments})."


def _loaded(node: Mapping[str, Any]) -> str:
    turned = "" if node.get("reverse_indexing") is not False else ", as rows and columns"
    return f"Read from the image file{turned}, channels first."


def _oriented(node: Mapping[str, Any]) -> str:
    codes = node.get("axcodes")
    meant = ": the first axis runs from left to right, the second to the front, the third up" if codes == "RAS" else ""
    return f"Turned to the orientation {codes}{meant}." if codes else _other("Orientationd", node)


def _spaced(node: Mapping[str, Any]) -> str:
    sides = node.get("pixdim", "unknown")
    return f"Resampled to a voxel spacing of {_sizes(sides)} mm ({_first(node.get('mode', 'bilinear'))})."


def _normalized(node: Mapping[str, Any]) -> str:
    if node.get("subtrahend") is not None or node.get("divisor") is not None:
        how = f"Less {node.get('subtrahend', 'the mean')}, divided by {node.get('divisor', 'the standard deviation')}"
    else:
        how = "Normalized to mean 0 and standard deviation 1"
    where = " over the voxels that are not 0" if node.get("nonzero") else " over all voxels"
    return f"{how}{where}, {'each channel by itself' if node.get('channel_wise') else 'all channels together'}."


def _scaled(node: Mapping[str, Any]) -> str:
    clip = ", cut off outside of it" if node.get("clip") else ""
    one, other = (f"{node.get(f'{key}_min')} to {node.get(f'{key}_max')}" for key in "ab")
    return f"Intensities from {one} mapped to {other}{clip}."


def _first(mode: Any) -> Any:
    """The image's own setting, where there is one for each key."""
    return mode[0] if isinstance(mode, list) and mode else mode


def _sizes(value: Any) -> str:
    parts = value if isinstance(value, list) else [value]
    return " x ".join(f"{part:g}" if isinstance(part, (int, float)) else str(part) for part in parts)


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "LoadImage": _loaded,
    "Orientation": _oriented,
    "Spacing": _spaced,
    "NormalizeIntensity": _normalized,
    "ScaleIntensity": lambda n: (
        f"Intensities scaled to {n.get('minv', 0)} to {n.get('maxv', 1)}, each image by itself."
    ),
    "ScaleIntensityRange": _scaled,
    "ForegroundMask": lambda n: "A mask of the foreground is made; it does not change the image.",
    "CropForeground": lambda n: "Cropped to the box around the foreground.",
    "Resize": lambda n: f"Resized to {_sizes(n.get('spatial_size'))} voxels.",
    "SpatialPad": lambda n: f"Padded to at least {_sizes(n.get('spatial_size'))} voxels.",
    "CenterSpatialCrop": lambda n: f"The middle {_sizes(n.get('roi_size'))} voxels are kept.",
}
