"""Precision: which number format the forward pass runs in, and back to float32 for the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from monai.data import MetaTensor
from torch.overrides import TorchFunctionMode

from medvol.distributed import bfloat16_units

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the dtype for ``torch.autocast`` on a device, or ``None`` for no autocast.

    ``"auto"`` is bfloat16 where the processor calculates in it (CUDA with bf16, CPU with AMX or AVX512-BF16), else
    float32. bfloat16 has float32's range and needs no loss scaling.

    Args:
        precision: ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``. ``"fp32"`` leaves float64 networks alone, too.
        device: where the network lies.

    Raises:
        ValueError: for any other word.

    Example:
        >>> autocast_dtype("bf16", torch.device("cpu"))
        torch.bfloat16
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"expected precision to be one of {PRECISIONS}, found {precision!r}; 'auto' suits most machines"
        )
    if precision == "auto":
        return torch.bfloat16 if bfloat16_units(device) else None
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


class _SmallConvolutionsInFloat32(TorchFunctionMode):
    """Run convolutions over maps of width 2 in float32.

    On CPUs with AVX512-BF16, oneDNN (as in torch 2.14.1) computes a wrong weight gradient for 3x3x3 convolutions over
    2x2x2 maps in bfloat16: off by its own size, or not finite. The test suite shows it. Such maps cost next to nothing.
    """

    def __torch_function__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.conv2d, torch.conv3d) and min(args[0].shape[2:]) <= _SMALLEST:
            with torch.autocast("cpu", enabled=False):
                return function(*(a.float() if isinstance(a, torch.Tensor) else a for a in args), **kwargs)
        return function(*args, **kwargs)


_SMALLEST = 2


@contextmanager
def forward_precision(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Autocast a forward pass, around a known fault of bfloat16 convolutions on CPUs.

    Args:
        device: where the network lies.
        dtype: what :func:`autocast_dtype` returned; ``None`` changes nothing.

    Example:
        >>> with forward_precision(torch.device("cpu"), torch.bfloat16):
        ...     torch.nn.functional.conv3d(torch.ones(1, 1, 4, 4, 4), torch.ones(1, 1, 3, 3, 3)).dtype
        torch.bfloat16
    """
    if dtype is None:
        yield
    elif device.type == "cpu":
        with torch.autocast("cpu", dtype=dtype), _SmallConvolutionsInFloat32():
            yield
    else:
        with torch.autocast(device.type, dtype=dtype):
            yield


def as_float32(value: Any) -> Any:
    """Return half-precision tensors inside of tuples, lists and dicts as float32, all else as it is.

    Example:
        >>> as_float32((torch.ones(1, dtype=torch.bfloat16), torch.ones(1, dtype=torch.int64)))
        (tensor([1.]), tensor([1]))
    """
    return _map_tensors(value, lambda x: x.float() if x.dtype in (torch.bfloat16, torch.float16) else x)


def as_plain(value: Any) -> Any:
    """Return MONAI ``MetaTensor``s inside of tuples, lists and dicts as plain tensors, all else as it is.

    Metadata would otherwise travel through network and loss, where every operation copies it.
    """
    return _map_tensors(value, lambda x: x.as_tensor() if isinstance(x, MetaTensor) else x)


def detached(value: Any) -> Any:
    """Return the tensors inside of tuples, lists and dicts without their graph, which would hold the step's memory."""
    return _map_tensors(value, torch.Tensor.detach)


def _map_tensors(value: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, (tuple, list)):
        mapped = [_map_tensors(v, function) for v in value]
        return mapped if isinstance(value, list) else tuple(mapped)
    if isinstance(value, dict):
        return {k: _map_tensors(v, function) for k, v in value.items()}
    return value
