"""Context of a position in a grid of patches: what was read up to its layer."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MaskedContext", "RecurrentContext"]


class MaskedContext(nn.Module):
    """Summarize the inverted pyramid above each position by masked convolutions over the grid.

    A block sees, at the position's own layer, the position alone, and at the layer before it the 3-wide neighborhood in
    the plane. After ``m`` blocks the context of layer ``i`` holds layers ``i, i-1, ..., i-m``, the layer ``i-m`` in a
    window of ``2m + 1``: the inverted pyramid of Taleb et al. 2020 (https://arxiv.org/abs/2006.03829, section 3.1), as
    the masked convolutions of Henaff et al. 2020 (https://arxiv.org/abs/1905.09272). No layer after ``i`` is ever read.
    Neighbors outside the grid are a learned token for each block; the reference code mirrors patches there, which puts
    targets into their own context. Normalization is over the features of one position, never over positions.

    Args:
        features: features F of an embedding.
        hidden: features H of the context.
        depth: number of blocks.
        plane_axes: axes of the grid besides the one that is read along.

    Example:
        >>> MaskedContext(4, 8, depth=2, plane_axes=2)(torch.zeros(1, 3, 4, 4, 4)).shape
        torch.Size([1, 3, 4, 4, 8])
    """

    def __init__(self, features: int, hidden: int, depth: int, plane_axes: int) -> None:
        super().__init__()
        self.enter = nn.Linear(features, hidden)
        self.blocks = nn.ModuleList(_MaskedBlock(hidden, plane_axes) for _ in range(depth))
        self.leave = nn.LayerNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return the context ``(N, L, *plane, H)`` of embeddings ``(N, L, *plane, F)``, layer 0 read first."""
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        return self.leave(x)


class _MaskedBlock(nn.Module):
    """One residual masked convolution: the position itself and the 3-wide neighborhood in the layer before."""

    def __init__(self, hidden: int, plane_axes: int) -> None:
        super().__init__()
        self.plane_axes = plane_axes
        self.norm = nn.LayerNorm(hidden)
        self.missing = nn.Parameter(torch.randn(hidden) * 0.02)
        self.mix = nn.Linear(hidden * (1 + 3**plane_axes), hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, L, *plane, H)`` to the same shape."""
        y = self.norm(x)
        # functional.pad counts from the last axis: features, plane, then one layer in front
        pads = [0, 0, *[1, 1] * self.plane_axes, 1, 0]
        outside = functional.pad(y.new_zeros(*y.shape[1:-1], 1), pads, value=1.0)
        padded = functional.pad(y, pads) + outside * self.missing
        layers, *plane = x.shape[1:-1]
        taps = [y]
        for shift in itertools.product(range(3), repeat=self.plane_axes):
            window = tuple(slice(start, start + size) for start, size in zip(shift, plane, strict=True))
            taps.append(padded[(slice(None), slice(0, layers), *window)])
        return x + self.out(functional.gelu(self.mix(torch.cat(taps, dim=-1))))


class RecurrentContext(nn.Module):
    """Summarize the inverted pyramid above each position by a gated recurrent unit, as the reference code does.

    The sequence runs from far to near: the layer ``depth`` before in a window of ``2 * depth + 1``, ..., the layer
    before in a window of 3, each in raster order, the position itself last; the final state is the context (Taleb et
    al. 2020, https://arxiv.org/abs/2006.03829, section 3.1 and code). Neighbors outside the grid are one learned token.

    Args:
        features: features F of an embedding.
        hidden: units H; the reference has 256.
        depth: layers read before the position's own.
        plane_axes: axes of the grid besides the one that is read along.

    Example:
        >>> RecurrentContext(4, 8, depth=1, plane_axes=1)(torch.zeros(1, 3, 4, 4)).shape
        torch.Size([1, 3, 4, 8])
    """

    def __init__(self, features: int, hidden: int, depth: int, plane_axes: int) -> None:
        super().__init__()
        self.depth, self.plane_axes = depth, plane_axes
        self.missing = nn.Parameter(torch.randn(features) * 0.02)
        self.recurrent = nn.GRU(features, hidden, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the context ``(N, L, *plane, H)`` of embeddings ``(N, L, *plane, F)``, layer 0 read first."""
        table = _pyramid_table(tuple(x.shape[1:-1]), self.depth).to(x.device)  # (positions, sequence)
        flat = torch.cat([x.flatten(1, -2), self.missing.to(x.dtype).expand(len(x), 1, -1)], dim=1)
        _, state = self.recurrent(flat[:, table].flatten(0, 1))  # (N * positions, sequence, F)
        return state[-1].reshape(*x.shape[:-1], -1)


@lru_cache(maxsize=32)
def _pyramid_table(shape: tuple[int, ...], depth: int) -> Tensor:
    """Return the positions that each position reads, ``(positions, sequence)``; an index past the end means missing."""
    positions = math.prod(shape)
    index = torch.arange(positions).reshape(shape)
    pads = [depth, depth] * (len(shape) - 1) + [depth, 0]
    index = functional.pad(index, pads, value=positions)
    sequence = []
    for back in range(depth, -1, -1):
        for shift in itertools.product(range(-back, back + 1), repeat=len(shape) - 1):
            starts = (depth - back, *(depth + s for s in shift))
            window = tuple(slice(start, start + size) for start, size in zip(starts, shape, strict=True))
            sequence.append(index[window].flatten())
    return torch.stack(sequence, dim=1)
