"""Measure a few steps, samples and validations of a built trainer or evaluator: seconds, bytes and memory."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch.utils._pytree import tree_leaves

_LOOKED_AT = 1000  # items whose entry in the cache is looked for; of more, this many in even steps
_CASES = 2  # cases or batches of a validation that count; one before them is slow and does not


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
    if stream is None or not hasattr(dataset, "entry") or dataset.entry(0) is None:
        return Preparation(len(dataset))
    cold, sizes = [], []
    for index, position in itertools.chain.from_iterable(stream.batch(number) for number in range(batches)):
        file = dataset.entry(index)
        if file.is_file():
            sizes.append(file.stat().st_size)
            continue
        first = _seconds(dataset, index, position)
        cold.append(max(0.0, first - _seconds(dataset, index, position)))
        sizes.append(file.stat().st_size if file.is_file() else 0)
    chosen = range(0, len(dataset), max(1, len(dataset) // _LOOKED_AT))
    missing = [index for index in chosen if not dataset.entry(index).is_file()]
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
    """Return the seconds of one validation, from at most three cases or batches of it.

    Args:
        validator: a MONAI evaluator, or has ``run(trainer)`` and, perhaps, ``num_batches``.
        trainer: the trainer it belongs to.
    """
    if isinstance(validator, Evaluator):
        _, per_case, cases = case_seconds(validator)
        return per_case * cases
    whole = getattr(validator, "num_batches", None)
    tried = whole if whole is None else min(_CASES, whole)
    if whole is not None:
        validator.num_batches = 1
        validator.run(trainer)  # workers start, the network meets its inputs for the first time
        validator.num_batches = tried
    begin = perf_counter()
    validator.run(trainer)
    return (perf_counter() - begin) * (1 if whole is None else whole / tried)


def case_seconds(evaluator: Evaluator) -> tuple[float, float, int]:
    """Run at most three iterations of an evaluator.

    Returns:
        Seconds of the first, which is slower; seconds of each of the others, on average; how many it would make.
    """
    iterations = evaluator.state.epoch_length
    done: list[float] = []

    def note(engine: Engine) -> None:
        done.append(perf_counter())
        if len(done) > _CASES:
            engine.terminate()

    evaluator.add_event_handler(Events.ITERATION_COMPLETED, note)  # after scoring and writing of the case
    begin = perf_counter()
    evaluator.run()
    first = done[0] - begin if done else 0.0
    typical = (done[-1] - done[0]) / (len(done) - 1) if len(done) > 1 else first
    return first, typical, int(iterations or len(done))


def peak_memory() -> int | None:
    """Return the largest resident set so far of this process and of its children, in bytes; None if unknown."""
    own = _peak_of("self")
    if own is not None:
        children = (_peak_of(str(child.pid)) for child in multiprocessing.active_children())
        return own + sum(peak for peak in children if peak is not None)  # one that ended meanwhile tells nothing
    try:
        import resource
        import sys
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak_of(pid: str) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # no Linux, or no such process
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def forget_peak() -> None:
    """Begin to measure the peak of the resident set anew, where the system can."""
    with contextlib.suppress(OSError):  # no Linux, or not allowed: then the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def tensor_bytes(state: Any) -> int:
    """Return the bytes of all tensors in nested lists and dicts, each storage whole and once, as they are saved.

    Example:
        >>> tensor_bytes({"a": torch.zeros(3), "b": [torch.zeros(2, dtype=torch.float64)]})
        28
    """
    storages = [leaf.untyped_storage() for leaf in tree_leaves(state) if isinstance(leaf, torch.Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _seconds(dataset: Sequence[Any], index: int, position: int) -> float:
    begin = perf_counter()
    dataset[index, position]
    return perf_counter() - begin
