"""Synthetic volumes without anatomy: whoever solves a pretext task on them has found a shortcut."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

__all__ = ["FIXTURES", "chosen_fixtures", "noise", "padded", "ramp"]


def noise(shape: Sequence[int], seed: int, channels: int = 1) -> Tensor:
    """Return independent Gaussian voxels: nothing to learn.

    Args:
        shape: voxels per axis; an axis of one voxel makes it a slice.
        seed: of the volume.
        channels: number of channels, independent of each other.

    Returns:
        ``(channels, *shape)`` of mean 0 and standard deviation 1.

    Example:
        >>> noise((4, 4, 1), seed=0, channels=2).shape
        torch.Size([2, 4, 4, 1])
    """
    return torch.randn(channels, *shape, generator=torch.Generator().manual_seed(seed))


def ramp(shape: Sequence[int], seed: int, channels: int = 1, strength: float = 0.5) -> Tensor:
    """Return noise with a linear ramp along every axis: a toy of a bias field.

    The first channel rises along all axes. One ramp alone tells only the sum of the coordinates, so in the next
    channels it falls along the first axis, the second, both, and so on, as every coil and sequence has its own field.

    Args:
        shape: voxels per axis.
        seed: of the volume.
        channels: number of channels.
        strength: height of each ramp at the volume's edge, in standard deviations of the noise.

    Returns:
        ``(channels, *shape)``.

    Example:
        >>> (ramp((3,), 0, channels=2, strength=2.0) - noise((3,), 0, channels=2)).round().tolist()
        [[-2.0, 0.0, 2.0], [2.0, 0.0, -2.0]]
    """
    volume = noise(shape, seed, channels)
    for axis, size in enumerate(shape):
        line = torch.linspace(-1, 1, size) if size > 1 else torch.zeros(1)
        signs = torch.tensor([-1.0 if channel >> axis & 1 else 1.0 for channel in range(channels)])
        volume += strength * torch.outer(signs, line).reshape(
            channels, *(size if a == axis else 1 for a in range(len(shape)))
        )
    return volume


def padded(shape: Sequence[int], seed: int, channels: int = 1, border: int | Sequence[int] = 1) -> Tensor:
    """Return noise inside a border of zeros, as of a skull-stripped or padded image.

    Args:
        shape: voxels per axis, the border included; an axis of one voxel has none.
        seed: of the volume.
        channels: number of channels.
        border: voxels of zeros at either end of every axis, or two numbers, for its beginning and its end.

    Returns:
        ``(channels, *shape)``.

    Example:
        >>> int((padded((4, 4), 0) != 0).sum())
        4
    """
    low, high = (border, border) if isinstance(border, int) else border
    inside = torch.zeros(*shape, dtype=torch.bool)
    inside[tuple(slice(low, size - high) if size > 1 else slice(None) for size in shape)] = True
    return noise(shape, seed, channels) * inside


FIXTURES: Mapping[str, Callable[..., Tensor]] = MappingProxyType({"noise": noise, "ramp": ramp, "padded": padded})
"""The fixtures by name; their places in here are part of the seed."""


def chosen_fixtures(name: str) -> tuple[str, ...]:
    """Return the names of the fixtures that a word stands for.

    Raises:
        ValueError: there is no such fixture; the message names the nearest one.

    Example:
        >>> chosen_fixtures("ramp"), chosen_fixtures("all")
        (('ramp',), ('noise', 'ramp', 'padded'))
    """
    if name == "all":
        return tuple(FIXTURES)
    if name not in FIXTURES:
        near = difflib.get_close_matches(str(name), [*FIXTURES, "all"], n=1)
        hint = f"did you mean '{near[0]}'?" if near else "choose one of these, or --data own for your images"
        raise ValueError(f"the fixture must be one of {', '.join(FIXTURES)} or all; found {name!r}; {hint}")
    return (name,)
