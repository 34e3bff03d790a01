"""Intensity curves: gray values under a random map that keeps or turns around their order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from .distortion import as_image, check_inside, check_probability, check_range, compiled, like, with_record
from .partial import with_whole

__all__ = ["RandBezierIntensityd", "bezier_curve"]

_POINTS = 1000  # of a curve; the map is linear between them
_BUCKETS = 4096  # of the interval [0, 1]; a power of two, so that finding a bucket does not round


class RandBezierIntensityd(RandomizableTransform, MapTransform):
    """Map the intensities of an image by a random curve, rising or falling.

    Zhou et al. 2021 (Models Genesis, https://arxiv.org/abs/2004.07882, "non-linear transformation"): a cubic Bezier
    curve with the ends (0, 0) and (1, 1) and two control points drawn evenly from the unit square, taken at 1,000
    points and linear between them. With probability 0.5 the curve is turned around, so that the map falls from 1 to 0.
    Either way it keeps inside the range and gives different values to different intensities.

    The curve is one for *all* channels, as published (for one channel): relations between modalities are distorted,
    but not mixed. ``per_channel`` draws one for each.

    The curve is defined on declared intensities, ``value_range``. Of z-scores, it would press all that is below 0 or
    above 1 into two values, so values outside are refused, on every sample, whether or not it is mapped; what float32
    rounding puts outside (1e-5 of the range) is taken for the end of the range.

    Images leave as new tensors, with their type, device and metadata; nothing is changed in place. On a CPU a compiled
    loop looks up the curve; building the transform compiles it, once (a second; later programs find it on disk).

    Args:
        keys: images ``(C, *spatial)``, two or three axes, floating point, all under the same curves.
        prob: probability that a sample is mapped.
        value_range: (lowest, highest) intensity, which go to the ends of the curve.
        outside: what to do with finite values outside: "error", or "clamp" to take them for the nearer end.
        per_channel: a curve for each channel.
        allow_missing_keys: skip absent images instead of failing.

    Returns:
        The sample with mapped images; "intensity curve" in the class of the record ``pretext``.

    Raises:
        ValueError: if an option is out of range; when called, if an image holds whole numbers, values outside the
            range (naming what was found) or values that are not finite, or images differ in channels with
            ``per_channel``.

    Example:
        >>> change = RandBezierIntensityd("image", prob=1).set_random_state(0)
        >>> image = change({"image": torch.linspace(0, 1, 9).reshape(1, 3, 3)})["image"]
        >>> image.min().item(), image.max().item()
        (0.0, 1.0)
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.9,
        value_range: Sequence[float] = (0.0, 1.0),
        outside: str = "error",
        per_channel: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=check_probability("prob", prob))
        self.value_range, self.outside, self.per_channel = check_range(value_range), outside, bool(per_channel)
        if outside not in ("error", "clamp"):
            raise ValueError(f"outside must be 'error' or 'clamp'; found {outside!r}; 'error' is the default")
        self.curves: list[tuple[np.ndarray, np.ndarray]] = []  # x and y, (1000,) each
        if self.prob > 0:
            _loop()

    def randomize(self, count: int) -> None:
        """Draw whether there is anything to do, and then ``count`` curves."""
        super().randomize(None)
        self.curves = []
        for _ in range(count if self._do_transform else 0):
            control = self.R.uniform(size=(2, 2))
            self.curves.append(bezier_curve(control, falling=self.R.uniform() < 0.5))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with mapped images."""
        d = with_whole(data)
        images = {key: as_image(d[key], key, floating=True) for key in self.key_iterator(d)}
        for key, image in images.items():
            check_inside(image, key, self.value_range, self.outside == "clamp", "choose outside='clamp'")
        if not images:
            return d
        self.randomize(self._count(images))
        for key, image in images.items() if self._do_transform else ():
            d[key] = like(self._mapped(image), d[key])
        d["pretext"] = with_record(d, ["intensity curve"] if self._do_transform else [])
        return d

    def _count(self, images: Mapping[Hashable, Tensor]) -> int:
        channels = {key: len(image) for key, image in images.items()}
        if self.per_channel and len(set(channels.values())) > 1:
            raise ValueError(
                f"images under one transform must have equally many channels; found {channels}; give each a transform "
                "of its own"
            )
        return min(channels.values()) if self.per_channel else 1

    def _mapped(self, image: Tensor) -> Tensor:
        """Return a new image ``(C, *spatial)``."""
        work = image if image.dtype in (torch.float32, torch.float64) else image.float()
        result = torch.empty_like(work)
        parts = zip(work, result, strict=True) if self.per_channel else [(work, result)]
        for (old, new), curve in zip(parts, self.curves, strict=True):
            look_up(old.reshape(-1), new.view(-1), *curve, *self.value_range)
        return result.to(image.dtype)


def bezier_curve(control: np.ndarray, falling: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return 1,000 points of the map that two control points make.

    Args:
        control: ``(2, 2)``: x and y of either point, in [0, 1]; both coordinates then grow along the curve.
        falling: turn it around: where it rose from 0 to 1 it falls from 1 to 0.

    Returns:
        x, growing from 0 to 1, and y, each ``(1000,)``, float64.

    Example:
        >>> x, y = bezier_curve(np.array([[0.2, 0.8], [0.4, 0.9]]), falling=True)
        >>> x[[0, -1]].tolist(), y[[0, -1]].tolist()
        ([0.0, 1.0], [1.0, 0.0])
    """
    t = np.linspace(0, 1, _POINTS)[:, None]
    points = 3 * t * (1 - t) ** 2 * control[0] + 3 * t**2 * (1 - t) * control[1] + t**3
    points = np.sort(points, axis=0)  # they grow, up to rounding
    points[-1] = 1.0
    return np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[::-1, 1] if falling else points[:, 1])


