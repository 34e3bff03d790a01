"""The data set of a run: its deterministic part cached on disk, its random part seeded by the place in the stream."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset, MetaTensor, list_data_collate
from monai.transforms import Compose, Transform
from monai.transforms.traits import RandomizableTrait
from torch.utils.data import DataLoader

from medvol import distributed

from .bound import size_bound
from .cache import cache_root, item_key, read_or_make, transform_key
from .entries import refusal
from .partner import PREFIX, Partners, with_partner
from .shards import Shards
from .stream import StreamSampler

CHUNKED_FROM = 32 * 2**20  # bytes of a volume; below, reading chunks gains nothing on reading pages


class StreamDataset(Dataset):
    """A MONAI data set whose samples depend on (seed, position) only, never on a worker's state.

    The transforms before the first random one run once per item; their result is kept on disk as plain tensors, under a
    name made of the item and of those transforms, so that neither a changed file nor a changed transform reads a stale
    entry. The others run each time, every one with its own seed drawn from (seed, position). The samples are therefore
    the same bits for any number of workers, and after any resume.

    Metadata end here: what leaves are ordinary tensors. For predictions that go back to the native grid use MONAI's
    own ``Dataset``.

    Where the first random transform has an attribute ``reads_parts`` that is true (``RandPatchGridd``,
    ``RandForegroundCropd``, ``RandReadCropd``, ``RandReadCropByPosNegLabeld`` of :mod:`medvol.transforms`), large
    volumes are kept compressed in chunks, and it gets them as :class:`medvol.data.chunked.ChunkedArray`: it cuts from
    them, and only the chunks that it cuts are read. Every other transform gets whole tensors.

    Args:
        data: items, for instance of :meth:`medvol.data.Manifest.items`; None, with shards, for the items that these
            were written from.
        transform: MONAI dictionary transforms; nested ``Compose`` are flattened.
        seed: seed of every random transform, 0 or more.
        cache_dir: folder of the cache; None for ``volumes`` in :func:`medvol.data.cache_root`. Its size is bounded by
            the environment variable ``MEDVOL_CACHE_SIZE``, if that is set.
        chunked_from: bytes of a volume from which its entry is stored in chunks.
        shards: folder of :func:`medvol.data.shard_writer.write_shards`, read in place of the cache.
        partner: key of the items, such as "patient". Each sample then also carries, under ``partner_image`` and so on,
            what the deterministic transforms made of a second item, which has another value under that key and is
            drawn from (seed, position). All other draws stay what they are. None for no second item.

    Raises:
        ValueError: a negative seed, a bound that is no size, shards of other transforms or items, or items that have no
            partner: a key they lack, or one value for all of them.
        OSError: the cache folder cannot be made.

    Example:
        >>> import tempfile, torch
        >>> from monai.transforms import Compose, RandFlipd
        >>> flip = Compose([RandFlipd("image", prob=0.5)])
        >>> dataset = StreamDataset([{"image": torch.arange(8.0).reshape(1, 2, 2, 2)}], flip, 0, tempfile.mkdtemp())
        >>> all(torch.equal(dataset[0, 7]["image"], dataset[0, 7]["image"]) for _ in range(8))
        True
    """

    def __init__(
        self,
        data: Sequence[Any] | None,
        transform: Sequence[Callable] | Callable,
        seed: int,
        cache_dir: str | Path | None = None,
        chunked_from: int = CHUNKED_FROM,
        shards: str | Path | None = None,
        partner: str | None = None,
    ) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more; found {seed}; choose another seed")
        self.shards = Shards(shards) if shards is not None else None
        if data is None:
            if self.shards is None:
                raise ValueError("data must be a list of items unless shards are named; found None; pass the items")
            data = self.shards.items()
        super().__init__(data, transform)
        # An empty data set is refused by its loader.
        drawn = partner is not None and len(self) > 0
        self._partners = Partners(_groups(self, partner, "partner"), seed, partner) if drawn else None
        # MONAI takes a nested Compose for random even when nothing in it is; flat, the cut stands where it belongs.
        self.transform = self.transform.flatten() if type(self.transform) is Compose else Compose(self.transform)
        self.seed = seed
        parts = list(self.transform.transforms)
        # As in MONAI, what is no Transform may do anything, so it is not cached either.
        loose = [isinstance(part, RandomizableTrait) or not isinstance(part, Transform) for part in parts]
        cut = loose.index(True) if True in loose else len(parts)
        self._fixed, self._random = (_part(self.transform, chosen) for chosen in (parts[:cut], parts[cut:]))
        ways = {"lazy": self.transform.lazy, "overrides": self.transform.overrides}
        self._key = transform_key([*parts[:cut], ways]) if cut else None
        # A chain that needs all of a volume is served faster by a memory map than by unpacking.
        in_parts = cut < len(parts) and getattr(parts[cut], "reads_parts", False)
        self._chunked_from = chunked_from if in_parts else None
        self.cache_dir = Path(cache_dir) if cache_dir is not None else cache_root() / "volumes"
        if self.shards is not None:
            self.shards.check(self._key, data)
        elif self._key:
            size_bound()  # a wrong one is refused here, not at the first entry
            _make_folder(self.cache_dir)

    def __getitem__(self, index: int | slice | Sequence[int] | tuple[int, int]) -> Any:
        """Return a sample.

        Args:
            index: ``(index, position)`` of the stream; an index alone stands for the position of the same number. A
                slice or a list gives a ``Subset``, as in MONAI.
        """
        if isinstance(index, (slice, list)):
            return super().__getitem__(index)
        index, position = index if isinstance(index, tuple) else (index, index % max(len(self), 1))
        with _one_thread():
            item = self._item(index)
            if self._partners is not None:
                item = with_partner(item, self._item(self._partners.index(index, position)))
            seed = _seed_of(self.seed, position)
            self._random.set_random_state(seed=seed)
            with _global_generators(seed), _named(item):
                return _untracked(self._random(item))

    def entry(self, index: int) -> Path | None:
        """Return the file that keeps an item in the cache, whether it is there yet or not.

        Args:
            index: of the item in ``data``.

        Returns:
            The file; None where the cache is not used: with shards, or if nothing comes before the first random
            transform.

        Example:
            >>> import tempfile
            >>> from monai.transforms import RandFlipd
            >>> StreamDataset([{"image": 0}], RandFlipd("image"), 0, tempfile.mkdtemp()).entry(0) is None
            True
        """
        return None if self._key is None or self.shards is not None else self._file(self.data[index])

    def _item(self, index: int) -> Any:
        """Return what the deterministic transforms make of an item; nobody else holds it."""
        entry = self.data[index]
        if self.shards is not None:
            return self.shards.read(index, entry, whole=self._chunked_from is None)
        return self._load(entry)

    def _file(self, item: Any) -> Path:
        return self.cache_dir / f"{item_key(item)[:32]}-{self._key[:32]}.pt"

    def _load(self, item: Any) -> Any:
        # Copies, because a transform may work in place.
        if self._key is None:
            return deepcopy(item)
        return read_or_make(self._file(item), lambda: self._fixed(deepcopy(item)), self._chunked_from)


def stream_loader(
    dataset: Dataset, batch_size: int, seed: int, num_workers: int = 0, apart: str | None = None
) -> DataLoader:
    """Return an endless loader over a seeded stream; its attribute ``stream`` is the :class:`StreamSampler`.

    Args:
        dataset: a :class:`StreamDataset`, or any data set that takes ``(index, position)``.
        batch_size: examples per global batch, over all processes.
        seed: seed of the order.
        num_workers: processes that prepare batches; the batches do not depend on it.
        apart: key of the items, such as "patient", whose equal values are never neighbors in the stream, so that every
            global batch holds two of them at least; None keeps nothing apart.

    Returns:
        Loader of dicts without the key ``pretext`` (plain records for the preview) and without keys that hold None.

    Raises:
        ValueError: an empty data set, a batch that the processes cannot share equally, or items that cannot be kept
            apart: a key they lack, batches of one example, or one value that more than half of them have.
    """
    if len(dataset) == 0:
        raise ValueError(
            "training needs at least one example; found an empty data set; check the manifest's section, num_patients "
            "and whether labels are asked for"
        )
    shards = getattr(dataset, "shards", None)
    blocks = None if shards is None else shards.sizes
    groups = None if apart is None else _groups(dataset, apart, "apart")
    ranks = distributed.rank(), distributed.world_size()
    stream = StreamSampler(len(dataset), seed, *ranks, batch_size, blocks, groups=groups)
    with warnings.catch_warnings():
        # The user chose the number; torch's advice counts only the processors this process may use.
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        loader = DataLoader(
            dataset,
            batch_sampler=stream,
            num_workers=num_workers,
            collate_fn=collate_stream,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator().manual_seed(seed),  # else every iteration draws from the global generator
        )
    loader.stream = stream
    return loader


def collate_stream(samples: Sequence[Any]) -> dict[str, Any]:
    """Stack samples into a batch, without the key ``pretext`` and without keys that hold None.

    Annotations that no transform has read stay out, too: of partly labelled data only some samples have them, and a
    pretext task needs none.

    Args:
        samples: dicts, or lists of dicts where a transform makes several of one item.

    Raises:
        ValueError: the samples do not have the same keys.

    Example:
        >>> collate_stream([{"patient": 3, "label": None, "pretext": {"class": 1}}, {"patient": 4, "label": None}])
        {'patient': tensor([3, 4])}
    """
    flat = [one for sample in samples for one in (sample if isinstance(sample, list) else [sample])]
    kept = [{k: v for k, v in sample.items() if v is not None and not _is_unread(k, v)} for sample in flat]
    for sample in kept:
        different = sorted(set(sample) ^ set(kept[0]))
        if different:
            raise ValueError(
                f"samples of a batch must have the same keys; {', '.join(different)} is missing in some; give every "
                "item a value, or delete the key with DeleteItemsd"
            )
    return list_data_collate(kept)


def _is_unread(key: str, value: Any) -> bool:
    """Say whether a value is a record, or an annotation as a manifest states it: a file or files, words, a table."""
    name = str(key).removeprefix(PREFIX)
    return name == "pretext" or (name in ("label", "targets") and isinstance(value, (str, list, tuple, Mapping)))


def _groups(dataset: Dataset, key: str, option: str) -> list[Any]:
    """Return the value of every item under the key that an option names."""
    items = getattr(dataset, "data", None)
    lacking = next((item for item in items or [None] if not isinstance(item, Mapping) or key not in item), None)
    if not items or lacking is not None:
        found = f"keys {', '.join(map(str, lacking))}" if isinstance(lacking, Mapping) else "no items with keys"
        raise ValueError(
            f"{option} must be a key of every item of the data set; found {key!r}, and {found}; items of a manifest "
            'have "patient"'
        )
    return [item[key] for item in items]


def _part(whole: Compose, transforms: Sequence[Callable]) -> Compose:
    settings = {"map_items": whole.map_items, "unpack_items": whole.unpack_items, "lazy": whole.lazy}
    return Compose(transforms, log_stats=whole.log_stats, overrides=whole.overrides, **settings)


def _seed_of(seed: int, position: int) -> int:
    return int(np.random.SeedSequence((seed, position)).generate_state(1)[0])


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(folder, error) from error


def _untracked(sample: Any) -> Any:
    """Return the sample with ordinary tensors: metadata do not belong in a loss, and stacking them costs time."""
    if isinstance(sample, MetaTensor):
        return sample.as_tensor()
    if isinstance(sample, Mapping):
        return {key: _untracked(value) for key, value in sample.items()}
    return [_untracked(value) for value in sample] if isinstance(sample, list) else sample


@contextlib.contextmanager
def _named(sample: Any) -> Iterator[None]:
    """Say of which case and partner a sample was, if a transform fails on it; from Python 3.11 on."""
    try:
        yield
    except Exception as error:
        keys = ("case", "patient", "partner_case", "partner_patient")
        who = [f"{key} {sample[key]!r}" for key in keys if key in sample] if isinstance(sample, Mapping) else []
        if who and hasattr(error, "add_note"):
            error.add_note(f"while a sample was made of {', '.join(who)}")
        raise


@contextlib.contextmanager
def _global_generators(seed: int) -> Iterator[None]:
    # Some transforms, those of torchvision among them, draw from these: else another worker draws other numbers.
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what those transforms use)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    # A worker has one thread, and a sum over several threads ends in other bits.
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
