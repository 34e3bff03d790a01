"""Shards: a data set's prepared samples in a few large tar files, read in any order by their place."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from .cache import item_key
from .files import checksum
from .shard_sample import decode

INDEX = "shards.json"
FORMAT = 1
_KEPT = 64  # shards whose lists of samples stay in memory
_SAMPLE = 100  # items compared at the start; every other one when it is read


class Shards:
    """The samples of a folder that :func:`medvol.data.shard_writer.write_shards` has finished.

    Args:
        folder: the folder.

    Attributes:
        sizes: number of samples in each shard.
        transform: name of the transforms that prepared the samples, of :func:`medvol.data.cache.transform_key`.
        hash: SHA-256 of the index, which lists every shard's checksum: the name of the content.

    Raises:
        FileNotFoundError: the folder has no index, so it is not finished; or a shard is missing.
        ValueError: another format, or a shard of another size.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        index = read_index(self.folder)
        self.hash = checksum(self.folder / INDEX)
        self.transform, self._shards = index["transform"], index["shards"]
        self.sizes = [shard["samples"] for shard in self._shards]
        self._ends = list(accumulate(self.sizes))
        self._lists: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()
        for shard in self._shards:
            file = self.folder / shard["file"]
            if not file.is_file():
                raise FileNotFoundError(
                    f"{self.folder} must hold the {len(self._shards)} shards of its {INDEX}; {file.name} is missing; "
                    f"copy it again, or delete {INDEX} and call write_shards, which makes what is missing"
                )
            if (found := file.stat().st_size) != shard["bytes"]:
                raise ValueError(_other(file, f"{shard['bytes']} bytes", f"{found}"))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lists": OrderedDict()}

    def read(self, index: int, item: Mapping[str, Any] | None = None, whole: bool = True) -> Any:
        """Return a prepared sample.

        Args:
            index: its place in the data set.
            item: the data set's item of that place; None reads without a look at it.
            whole: False returns large tensors as :class:`medvol.data.chunked.ChunkedArray`, where they are stored so.

        Raises:
            IndexError: no such place.
            ValueError: the sample is of another item, or the shard is damaged.
            FileNotFoundError: the shard is gone.
        """
        number, record = self._find(index)
        if item is not None:
            self._compare(index, record, item)
        file = self.folder / self._shards[number]["file"]
        try:
            return decode(file, record["files"], whole)
        except FileNotFoundError:
            raise
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(_other(file, f"a sample at place {index}", str(error))) from error

    def check(self, transform: str | None, items: Sequence[Mapping[str, Any]], every: bool = False) -> None:
        """Refuse shards that were made by other transforms or of other items.

        The number of items and a seeded sample of 100 are compared here, every other item when it is read.

        Args:
            transform: of :func:`medvol.data.cache.transform_key`.
            items: the data set's items.
            every: compare all of them now.

        Raises:
            ValueError: says what differs.
        """
        if transform != self.transform:
            raise ValueError(
                f"the shards in {self.folder} must be made by the data set's own deterministic transforms "
                f"({str(transform)[:8]}); found {self.transform[:8]}; write shards into another folder"
            )
        if len(items) != len(self):
            raise ValueError(
                f"the shards in {self.folder} must hold one sample for each of the {len(items)} items; found "
                f"{len(self)}; use the items they were written from, or write shards into another folder"
            )
        places = np.random.RandomState(0).permutation(len(self))[: None if every else _SAMPLE]
        for index in sorted(places.tolist()):
            self._compare(index, self._find(index)[1], items[index])

    def items(self) -> Sequence[dict[str, Any]]:
        """Return an item for each sample, to read the shards where the original files are not at hand.

        Each holds ``case`` and ``patient``, where the original had them, and ``shard_key``, the name of the original's
        content: shards of other content refuse it.
        """
        return ShardItems(self)

    def _find(self, index: int) -> tuple[int, dict[str, Any]]:
        place = range(len(self))[index]
        number = bisect_right(self._ends, place)
        return number, self._samples(number)[place - self._ends[number] + self.sizes[number]]

    def _samples(self, number: int) -> list[dict[str, Any]]:
        if number not in self._lists:
            shard = self._shards[number]
            file = self.folder / shard["list"]
            content = file.read_bytes() if file.is_file() else b""
            if hashlib.sha256(content).hexdigest() != shard["list_sha256"]:
                raise ValueError(_other(file, f"SHA-256 {shard['list_sha256']}", "another, or no file"))
            self._lists[number] = json.loads(content)["samples"]
            if len(self._lists) > _KEPT:
                self._lists.popitem(last=False)
        self._lists.move_to_end(number)
        return self._lists[number]

    def _compare(self, index: int, record: Mapping[str, Any], item: Mapping[str, Any]) -> None:
        if record["key"] != key_of(item):
            raise ValueError(
                f"sample {index} of the shards in {self.folder} must be of item '{item.get('case', index)}' as it is "
                f"now; found another content, of item '{record.get('case', index)}'; write shards into another folder, "
                "or give the manifest checksums if only its place changed (manifest verify --write)"
            )


class ShardItems(Sequence):
    """What stands in shards, as items; see :meth:`Shards.items`.

    Args:
        shards: the shards.
    """

    def __init__(self, shards: Shards) -> None:
        self.shards = shards

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        record = self.shards._find(index)[1]
        return {"shard_key": record["key"], **{k: record[k] for k in ("case", "patient") if k in record}}


def open_shards(folder: str | Path) -> Shards:
    """Open a folder of shards; the number and the sizes of its files are compared with its index.

    Raises:
        FileNotFoundError: the folder is not finished, or a shard is missing.
        ValueError: another format, or a shard of another size.

    Example:
        >>> open_shards("no such folder")
        Traceback (most recent call last):
        FileNotFoundError: shards must be a folder with the file shards.json, which write_shards writes last; ...
    """
    return Shards(folder)


def verify_shards(folder: str | Path) -> list[str]:
    """Read every shard and compare its checksum.

    Returns:
        What is wrong, one line per file; empty if nothing is.

    Raises:
        FileNotFoundError: the folder is not finished.

    Example:
        >>> verify_shards("no such folder")
        Traceback (most recent call last):
        FileNotFoundError: shards must be a folder with the file shards.json, which write_shards writes last; ...
    """
    folder, wrong = Path(folder).expanduser().absolute(), []
    for shard in read_index(folder)["shards"]:
        for name, expected in ((shard["file"], shard["sha256"]), (shard["list"], shard["list_sha256"])):
            file = folder / name
            found = checksum(file) if file.is_file() else "no file"
            if found != expected:
                wrong.append(_other(file, f"SHA-256 {expected}", found))
    return wrong


def key_of(item: Mapping[str, Any]) -> str:
    """Return the name of an item's content, for an item of :meth:`Shards.items` that of the original."""
    return item["shard_key"] if "shard_key" in item else item_key(item)


def read_index(folder: Path) -> dict[str, Any]:
    """Return what the index of a finished folder says.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is of another format.
    """
    file = folder / INDEX
    if not file.is_file():
        raise FileNotFoundError(
            f"shards must be a folder with the file {INDEX}, which write_shards writes last; found none in {folder}; "
            "correct the path, or call write_shards again, which goes on where it stopped"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = content["medvol_shards"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(_other(file, "an index of shards", f"{type(error).__name__}: {error}")) from error
    if found != FORMAT:
        raise ValueError(_other(file, f"an index of format {FORMAT}", f"format {found}"))
    return content


def _other(file: Path, expected: str, found: str) -> str:
    return (
        f"{file} must be {expected}; found {found}; delete it and {INDEX}, and call write_shards, which makes it again"
    )
