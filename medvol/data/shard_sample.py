"""One sample of a shard as files: an ``.npy`` or packed chunks for each tensor, and JSON for everything else."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

_SMALL = 32  # beside a chunked tensor, tensors down to this part of the threshold are chunked as well
_MARKS = ("$tensor", "$tuple", "$pairs")


def encode(value: Any, chunked_from: int | None) -> dict[str, bytes]:
    """Return a sample as the contents of files, by their last names.

    Args:
        value: plain tensors, numbers, text, and lists, tuples and dicts of them.
        chunked_from: bytes of a tensor ``(C, X, Y, ...)`` from which large tensors are packed in chunks; None for
            never.

    Example:
        >>> sorted(encode({"image": torch.ones(1, 2), "case": "a"}, None))
        ['image.npy', 'json']
    """
    files: dict[str, bytes] = {}
    sizes = [tensor.nbytes for tensor in _tensors(value) if tensor.ndim > 2]
    least = chunked_from // _SMALL if chunked_from is not None and max(sizes, default=-1) >= chunked_from else math.inf

    def keep(tensor: torch.Tensor, path: tuple[str, ...]) -> dict[str, Any]:
        packed = tensor.ndim > 2 and tensor.numel() > 0 and tensor.nbytes >= least
        name = re.sub(r"[^A-Za-z0-9_-]", "_", "_".join(path)) or "sample"
        name = f"{name}.{'b2nd' if packed else 'npy'}"
        name = name if name not in files else f"{len(files)}-{name}"
        files[name] = _packed(tensor) if packed else _npy(tensor)
        return {"$tensor": name, "dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}

    files["json"] = json.dumps(_described(value, keep, ())).encode()
    return files


def decode(file: Path, members: dict[str, tuple[int, int]], whole: bool) -> Any:
    """Return a sample from the places of its files inside an uncompressed archive.

    Tensors are memory-mapped, private to this call: only the pages touched are read, and a change in place stays in the
    result.

    Args:
        file: the archive.
        members: the files' last names, each with its first byte and its size in bytes.
        whole: return tensors that are packed in chunks as tensors, not as
            :class:`medvol.data.chunked.ChunkedArray`.

    Raises:
        OSError: the file is not readable.
        ValueError: the file ends too early, or what stands there is no sample.
    """
    with file.open("rb") as stream:
        offset, size = members["json"]
        stream.seek(offset)
        value = json.loads(stream.read(size))

    def read(record: dict[str, Any]) -> Any:
        name, shape = record["$tensor"], record["shape"]
        offset, size = members[name]
        if name.endswith(".b2nd"):
            from .chunked import open_chunks  # blosc2 loads only where it is used

            array = open_chunks(file, offset, size)
            return array.whole() if whole else array
        dtype = getattr(torch, record["dtype"])
        kind = np.dtype("int16") if dtype is torch.bfloat16 else torch.empty(0, dtype=dtype).numpy().dtype
        length = math.prod(shape)
        if not length:
            return torch.empty(shape, dtype=dtype)
        # The numbers are the end of an .npy file; its head need not be read again.
        array = np.memmap(file, kind, "c", offset + size - length * kind.itemsize, (length,))
        return torch.from_numpy(array).view(dtype).reshape(shape)

    return _restored(value, read)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for entry in inner for tensor in _tensors(entry)]


def _described(value: Any, keep: Callable, path: tuple[str, ...]) -> Any:
    """Return what JSON can say of the value; what it cannot say stands under a key that begins with a dollar."""
    if isinstance(value, torch.Tensor):
        return keep(value, path)
    if isinstance(value, dict):
        entries = {key: _described(entry, keep, (*path, str(key))) for key, entry in value.items()}
        plain = all(isinstance(key, str) and key not in _MARKS for key in entries)
        return entries if plain else {"$pairs": [[_described(k, keep, path), v] for k, v in entries.items()]}
    if isinstance(value, (list, tuple)):
        entries = [_described(entry, keep, (*path, str(place))) for place, entry in enumerate(value)]
        return {"$tuple": entries} if isinstance(value, tuple) else entries
    return value


def _restored(value: Any, read: Callable[[dict[str, Any]], Any]) -> Any:
    if isinstance(value, list):
        return [_restored(entry, read) for entry in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return read(value)
    if "$tuple" in value:
        return tuple(_restored(entry, read) for entry in value["$tuple"])
    if "$pairs" in value:
        return {_restored(key, read): _restored(entry, read) for key, entry in value["$pairs"]}
    return {key: _restored(entry, read) for key, entry in value.items()}


def _npy(tensor: torch.Tensor) -> bytes:
    stream = io.BytesIO()
    numbers = tensor.view(torch.int16) if tensor.dtype is torch.bfloat16 else tensor
    np.save(stream, numbers.numpy(), allow_pickle=False)
    return stream.getvalue()


def _packed(tensor: torch.Tensor) -> bytes:
    from .chunked import pack  # blosc2 loads only where it is used

    return pack(tensor)
