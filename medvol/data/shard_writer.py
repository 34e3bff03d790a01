"""Writing shards: each finished one is kept, and the index, without which nothing is trusted, is written last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock
from joblib import Parallel, delayed

from .cache import plain
from .datasets import StreamDataset
from .files import checksum
from .shard_sample import encode
from .shards import FORMAT, INDEX, Shards, key_of

_PART = ".part-"


def write_shards(dataset: StreamDataset, folder: str | Path, samples_per_shard: int = 100, jobs: int = 1) -> Path:
    """Write a data set's samples, as its deterministic transforms leave them, into WebDataset's tar files.

    A shard ``shard-000000.tar`` holds its samples in order, each as ``<place>.<key>.npy`` (or ``.b2nd``, chunks of
    blosc2, where the first random transform reads parts) and ``<place>.json``; beside it ``shard-000000.json`` says
    where each of them begins. Every file is written under another name and renamed. A call after a stop keeps the
    shards that are finished and whole; ``shards.json`` is written last, and without it no folder is opened.

    Args:
        dataset: the samples, in its order.
        folder: where to write; made if need be.
        samples_per_shard: a shard should be 100 MB to 1 GB large.
        jobs: processes; more than one needs transforms that can be pickled.

    Returns:
        The folder.

    Raises:
        ValueError: an empty data set, no deterministic transform, a number below 1, or a folder with finished shards
            of something else.
        OSError: the folder takes no file, or the disk is full.

    Example:
        >>> import torch
        >>> from monai.transforms import ScaleIntensityd
        >>> data = [{"image": torch.rand(1, 4, 4, 4), "case": name} for name in "abc"]
        >>> dataset = StreamDataset(data, ScaleIntensityd("image"), 0, tempfile.mkdtemp())
        >>> Shards(write_shards(dataset, tempfile.mkdtemp(), samples_per_shard=2)).sizes
        [2, 1]
    """
    for name, value in (("samples_per_shard", samples_per_shard), ("jobs", jobs)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1; found {value!r}; correct it")
    if len(dataset) == 0 or dataset._key is None:
        found = "no item" if len(dataset) == 0 else "no deterministic transform at the beginning"
        raise ValueError(
            f"shards hold what the data set's deterministic transforms make of its items; found {found}; "
            "shard a data set that loads and prepares files"
        )
    folder = Path(folder).expanduser().absolute()
    with _refusal(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            if (folder / INDEX).is_file():
                Shards(folder).check(dataset._key, dataset.data, every=True)
                return folder
            for stale in folder.glob(f"{_PART}*"):
                stale.unlink()
            ranges = [
                range(i, min(i + samples_per_shard, len(dataset))) for i in range(0, len(dataset), samples_per_shard)
            ]
            make = delayed(_write_shard)
            shards = Parallel(n_jobs=jobs)(make(dataset, folder, number, part) for number, part in enumerate(ranges))
            named = {name for shard in shards for name in (shard["file"], shard["list"])}
            for stale in folder.glob("shard-*"):  # of a stopped call with other sizes
                if stale.name not in named:
                    stale.unlink()
            index = {"medvol_shards": FORMAT, "transform": dataset._key, "samples": len(dataset), "shards": shards}
            with _written(folder / INDEX) as stream:
                stream.write(json.dumps(index, indent=1).encode())
    return folder


def _write_shard(dataset: StreamDataset, folder: Path, number: int, places: Sequence[int]) -> dict[str, Any]:
    """Write one shard unless it is there; return its line of the index."""
    name = f"shard-{number:06d}"
    items = [dataset.data[place] for place in places]
    made_of = {"transform": dataset._key, "chunked_from": dataset._chunked_from, "keys": [key_of(i) for i in items]}
    listed, archive = folder / f"{name}.json", folder / f"{name}.tar"
    if not _is_whole(listed, archive, made_of):
        with _written(archive) as stream:
            _write_samples(stream, dataset, places, items)
        with tarfile.open(archive) as source:
            found = [(member.name, member.offset_data, member.size) for member in source]
        samples = [_record(f"{p:09d}.", i, k, found) for p, i, k in zip(places, items, made_of["keys"], strict=True)]
        size = {"bytes": archive.stat().st_size, "sha256": checksum(archive)}
        with _written(listed) as stream:
            stream.write(json.dumps({"file": archive.name, **size, **made_of, "samples": samples}).encode())
    content = listed.read_bytes()
    size = {key: json.loads(content)[key] for key in ("bytes", "sha256")}
    sums = {"list": listed.name, "list_sha256": hashlib.sha256(content).hexdigest()}
    return {"file": archive.name, "samples": len(places), **size, **sums}


def _is_whole(listed: Path, archive: Path, made_of: dict[str, Any]) -> bool:
    try:
        content = json.loads(listed.read_bytes())
        same = all(content[key] == value for key, value in made_of.items())
        return same and content["bytes"] == archive.stat().st_size and content["sha256"] == checksum(archive)
    except (FileNotFoundError, ValueError, KeyError):
        return False


def _write_samples(stream: BinaryIO, dataset: StreamDataset, places: Sequence[int], items: Sequence[Any]) -> None:
    try:
        from webdataset import TarWriter
    except ModuleNotFoundError as error:
        raise ValueError(
            "writing shards needs the package webdataset; found none; run pip install -e '.[scale]' in medvol's folder"
        ) from error
    # Without times and owners, equal samples are equal files.
    with TarWriter(stream, user="", group="", mtime=0, encoder=False) as writer:
        for place, item in zip(places, items, strict=True):
            value = plain(dataset._fixed(deepcopy(item)))
            writer.write({"__key__": f"{place:09d}", **encode(value, dataset._chunked_from)})


def _record(prefix: str, item: Any, key: str, found: Sequence[tuple[str, int, int]]) -> dict[str, Any]:
    known = {name: item[name] for name in ("case", "patient") if isinstance(item.get(name), (str, int))}
    files = {name.removeprefix(prefix): [start, size] for name, start, size in found if name.startswith(prefix)}
    return {"key": key, **known, "files": files}


@contextlib.contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """Give a stream beside the file, and rename it when all of it is on the disk."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=_PART)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)  # shards are shared; a temporary file is private
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _refusal(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:  # a source file of the data set
        raise
    except OSError as error:
        raise OSError(
            f"shards need a folder that can be written to, with room for all samples; {folder} refused ({error}); "
            "make room or name another folder, and call write_shards again: it goes on where it stopped"
        ) from error
