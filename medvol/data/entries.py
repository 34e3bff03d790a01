"""The file of one cache entry: a plain ``torch.save``, or a head with chunked arrays behind it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

PART = ".part-"  # how the name of a file begins that is not finished
_MAGIC = b"medvol\x00\x01"  # torch.save begins with "PK"
_SIZES = struct.Struct("<QQ")  # bytes of the head, bytes of the file
_CHUNKED = "medvol.chunked"  # key of the record that stands in the head for an array: its offset and its size
_SMALL = 32  # in a chunked entry, tensors down to this part of the threshold are chunked as well


def write_entry(file: Path, value: Any, chunked_from: int | None = None) -> int:
    """Write an entry beside its place and rename it, so that no reader ever meets half a file.

    Args:
        file: place of the entry; its folder must exist.
        value: plain tensors, numbers, text, and lists, tuples and dicts of them.
        chunked_from: size of a tensor, bytes, from which the entry is stored in chunks; None stores it whole.

    Returns:
        Bytes written.

    Raises:
        OSError: the folder takes no file, or the disk is full; nothing is left behind.

    Example:
        >>> file = Path(tempfile.mkdtemp()) / "entry"
        >>> write_entry(file, {"image": torch.ones(1, 4, 4, 4)}, chunked_from=256) == file.stat().st_size
        True
        >>> read_entry(file)["image"]
        ChunkedArray(shape=(1, 4, 4, 4), dtype=torch.float32)
    """
    parts: list[bytes] = []
    if chunked_from is not None and _largest(value) >= chunked_from:
        value = _packed(value, parts, chunked_from // _SMALL)
    try:
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=PART)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                if parts:
                    _write_parts(stream, value, parts)
                else:
                    torch.save(value, stream)
            Path(name).replace(file)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)
            raise
        return file.stat().st_size
    except (OSError, RuntimeError) as error:
        cause = _of_the_disk(error)
        if cause is None:
            raise
        raise refusal(file.parent, cause) from error


def refusal(folder: Path, error: Exception) -> OSError:
    """Return the error for a folder of the cache that takes no file, or no more.

    Example:
        >>> str(refusal(Path("cache"), OSError(28, "No space left on device")))[:60]
        '[Errno 28] the cache needs a folder it can write to, with ro'
    """
    message = (
        f"the cache needs a folder it can write to, with room; {folder} refused ({error}); free the disk, for instance "
        "with python -m medvol cache, or name another folder with the environment variable MEDVOL_CACHE or the "
        "argument cache_dir"
    )
    number = getattr(error, "errno", None)
    return OSError(message) if number is None else OSError(number, message)


def _of_the_disk(error: BaseException | None) -> OSError | None:
    """Return the disk's error that led to this one: torch raises its own on the way out."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def read_entry(file: Path) -> Any:
    """Read an entry: chunked arrays lazily, other tensors memory-mapped and private to this process.

    Args:
        file: place of the entry.

    Returns:
        The value as it was written, with :class:`medvol.data.chunked.ChunkedArray` for what is stored in chunks.

    Raises:
        FileNotFoundError: there is no entry.
        ValueError: it is not readable.

    Example:
        >>> read_entry(Path("nowhere"))
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'nowhere'
    """
    with file.open("rb") as stream:
        begin = stream.read(len(_MAGIC) + _SIZES.size)
        chunked = begin.startswith(_MAGIC) and len(begin) == len(_MAGIC) + _SIZES.size
        if chunked:
            head_size, file_size = _SIZES.unpack(begin[len(_MAGIC) :])
            found = os.fstat(stream.fileno()).st_size
            if found != file_size:
                raise ValueError(f"expected {file_size} bytes, found {found}")
            head = io.BytesIO(stream.read(head_size))
    try:
        if not chunked:
            return torch.load(file, weights_only=True, mmap=True)
        return _opened(torch.load(head, weights_only=True), file, len(begin) + head_size)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # torch's answer to a file that ends too early
            raise
        raise ValueError(str(error)) from error


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested dicts, lists and tuples with another value at each end.

    Example:
        >>> mapped({"a": [1, (2,)]}, str)
        {'a': ['1', ('2',)]}
    """
    if isinstance(value, dict):
        return {key: mapped(entry, change) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(entry, change) for entry in value)
    return change(value)


def _can_be_chunked(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim > 2 and value.numel() > 0


def _largest(value: Any) -> int:
    sizes = [-1]
    mapped(value, lambda end: sizes.append(end.nbytes) if _can_be_chunked(end) else None)
    return max(sizes)


def _packed(value: Any, parts: list[bytes], least: int) -> Any:
    """Return the value with records in place of the arrays that went to ``parts``."""
    from .chunked import pack  # blosc2 takes a tenth of a second to import, and most runs need none

    def pack_end(end: Any) -> Any:
        if not _can_be_chunked(end) or end.nbytes < least:
            return end
        record = {_CHUNKED: [sum(map(len, parts)), 0]}
        parts.append(pack(end))
        record[_CHUNKED][1] = len(parts[-1])
        return record

    return mapped(value, pack_end)


def _write_parts(stream: io.BufferedIOBase, head: Any, parts: list[bytes]) -> None:
    buffer = io.BytesIO()
    torch.save(head, buffer)
    size = buffer.getbuffer().nbytes
    total = len(_MAGIC) + _SIZES.size + size + sum(map(len, parts))
    stream.write(_MAGIC + _SIZES.pack(size, total) + buffer.getbuffer())
    for part in parts:
        stream.write(part)


def _opened(value: Any, file: Path, start: int) -> Any:
    """Return the head with arrays in place of their records."""
    if isinstance(value, dict) and value.keys() == {_CHUNKED}:
        from .chunked import open_chunks

        offset, size = value[_CHUNKED]
        return open_chunks(file, start + offset, size)
    if isinstance(value, dict):
        return {key: _opened(entry, file, start) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_opened(entry, file, start) for entry in value)
    return value
