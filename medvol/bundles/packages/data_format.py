"""The part of the metadata that says what goes into a bundle's network and what comes out, made to fit a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn

_MULTIPLE = re.compile(r"\s*(\d+)\s*\*\s*n\s*")
_SIZES = (8, 16, 32, 64, 128)


def multiple(entry: Any) -> int | None:
    """Return what an axis must be a multiple of, as metadata write it in ``spatial_shape``; None where they do not.

    Example:
        >>> multiple("8*n"), multiple(" 8 * n"), multiple("*"), multiple(8)
        (8, 8, None, None)
    """
    found = _MULTIPLE.fullmatch(str(entry))
    return int(found[1]) if found else None


def fitted_metadata(metadata: dict[str, Any], network: nn.Module, modalities: Sequence[str]) -> dict[str, Any]:
    """Return metadata whose ``network_data_format`` is that of a network, found by sending zeros through it.

    Channels, their names, the number of axes and the multiple that sizes must be of are corrected; all else stays.

    Args:
        metadata: a bundle's metadata.
        network: the network, with one image as its input and one tensor as its output.
        modalities: names of the input channels.

    Raises:
        ValueError: no size up to 128 voxels passes through the network.
    """
    fitted = deepcopy(metadata)
    image = fitted["network_data_format"]["inputs"]["image"]
    image["num_channels"] = len(modalities)
    if "channel_def" in image:
        image["channel_def"] = {str(number): name for number, name in enumerate(modalities)}
    shape = list(image["spatial_shape"])
    known = multiple(shape[0])
    size, output = _trial(network, len(modalities), known or _SIZES[0])
    axes = output.ndim - 2
    image["spatial_shape"] = [f"{size}*n" if known else part for part in _resized(shape, axes)]
    pred = fitted["network_data_format"].get("outputs", {}).get("pred")
    if isinstance(pred, dict):
        _fit_output(pred, output, size, bool(known))
    return fitted


def _fit_output(pred: dict[str, Any], output: torch.Tensor, size: int, known: bool) -> None:
    if pred.get("num_channels") != output.shape[1]:
        pred["num_channels"] = output.shape[1]
        pred.pop("channel_def", None)  # its names were those of other channels
    if "spatial_shape" in pred:
        sides = ["n" if side == 1 else f"{side}*n" for side in output.shape[2:]]
        pred["spatial_shape"] = sides if known else _resized(pred["spatial_shape"], output.ndim - 2)


def _resized(shape: Sequence[Any], axes: int) -> list[Any]:
    return [*shape, *shape[-1:] * axes][:axes]


def _trial(network: nn.Module, channels: int, least: int) -> tuple[int, torch.Tensor]:
    """The smallest image that passes, and what becomes of it."""
    failure, weights = "", [parameter.ndim - 2 for parameter in network.parameters()]
    # An encoder of two axes takes volumes, too, slice by slice.
    flat = max(weights, default=3) == 2
    for size in (least, *(size for size in _SIZES if size > least)):
        for axes in (2,) if flat else (3, 2):
            try:
                with torch.no_grad():
                    return size, network(torch.zeros(1, channels, *[size] * axes))
            except (RuntimeError, ValueError, IndexError) as error:
                failure = failure or str(error)
    raise ValueError(
        f"an image of zeros with {channels} channels must pass through network_def; found {failure}; "
        "correct network_def or the modalities"
    )