def look_up(values: Tensor, result: Tensor, x: np.ndarray, y: np.ndarray, low: float, high: float) -> None:
    """Write into ``result`` what a curve makes of values, linear between its points.

    Args:
        values: ``(N,)``, float32 or float64, contiguous.
        result: alike, filled here.
        x: ``(K,)`` growing from 0 to 1.
        y: ``(K,)`` in [0, 1].
        low: intensity at x = 0; what is below it counts as it.
        high: intensity at x = 1; what is above it counts as it.

    Example:
        >>> result = torch.empty(3)
        >>> look_up(torch.tensor([0.0, 5.0, 12.0]), result, np.array([0.0, 1.0]), np.array([1.0, 0.0]), 0, 10)
        >>> result.tolist()
        [10.0, 5.0, 0.0]
    """
    if values.device.type != "cpu":
        search(values, result, x, y, low, high)
        return
    first = np.searchsorted(x[:-1], np.arange(_BUCKETS + 1) / _BUCKETS, side="right") - 1
    # A column for each; no value lies beyond the last point but one, so that the search ends without a check.
    knots = np.column_stack([np.append(x[:-1], np.inf), y, np.append(_slopes(x, y), 0.0)])
    _loop()(values.numpy(), result.numpy(), knots, first.astype(np.int32), float(low), float(high))


def search(values: Tensor, result: Tensor, x: np.ndarray, y: np.ndarray, low: float, high: float) -> None:
    """Do what :func:`look_up` does on any device, without a copy to the CPU, by a binary search.

    Example:
        >>> result = torch.empty(2)
        >>> search(torch.tensor([0.0, 5.0]), result, np.array([0.0, 1.0]), np.array([1.0, 0.0]), 0, 10)
        >>> result.tolist()
        [10.0, 5.0]
    """
    xs, ys, slopes = (torch.tensor(part, device=values.device) for part in (x, y, _slopes(x, y)))
    places = ((values.double() - low) / (high - low)).clamp_(0, 1)
    k = (torch.searchsorted(xs, places, right=True) - 1).clamp_(0, len(x) - 2)
    found = (ys[k] + slopes[k] * (places - xs[k])).clamp_(0, 1)
    result.copy_((low + (high - low) * found).clamp_(low, high))


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    width = np.diff(x)
    return np.divide(np.diff(y), width, out=np.zeros_like(width), where=width > 0)


def _interpolate(values, result, knots, first, low, high):  # noqa: ANN001, ANN202
    """Interpolate as ``np.interp`` does, from the last point before each value's bucket on (compiled by numba)."""
    scale = 1.0 / (high - low)
    for i in range(len(values)):
        place = min(max((values[i] - low) * scale, 0.0), 1.0)
        k = first[int(place * _BUCKETS)]
        k += knots[k + 1, 0] <= place  # one step without a branch is all that most values need
        while knots[k + 1, 0] <= place:
            k += 1
        found = min(max(knots[k, 1] + knots[k, 2] * (place - knots[k, 0]), 0.0), 1.0)
        result[i] = low + (high - low) * found


@lru_cache(maxsize=1)
def _loop() -> Callable[..., None]:
    """Return the compiled loop, for both types of numbers."""
    rest = "float64[:, ::1], int32[::1], float64, float64"
    return compiled(_interpolate, *(f"void({kind}[::1], {kind}[::1], {rest})" for kind in ("float32", "float64")))
