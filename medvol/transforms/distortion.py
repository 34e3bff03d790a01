"""What the distortions of restoration tasks share: checked images, one record, and compiled loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from torch import Tensor

__all__ = [
    "as_image",
    "check_count",
    "check_finite",
    "check_inside",
    "check_probability",
    "check_range",
    "compiled",
    "like",
    "one_shape",
    "three_axes",
    "with_record",
]

_ROUNDING = 1e-5  # of the range: interpolation and normalization in float32 miss an end by less


def as_image(value: Any, key: Hashable, floating: bool = False) -> Tensor:
    """Return an image as a plain contiguous tensor, which may share its memory: never write to it.

    Args:
        value: ``(C, *spatial)`` with two or three spatial axes.
        key: where it was found, for messages.
        floating: refuse whole numbers.

    Raises:
        ValueError: if it has other axes, no voxel, or whole numbers where intensities are needed.

    Example:
        >>> as_image(np.ones((1, 4, 4)), "image").shape
        torch.Size([1, 4, 4])
    """
    if isinstance(value, np.ndarray) and (not value.flags.writeable or min(value.strides, default=0) < 0):
        value = np.array(value)  # torch takes neither without a warning
    image = torch.as_tensor(value).detach().as_subclass(Tensor)
    if image.ndim not in (3, 4) or image.numel() == 0:
        raise ValueError(
            f"{key!r} must be an image (C, *spatial) with two or three spatial axes; found the shape "
            f"{tuple(image.shape)}; add the channel axis with EnsureChannelFirstd, or check the crop"
        )
    if floating and not image.is_floating_point():
        raise ValueError(
            f"{key!r} must hold floating-point intensities; found {image.dtype}; scale it with "
            "ScaleIntensityRangePercentilesd or ScaleIntensityRanged first"
        )
    return image.contiguous()


def like(result: Tensor, original: Any) -> Tensor:
    """Return a result with the metadata of the image that it was made of, if that had any.

    Example:
        >>> type(like(torch.zeros(1, 2, 2), MetaTensor(torch.ones(1, 2, 2)))).__name__
        'MetaTensor'
    """
    return MetaTensor(result).copy_meta_from(original) if isinstance(original, MetaTensor) else result


def three_axes(image: Tensor) -> tuple[int, int, int]:
    """Return the spatial shape with a depth of one for a slice, so that both draw the same.

    Example:
        >>> three_axes(torch.zeros(1, 5, 6)), three_axes(torch.zeros(1, 5, 6, 7))
        ((5, 6, 1), (5, 6, 7))
    """
    return (*image.shape[1:], 1)[:3]  # type: ignore[return-value]


def one_shape(images: Mapping[Hashable, Tensor]) -> tuple[int, int, int]:
    """Return the spatial shape that all images share, with a depth of one for slices.

    Raises:
        ValueError: if they differ, naming the one that does.

    Example:
        >>> one_shape({"image": torch.zeros(1, 5, 6), "label": torch.zeros(2, 5, 6)})
        (5, 6, 1)
    """
    first, *others = images
    for key in others:
        if images[key].shape[1:] != images[first].shape[1:]:
            raise ValueError(
                f"{key!r} must have the spatial shape of {first!r}, {tuple(images[first].shape[1:])}; found "
                f"{tuple(images[key].shape[1:])}; put them on one grid, or give each a transform of its own"
            )
    return three_axes(images[first])


def check_probability(name: str, value: Any) -> float:
    """Return a probability.

    Raises:
        ValueError: if it is no number from 0 to 1.

    Example:
        >>> check_probability("prob", 1)
        1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability from 0 to 1; found {value!r}; 0 turns it off")
    return float(value)


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number.

    Raises:
        ValueError: if it is none, or below ``least``.

    Example:
        >>> check_count("windows", 3)
        3
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of {least} or more; found {value!r}; correct it")
    return int(value)


