"""Compares the buffers of modules over the processes of a training."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from medvol import distributed


def buffer_checksums(module: nn.Module) -> dict[str, int]:
    """Return the CRC-32 of every buffer's bytes, by name.

    Running statistics of norms are left out: they differ between processes rightfully, each saw its own examples.

    Example:
        >>> buffer_checksums(nn.BatchNorm2d(3))
        {}
    """
    sums = {}
    for name, part in module.named_modules():
        if not isinstance(part, _NormBase):
            for key, buffer in part.named_buffers(prefix=name, recurse=False):
                data = buffer.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
                sums[key] = zlib.crc32(data.numpy().tobytes())
    return sums


def require_equal_buffers(modules: Iterable[nn.Module]) -> None:
    """Raise on every process when a buffer (queue, pointer, center) is not the same on all of them.

    Raises:
        RuntimeError: with the names of the buffers that differ from the first process's.
    """
    if distributed.world_size() == 1:
        return
    own = {f"{i}.{name}": crc for i, module in enumerate(modules) for name, crc in buffer_checksums(module).items()}
    first = distributed.broadcast_object(own)
    different = sorted(name for name in own.keys() | first.keys() if own.get(name) != first.get(name))
    if distributed.all_sum(torch.tensor([float(len(different))])).item() > 0:
        raise RuntimeError(
            f"expected equal buffers on all processes, found others than the first process's on process "
            f"{distributed.rank()}: {different or 'none here'}; gather before a buffer is updated (medvol.distributed)"
        )
