"""Measure a few steps, samples and validations of a built trainer or evaluator: seconds, bytes and memory."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from medvol.data.cache import item_key

_LOOKED_AT = 1000  # items whose entry in the cache is looked for; of more, this many in even steps
_CASES = 2  # cases or batches of a validation


@dataclass(frozen=True)
class Preparation:
    """What it takes to prepare the items of a data set.

    Attributes:
        items: number of items.
        uncached: how many of them are not in the cache.
        seconds: to prepare one of them for the cache.
        bytes: of one entry of the cache.
    """

    items: int = 0
    uncached: int = 0
    seconds: float = 0.0
    bytes: int = 0


def prepare(loader: Any, batches: int) -> Preparation:
    """Load the samples of the first batches, so that a cold cache is measured here and not as a part of a step.

    Args:
        loader: a ``medvol.data.stream_loader``; of any other loader only the items are counted.
        batches: how many batches.
    """
    dataset, stream = loader.dataset, getattr(loader, "stream", None)
    if stream is None or getattr(dataset, "_key", None) is None or dataset.shards is not None:
        return Preparation(len(dataset))
    cold, sizes = [], []
    for index, position in itertools.chain.from_iterable(stream.batch(number) for number in range(batches)):
        file = _entry(dataset, index)
        if file.is_file():
            sizes.append(file.stat().st_size)
            continue
        first = _seconds(dataset, index, position)
        cold.append(max(0.0, first - _seconds(dataset, index, position)))
        sizes.append(file.stat().st_size if file.is_file() else 0)
    chosen = range(0, len(dataset), max(1, len(dataset) // _LOOKED_AT))
    missing = [index for index in chosen if not _entry(dataset, index).is_file()]
    if missing and not cold:  # the batches were cached, others are not
        index = missing.pop()
        cold.append(max(0.0, _seconds(dataset, index, index) - _seconds(dataset, index, index)))
    uncached = round(len(missing) * len(dataset) / len(chosen)) if missing else 0
    return Preparation(len(dataset), uncached, median(cold or [0.0]), round(mean(sizes or [0])))


def step_seconds(trainer: Engine, steps: int) -> tuple[float, float]:
    """Train some optimizer steps.

    Args:
        trainer: a ``medvol.engines.Trainer``.
        steps: how many.

    Returns:
        Seconds until the first step was made, and seconds per step: the median after the first two; with several
        workers, whose batches come in bursts, the mean.
    """
    done: list[float] = []

    def note(engine: Engine) -> None:
        if engine.state.stepped:
            done.append(perf_counter())
        if len(done) >= steps:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    begin = perf_counter()
    trainer.run()
    gaps = [after - before for before, after in itertools.pairwise(done)]
    typical = mean if getattr(trainer.data_loader, "num_workers", 0) > 1 else median
    first = done[0] - begin if done else 0.0
    return first, typical(gaps[1:] or gaps or [first])


def validation_seconds(validator: Any, trainer: Any) -> float:
    """Return the seconds of one validation, from at most two cases or batches of it.

    Args:
        validator: a MONAI evaluator, or has ``run(trainer)`` and, perhaps, ``num_batches``.
        trainer: the trainer it belongs to.
    """
    if isinstance(validator, Evaluator):
        per_case, cases = case_seconds(validator)
        return per_case * cases
    whole = getattr(validator, "num_batches", None)
    tried = whole if whole is None else min(_CASES, whole)
    if whole is not None:
        validator.num_batches = tried
    begin = perf_counter()
    validator.run(trainer)
    return (perf_counter() - begin) * (1 if whole is None else whole / tried)


def case_seconds(evaluator: Evaluator) -> tuple[float, int]:
    """Return the seconds per iteration of an evaluator, from at most two of them, and how many it would make."""
    iterations = evaluator.state.epoch_length
    done: list[float] = []

    def note(engine: Engine) -> None:
        done.append(perf_counter())
        if len(done) >= _CASES:
            engine.terminate()

    evaluator.add_event_handler(Events.ITERATION_COMPLETED, note)  # after scoring and writing of the case
    begin = perf_counter()
    evaluator.run()
    return (done[-1] - begin) / len(done) if done else 0.0, int(iterations or len(done))


def peak_memory() -> int | None:
    """Return the largest resident set so far of this process and of its children, in bytes; None if unknown."""
    try:
        pids = ["self", *(str(child.pid) for child in multiprocessing.active_children())]
        lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except OSError:
        pass  # no Linux
    try:
        import resource
        import sys
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def forget_peak() -> None:
    """Begin to measure the peak of the resident set anew, where the system can."""
    with contextlib.suppress(OSError):  # no Linux, or not allowed: then the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def tensor_bytes(state: Any) -> int:
    """Return the bytes of all tensors in nested lists and dicts, each storage once.

    Example:
        >>> tensor_bytes({"a": torch.zeros(3), "b": [torch.zeros(2, dtype=torch.float64)]})
        28
    """
    seen: dict[int, int] = {}
    _collect(state, seen)
    return sum(seen.values())


def _collect(state: Any, seen: dict[int, int]) -> None:
    if isinstance(state, torch.Tensor):
        seen[state.data_ptr() or id(state)] = state.numel() * state.element_size()
    entries: Iterable[Any] = state.values() if isinstance(state, dict) else state
    if isinstance(state, (dict, list, tuple)):
        for entry in entries:
            _collect(entry, seen)


def _entry(dataset: Any, index: int) -> Path:
    # As StreamDataset names it; counting entries is cheaper than making them.
    return dataset.cache_dir / f"{item_key(dataset.data[index])[:32]}-{dataset._key[:32]}.pt"


def _seconds(dataset: Sequence[Any], index: int, position: int) -> float:
    begin = perf_counter()
    dataset[index, position]
    return perf_counter() - begin
