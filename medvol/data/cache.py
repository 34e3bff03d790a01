"""The disk cache: where it lies, what names an entry, and how an entry is read or made."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import pickle
import sys
import threading
import time
import types
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from enum import Enum
from functools import cache, partial
from pathlib import Path
from typing import Any

import monai
import numpy as np
import platformdirs
import torch
from filelock import FileLock

from .entries import mapped, read_entry, refusal, write_entry
from .files import is_there, state
from .sources import source_hash

# Inside these packages the version says what a class does; elsewhere only its source file does.
_VERSIONED = ("monai", "torch", "numpy", "builtins")
_LOCKS = 64  # files for all entries of a folder; two entries of one number wait for each other, needlessly but seldom
IN_USE = 60.0  # seconds after its last use in which an entry is left alone
STARTED = time.time()


def cache_root() -> Path:
    """Return the folder of everything medvol can make again: ``MEDVOL_CACHE``, or else the user's cache folder.

    Example:
        >>> cache_root().is_absolute()
        True
    """
    chosen = os.environ.get("MEDVOL_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("medvol", appauthor=False)


def transform_key(transforms: Sequence[Any]) -> str:
    """Return a name for what a chain of transforms does: classes, settings and, outside MONAI, the source text.

    Unlike a pickle's hash it does not depend on object identity, so that two processes agree; a lambda counts with
    its byte code, so that an edited one is another transform.

    Args:
        transforms: deterministic MONAI transforms in order, and any settings they run under.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> from monai.transforms import ScaleIntensityd
        >>> transform_key([ScaleIntensityd("image")]) == transform_key([ScaleIntensityd("image")])
        True
        >>> transform_key([ScaleIntensityd("image")]) == transform_key([ScaleIntensityd("image", maxv=2.0)])
        False
    """
    return _digest(["monai", monai.__version__, _describe(list(transforms), ())])


def item_key(item: Mapping[str, Any]) -> str:
    """Return a name for one item's content; ``identity`` stands for the files ``image`` and ``label``, if it is there.

    Any other path counts with size and time of change, so an overwritten file is another item.

    Args:
        item: one entry of a data list.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> item_key({"image": "/a/1.nii.gz", "identity": "x"}) == item_key({"image": "/b/1.nii.gz", "identity": "x"})
        True
    """
    covered = ("image", "label") if "identity" in item else ()
    # Which of the two is there still counts: the same image without its label is another item.
    return _digest(_describe({key: None if key in covered else value for key, value in item.items()}, ()))


def read_or_make(file: Path, make: Callable[[], Any], chunked_from: int | None = None) -> Any:
    """Read a cached value, or make it and keep it.

    Of several processes that need the same entry one makes it; the others wait and read it. The file is memory-mapped
    privately: a crop reads only the pages it touches, and a change in place stays in this process. It is written beside
    its final place and renamed, so that no reader ever meets half a file (MONAI's ``PersistentDataset`` goes through
    the system's temporary folder, which may be another disk). Its time of change is that of its last use, to within
    half a minute: :mod:`medvol.data.eviction` goes by it.

    Args:
        file: place of the entry; its folder must exist.
        make: called without arguments when there is no readable entry.
        chunked_from: bytes; an entry with a tensor ``(C, X, Y, ...)`` of this size or more is stored compressed in
            chunks, and such tensors come back as :class:`medvol.data.chunked.ChunkedArray`, which read only what is
            asked of them. None stores whole tensors, and returns whole ones from any entry.

    Returns:
        The value, in both cases as plain tensors (or chunked arrays), numbers, text, lists and dicts.

    Raises:
        ValueError: the value holds something else than that.
        OSError: the folder takes no file, or the disk is full.

    Example:
        >>> import tempfile
        >>> read_or_make(Path(tempfile.mkdtemp()) / "a.pt", lambda: {"image": torch.ones(1, 2)})
        {'image': tensor([[1., 1.]])}
    """
    whole = chunked_from is None
    found = _read(file, whole)
    if found is not None:
        return found[0]
    with one_at_a_time(file.parent, f"{zlib.crc32(file.name.encode()) % _LOCKS:02d}"):
        found = _read(file, whole, warn=True)  # another process may have made it meanwhile
        if found is not None:
            return found[0]
        value = plain(make())
        size = write_entry(file, value, chunked_from)
    from .eviction import make_room  # which imports this module

    make_room(file, size)
    return value


@contextlib.contextmanager
def one_at_a_time(folder: Path, name: str) -> Iterator[None]:
    """Let one process at a time do something in a folder of the cache; the system frees the lock of a killed one.

    Args:
        folder: must exist; the lock's file lies in its sub-folder ``.locks``.
        name: name of the lock.

    Raises:
        OSError: the folder takes no file.

    Example:
        >>> import tempfile
        >>> with one_at_a_time(Path(tempfile.mkdtemp()), "00"):
        ...     pass
    """
    lock = FileLock(folder / ".locks" / name)
    try:
        (folder / ".locks").mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except NotImplementedError:  # a file system without locks: an entry may be made twice, and is right both times
        pass
    except OSError as error:
        raise refusal(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _read(file: Path, whole: bool, warn: bool = False) -> tuple[Any] | None:
    """Return the value of an entry as a tuple of one, or None where it must be made."""
    try:
        value = read_entry(file)
        value = mapped(value, lambda end: end.whole() if hasattr(end, "whole") else end) if whole else value
    except FileNotFoundError:
        return None
    except ValueError as error:
        if warn:
            warnings.warn(f"the cache entry {file} is not readable ({error}); it is made again", stacklevel=3)
        return None
    with contextlib.suppress(OSError):  # evicted meanwhile, or a folder of someone else
        if time.time() - file.stat().st_mtime > IN_USE / 2:
            os.utime(file)
    return (value,)


def plain(value: Any, where: str = "sample") -> Any:
    """Return the value with every array as an ordinary tensor of its own memory: no metadata, no view of a larger one.

    Args:
        value: tensors, arrays, numbers, text, paths and nested lists, tuples and dicts of them.
        where: name of the value in an error.

    Raises:
        ValueError: another type stands in it.

    Example:
        >>> plain({"image": np.zeros((1, 2), dtype="float32"), "patient": np.int64(3)})
        {'image': tensor([[0., 0.]]), 'patient': 3}
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, torch.Tensor):
        tensor = (value.as_tensor() if hasattr(value, "as_tensor") else value).detach()
        small = tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes()
        return tensor.clone(memory_format=torch.contiguous_format) if small else tensor.contiguous()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {plain(key, where): plain(entry, f"{where}[{str(key)!r}]") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        entries = [plain(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
        return tuple(entries) if isinstance(value, tuple) else entries
    if isinstance(value, Enum):  # MONAI's CommonKeys are text with a class, which the safe reader refuses
        return plain(value.value, where)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(
        f"the cache keeps tensors, arrays, numbers and text; {where} is a {type(value).__name__}; "
        "remove it at the end of the deterministic transforms, for instance with DeleteItemsd"
    )


def _digest(description: Any) -> str:
    return hashlib.sha256(json.dumps(description).encode()).hexdigest()


def _describe(value: Any, above: tuple[int, ...]) -> Any:
    """Return nested lists of text that are equal exactly when the values mean the same."""
    if id(value) in above:
        return ["above", above[::-1].index(id(value))]
    inner = (*above, id(value))
    if isinstance(value, str):
        return ["file", value, state(Path(value))] if os.sep in value and _names_files(value) else value
    if value is None or isinstance(value, (bool, int, float)):
        return [type(value).__name__, repr(value)]
    if isinstance(value, Path):
        return _describe(str(value), inner)
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        array = value.detach().cpu().contiguous().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        return ["array", str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return ["dict", *sorted(([_describe(k, inner), _describe(v, inner)] for k, v in value.items()), key=repr)]
    if isinstance(value, Set):
        return ["set", *sorted((_describe(entry, inner) for entry in value), key=repr)]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(_describe(entry, inner) for entry in value)]
    return _describe_object(value, inner)


def _describe_object(value: Any, above: tuple[int, ...]) -> Any:
    if isinstance(value, type):
        return ["class", _source(value)]
    if isinstance(value, types.CodeType):
        return ["code", value.co_code.hex(), list(value.co_names), _describe(value.co_consts, above)]
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = (value.__code__, value.__defaults__, value.__kwdefaults__, cells)
        # What it finds outside of itself; functions and modules there are named, for their source is in the key.
        found = {name: value.__globals__[name] for name in _names(value.__code__) if name in value.__globals__}
        kinds = (bool, int, float, str, tuple, list, dict)
        plain = {name: one for name, one in found.items() if isinstance(one, kinds)}
        return ["function", _source(value), *(_describe(part, above) for part in (*parts, plain))]
    if isinstance(value, types.MethodType):
        return ["method", _describe([value.__func__, value.__self__], above)]
    if isinstance(value, partial):
        return ["partial", _describe([value.func, value.args, value.keywords], above)]
    if isinstance(value, (torch.dtype, torch.device, np.dtype)) or not hasattr(value, "__dict__"):
        return ["value", type(value).__qualname__, repr(value) if _prints(value) else pickle.dumps(value).hex()]
    # MONAI's transforms get such a thing on their first use: what they do stays the same.
    own = {name: one for name, one in vars(value).items() if not isinstance(one, threading.local)}
    return ["object", _source(type(value)), _describe(own, above)]


def _names(code: types.CodeType) -> set[str]:
    """Return the global names that a function and the functions inside of it read."""
    inner = (_names(part) for part in code.co_consts if isinstance(part, types.CodeType))
    return set(code.co_names).union(*inner)


def _names_files(text: str) -> bool:
    try:
        return is_there(Path(text))
    except (OSError, ValueError):  # too long for a path, or no path at all
        return False


def _prints(value: Any) -> bool:
    return type(value).__repr__ is not object.__repr__


def _typed_in(thing: Any) -> str:
    """Return a hash of a class's functions; of a function nothing, its byte code is described beside."""
    functions = vars(thing).items() if isinstance(thing, type) else ()
    return _digest([[name, _describe(f.__code__, ())] for name, f in functions if isinstance(f, types.FunctionType)])


@cache
def _source(thing: Any) -> tuple[str, str, str]:
    """Return module, name and a hash of the source, which is left empty where a version covers it."""
    module = thing.__module__ or ""
    if module.split(".")[0] in (*_VERSIONED, *sys.stdlib_module_names):
        return module, thing.__qualname__, ""
    try:
        file = Path(inspect.getfile(thing))
    except (TypeError, OSError):
        file = None
    if file is None or not file.is_file():  # typed in at a prompt or in a notebook
        return module, thing.__qualname__, _typed_in(thing)
    modules = {each.__module__ for each in getattr(thing, "__mro__", ())} | {module}
    return module, thing.__qualname__, source_hash(modules, _VERSIONED)
