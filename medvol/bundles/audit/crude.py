"""Crude statistics of patches and views: what can be said of an image without seeing what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

__all__ = ["GROUPS", "crude_columns", "crude_statistics"]

GROUPS = ("level", "distribution", "constant", "faces", "slope", "sharpness")
"""Kinds of statistics, in the order of the columns."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_EDGES = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)  # of the histogram, in standard deviations
_SORTED = 1024  # voxels that quantiles and histogram are taken from; sorting all of them would take half of the time


def crude_statistics(views: Tensor) -> Tensor:
    """Describe patches or views by numbers that need no idea of anatomy.

    Per channel, and averaged over the channels where there are several: mean, standard deviation, least and largest
    value (``level``); quantiles and a histogram (``distribution``), of the same 1,024 voxels of each where there are
    more; shares of zeros and of voxels that equal their neighbor along each axis (``constant``); mean and standard
    deviation of each face (``faces``); slope and curvature along each axis (``slope``); gradient energy along each axis
    and Laplacian energy, over the variance (``sharpness``). Axes of one voxel have no faces, slopes or gradients.

    Args:
        views: ``(V, C, *spatial)``.

    Returns:
        ``(V, F)``, float32; the columns are those of :func:`crude_columns`.

    Raises:
        ValueError: if there are no spatial axes.

    Example:
        >>> crude_statistics(torch.rand(8, 1, 6, 6, 6)).shape, len(crude_columns(1, (6, 6, 6)))
        (torch.Size([8, 42]), 42)
    """
    if views.ndim < 3:
        raise ValueError(f"views must be (V, C, *spatial); found the shape {tuple(views.shape)}; cut patches first")
    x = views.to(torch.float32)
    flat = x.flatten(2)
    mean, deviation = _mean_and_deviation(flat)
    columns = [mean, deviation, flat.amin(-1), flat.amax(-1)]
    columns += _distribution(flat, mean, deviation)
    axes = [axis for axis in range(2, x.ndim) if x.shape[axis] > 1]
    steps = [x.diff(dim=axis).flatten(2) for axis in axes]
    columns += [_zeros(values) for values in (flat, *steps)]
    for axis in axes:
        for end in (0, -1):
            columns += _mean_and_deviation(x.select(axis, end).flatten(2))
    for axis in axes:
        columns += _slope(x, axis)
    energies = [_mean_square(step) for step in steps] + [_laplacian(x, axes)]
    columns += [_over(energy, deviation.square()) for energy in energies]
    found = torch.stack(columns, dim=-1)  # (V, C, F)
    if found.shape[1] > 1:
        found = torch.cat([found, found.mean(dim=1, keepdim=True)], dim=1)
    return found.flatten(1)


def crude_columns(channels: int, shape: Sequence[int]) -> list[str]:
    """Return the kind, one of ``GROUPS``, of every column of :func:`crude_statistics`.

    Args:
        channels: C of the views.
        shape: their spatial shape.

    Example:
        >>> crude_columns(2, (6, 6)).count("faces")
        24
    """
    axes = sum(size > 1 for size in shape)
    counts = (4, len(_QUANTILES) + len(_EDGES), 1 + axes, 4 * axes, 2 * axes, axes + 1)
    one = [group for group, count in zip(GROUPS, counts, strict=True) for _ in range(count)]
    return one * (channels + 1 if channels > 1 else 1)


def _mean_and_deviation(flat: Tensor) -> tuple[Tensor, Tensor]:
    mean = flat.mean(-1)
    return mean, _mean_square(flat - mean[..., None]).sqrt()


def _mean_square(flat: Tensor) -> Tensor:
    return torch.linalg.vector_norm(flat, dim=-1).square() / flat.shape[-1]  # several times as fast as std or square


def _zeros(flat: Tensor) -> Tensor:
    return 1 - flat.count_nonzero(-1) / flat.shape[-1]


def _distribution(flat: Tensor, mean: Tensor, deviation: Tensor) -> list[Tensor]:
    some = flat[..., _places(flat.shape[-1])].sort(-1).values
    last = some.shape[-1] - 1
    quantiles = [some[..., round(share * last)] for share in _QUANTILES]
    scaled = _over(some - mean[..., None], deviation[..., None])
    return quantiles + [(scaled < edge).float().mean(-1) for edge in _EDGES]


@lru_cache(maxsize=16)
def _places(voxels: int) -> Tensor:
    """Return the same voxels of every patch, of no pattern along any axis."""
    return torch.randperm(voxels, generator=torch.Generator().manual_seed(0))[:_SORTED]


def _slope(x: Tensor, axis: int) -> list[Tensor]:
    """Return slope and curvature along an axis, of least squares, its coordinate running from -1 to 1."""
    others = [a for a in range(2, x.ndim) if a != axis]
    profile = x.mean(dim=others) if others else x  # (V, C, size)
    line = torch.linspace(-1, 1, x.shape[axis])
    bow = line.square() - line.square().mean()
    return [(profile * shape).sum(-1) / shape.square().sum().clamp_min(1e-12) for shape in (line, bow)]


def _laplacian(x: Tensor, axes: Sequence[int]) -> Tensor:
    """Return the mean square of the sum of second differences, ``(V, C)``; 0 where all axes are too short."""
    long = [axis for axis in axes if x.shape[axis] > 2]
    total: Tensor | None = None
    for axis in long:
        second = x.diff(n=2, dim=axis)
        for other in long:
            if other != axis:
                second = second.narrow(other, 1, x.shape[other] - 2)
        total = second if total is None else total + second
    return x.new_zeros(x.shape[:2]) if total is None else _mean_square(total.flatten(2))


def _over(values: Tensor, scale: Tensor) -> Tensor:
    """Return a ratio, 0 where nothing varies."""
    return torch.where(scale > 1e-12, values / scale.clamp_min(1e-12), 0.0)