def check_range(value_range: Sequence[float]) -> tuple[float, float]:
    """Return the declared range of intensities as (lowest, highest).

    Raises:
        ValueError: if it is not two finite numbers, the lower one first.

    Example:
        >>> check_range([0, 1])
        (0.0, 1.0)
    """
    try:
        low, high = (float(end) for end in value_range)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high or not math.isfinite(high - low):
        raise ValueError(
            f"value_range must be (lowest, highest), finite and different; found {value_range!r}; (0, 1) is usual"
        )
    return low, high


def check_finite(image: Tensor, key: Hashable, remedy: str) -> None:
    """Refuse an image with values that are not finite.

    Args:
        image: any shape.
        key: where it was found.
        remedy: what helps, for the message.

    Raises:
        ValueError: saying how many there are.

    Example:
        >>> check_finite(torch.zeros(3), "image", "")
    """
    finite = torch.isfinite(image)
    if not bool(finite.all()):
        raise ValueError(
            f"the image under {key!r} must be finite; found {int((~finite).sum())} values that are not; {remedy}"
        )


def check_inside(image: Tensor, key: Hashable, value_range: tuple[float, float], allowed: bool, remedy: str) -> None:
    """Refuse an image with values outside the declared range, beyond rounding, or that are not finite.

    Args:
        image: any shape.
        key: where it was found.
        value_range: (lowest, highest).
        allowed: finite values outside are welcome.
        remedy: what else helps, for the message.

    Raises:
        ValueError: naming the range that was found.

    Example:
        >>> check_inside(torch.tensor([0.0, 1.0]), "image", (0.0, 1.0), False, "")
    """
    found = [float(end) for end in torch.aminmax(image)]
    low, high = value_range
    margin = _ROUNDING * (high - low)
    if not all(map(math.isfinite, found)):
        raise ValueError(
            f"{key!r} must hold finite values; found values from {found[0]:g} to {found[1]:g}; replace what is not "
            "finite before this transform"
        )
    if not allowed and not (low - margin <= found[0] and found[1] <= high + margin):
        raise ValueError(
            f"{key!r} must hold values in value_range ({low:g}, {high:g}); found values from {found[0]:g} to "
            f"{found[1]:g}; scale it with ScaleIntensityRangePercentilesd(clip=True), state its range, or {remedy}"
        )


def with_record(
    data: Mapping[Hashable, Any], words: Collection[str], boxes: Sequence[Any] = (), names: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the record ``pretext`` of a sample, extended by what a transform drew.

    Several distortions of one sample extend one record, and each leaves one even where it did nothing: a preview takes
    for the clean image what went into the first transform that left a record.

    Args:
        data: sample, left alone.
        words: of the class.
        boxes: ``[start, stop]`` each, whole voxels.
        names: one for each box.

    Example:
        >>> with_record({"pretext": {"class": ["local shuffling"]}}, ["inner cutout"])
        {'class': ['local shuffling', 'inner cutout']}
    """
    record = dict(data.get("pretext", {}))
    answer = record.get("class", [])
    record["class"] = [*(answer if isinstance(answer, (list, tuple)) else [answer]), *words]
    if len(boxes):
        earlier = list(record.get("boxes", []))
        record["names"] = [*(record.get("names") or map(str, range(len(earlier)))), *names]
        record["boxes"] = [*earlier, *boxes]
    return record


def compiled(function: Callable[..., Any], *signatures: str) -> Callable[..., Any]:
    """Compile a loop with numba for given types, and keep the result on disk where that is possible.

    Args:
        function: plain Python that numba understands.
        signatures: types of its arguments, in numba's words; all are compiled here and now.

    Example:
        >>> def twice(number):
        ...     return 2 * number
        >>> compiled(twice, "int64(int64)")(21)
        42
    """
    import numba

    try:
        return numba.njit(list(signatures), cache=True, nogil=True)(function)
    except Exception:  # no folder to write to, a full disk, a damaged entry: without a cache only time is lost
        return numba.njit(list(signatures), nogil=True)(function)
