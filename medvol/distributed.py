"""Collectives that also work without a process group: rank, sums, and a gather that carries gradients."""

from __future__ import annotations

import os
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from torch import Tensor

__all__ = [
    "all_sum",
    "barrier",
    "bfloat16_units",
    "broadcast_object",
    "cores",
    "device",
    "finalize",
    "gather",
    "initialize",
    "is_main",
    "rank",
    "world_size",
]


def _has_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def cores() -> int:
    """Return how many processor cores this process may use.

    Example:
        >>> cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def rank() -> int:
    """Return the index of this process, 0 without a process group.

    Example:
        >>> rank()
        0
    """
    return dist.get_rank() if _has_group() else 0


def world_size() -> int:
    """Return the number of processes, 1 without a process group.

    Example:
        >>> world_size()
        1
    """
    return dist.get_world_size() if _has_group() else 1


def is_main() -> bool:
    """Return whether this process is the one that writes files and prints.

    Example:
        >>> is_main()
        True
    """
    return rank() == 0


def initialize() -> None:
    """Join the process group that ``torchrun`` announces in the environment; do nothing in a single process.

    The back end is ``gloo`` on CPU and ``nccl`` on CUDA, where the device ``LOCAL_RANK`` becomes the current one.
    ignite is told at once: its first rank query is a collective call, and made on one rank only it hangs the run.

    Raises:
        ValueError: if ``WORLD_SIZE`` or, on CUDA, ``LOCAL_RANK`` does not fit this machine.

    Example:
        >>> initialize()  # nothing to join here
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdigit() or int(text) < 1:
        raise ValueError(
            f"expected WORLD_SIZE to be a positive integer, found {text!r}; start with torchrun, or unset WORLD_SIZE"
        )
    if int(text) == 1 or _has_group():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(_local_rank())
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    idist.sync()


def finalize() -> None:
    """Leave the process group, if there is one.

    Example:
        >>> finalize()  # nothing to leave here
    """
    if _has_group():
        dist.destroy_process_group()


def _local_rank() -> int:
    """Return ``LOCAL_RANK``, checked against the CUDA devices of this machine."""
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise ValueError(
            f"expected LOCAL_RANK below the {count} CUDA devices of this machine, found {local}; "
            f"start at most {count} processes per machine (torchrun --nproc_per_node)"
        )
    return local


def device(name: str = "auto") -> torch.device:
    """Return the device that this process computes on.

    Args:
        name: "auto" takes this process's CUDA device (``LOCAL_RANK``) if there is one, else the CPU; any other value
            is a torch device name.

    Raises:
        ValueError: if the name is no torch device or the device is not on this machine.

    Example:
        >>> device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda", _local_rank()) if torch.cuda.is_available() else torch.device("cpu")
    try:
        found = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'expected "auto", "cpu", "cuda" or "cuda:<n>", found {name!r}; correct the name') from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f'expected a CUDA device for {name!r}, found none; use "cpu" or "auto"')
    return found


def bfloat16_units(device: torch.device) -> tuple[str, ...]:
    """Return the names of the parts of a processor that calculate in bfloat16, () where it would be emulated.

    Args:
        device: a device of this machine.

    Example:
        >>> bfloat16_units(torch.device("meta"))
        ()
    """
    if device.type == "cuda":
        return ("CUDA",) if torch.cuda.is_bf16_supported(including_emulation=False) else ()
    if device.type != "cpu":
        return ()
    # Private names in torch, so they may be absent in some version.
    probes = {"AMX": "_is_amx_tile_supported", "AVX512-BF16": "_is_avx512_bf16_supported"}
    return tuple(unit for unit, name in probes.items() if hasattr(torch.cpu, name) and getattr(torch.cpu, name)())


def _communicable(x: Tensor) -> Tensor:
    """Return ``x`` contiguous, where the back end can read it: NCCL reads GPU memory only."""
    return x.detach().to("cuda" if dist.get_backend() == "nccl" else x.device).contiguous()


class _Gather(torch.autograd.Function):
    """All-gather whose backward pass sums the gradients of all processes and returns the own slice.

    ``torch.distributed.nn.all_gather`` does the same by another exchange for each back end, and is deprecated.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = x.shape[0]
        local = _communicable(x)
        blocks = [torch.empty_like(local) for _ in range(world_size())]
        dist.all_gather(blocks, local)
        return torch.cat(blocks).to(x.device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = _communicable(gradients[0]).clone()
        dist.all_reduce(total, op=dist.ReduceOp.SUM)
        return total.to(gradients[0].device)[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def gather(x: Tensor) -> Tensor:
    """Join the rows of all processes in rank order, with gradient.

    Every process uses every row in its own loss, so the gradient of a row is the sum over processes. Detaching the rows
    of the others gives the same loss with a wrong gradient. With DDP's averaging and a loss that is a mean over
    all processes' rows, this operator reproduces the gradient of one process with the whole batch.

    Args:
        x: ``(n, ...)``, the same shape on every process; booleans travel as bytes.

    Returns:
        ``(W * n, ...)``, the rows of rank r at ``r * n``; ``x`` itself in a single process.

    Example:
        >>> gather(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """
    if world_size() == 1:
        return x
    if x.dtype == torch.bool:
        return gather(x.to(torch.uint8)).bool()
    return _Gather.apply(x)


def all_sum(x: Tensor) -> Tensor:
    """Sum a tensor over all processes, without gradient.

    Args:
        x: any shape, the same on every process.

    Returns:
        The sum, shaped like ``x`` and detached; in a single process ``x`` detached.

    Example:
        >>> all_sum(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    if world_size() == 1:
        return x.detach()
    total = _communicable(x).clone()
    dist.all_reduce(total, op=dist.ReduceOp.SUM)
    return total.to(x.device)


def barrier() -> None:
    """Wait until every process is here.

    Example:
        >>> barrier()
    """
    if world_size() > 1:
        dist.barrier()


def broadcast_object(obj: Any) -> Any:
    """Return the main process's object on every process; it must be picklable.

    Example:
        >>> broadcast_object({"run": "a1b2c3d4"})
        {'run': 'a1b2c3d4'}
    """
    if world_size() == 1:
        return obj
    box = [obj]
    dist.broadcast_object_list(box, src=0)
    return box[0]
