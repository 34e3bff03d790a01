"""The clock of a training run: which micro-batch opens, closes and weighs which optimizer step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from dataclasses import dataclass

import numpy as np


def num_epochs(steps: int, steps_per_epoch: int) -> int:
    """Return how many epochs hold ``steps`` optimizer steps; the last epoch may be shorter.

    Args:
        steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch.

    Raises:
        ValueError: when one of the two is smaller than 1.

    Example:
        >>> num_epochs(300, 50), num_epochs(301, 50), num_epochs(2, 50)
        (6, 7, 1)
    """
    for name, value in (("steps", steps), ("steps_per_epoch", steps_per_epoch)):
        if value < 1:
            raise ValueError(f"expected {name} >= 1, found {value}; give the number of optimizer steps")
    return math.ceil(steps / steps_per_epoch)


def derive_seed(*parts: int) -> int:
    """Return a 63-bit seed that depends on every one of the given non-negative integers.

    Neighboring parts give unrelated seeds (numpy's ``SeedSequence``), so no generator state has to be stored: the seed
    of a micro-batch is arithmetic in its number.

    Example:
        >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class Grouping:
    """How the micro-batches of an epoch form the groups whose gradients make one optimizer step each.

    Micro-batches are numbered 1, 2, ... over the whole training, as ignite's ``state.iteration`` is. Only a finite
    loader's last group of an epoch can be incomplete; it is divided by its own size.

    Args:
        epoch_length: micro-batches of one epoch.
        accumulation_steps: micro-batches of a complete group.

    Example:
        >>> grouping = Grouping(epoch_length=5, accumulation_steps=2)
        >>> [grouping.size(i) for i in range(1, 6)], [grouping.closes(i) for i in range(1, 6)]
        ([2, 2, 2, 2, 1], [False, True, False, True, True])
    """

    epoch_length: int
    accumulation_steps: int

    @property
    def groups_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return math.ceil(self.epoch_length / self.accumulation_steps)

    def _place(self, micro_batch: int) -> int:
        return (micro_batch - 1) % self.epoch_length

    def size(self, micro_batch: int) -> int:
        """Return the number of micro-batches in the group of this one."""
        first = self._place(micro_batch) // self.accumulation_steps * self.accumulation_steps
        return min(self.accumulation_steps, self.epoch_length - first)

    def opens(self, micro_batch: int) -> bool:
        """Whether this micro-batch is the first of its group."""
        return self._place(micro_batch) % self.accumulation_steps == 0

    def closes(self, micro_batch: int) -> bool:
        """Whether the optimizer steps after this micro-batch."""
        place = self._place(micro_batch)
        return (place + 1) % self.accumulation_steps == 0 or place + 1 == self.epoch_length

    def micro_batches(self, groups: int) -> int:
        """Return how many micro-batches the first ``groups`` groups of the training hold."""
        epochs, rest = divmod(groups, self.groups_per_epoch)
        return epochs * self.epoch_length + rest * self.accumulation_steps


def group_micro_batches(loader: Iterable, steps_per_epoch: int | None, accumulation_steps: int) -> Grouping:
    """Return the grouping of a loader: of a given number of steps per epoch, or of one pass over a finite loader.

    Args:
        loader: yields micro-batches.
        steps_per_epoch: optimizer steps per epoch; ``None`` takes one pass over the loader, which then needs a length.
        accumulation_steps: micro-batches per optimizer step.

    Raises:
        ValueError: when the loader is empty, or a count is smaller than 1, or the length of the epoch is unknown.
    """
    if accumulation_steps < 1:
        raise ValueError(f"expected accumulation_steps >= 1, found {accumulation_steps}; 1 means no accumulation")
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise ValueError(f"expected steps_per_epoch >= 1, found {steps_per_epoch}; give the optimizer steps per epoch")
    length = loader_length(loader)
    if length == 0:
        raise ValueError(
            "expected a loader with at least one batch, found an empty one; "
            "add cases, or lower batch_size where incomplete batches are dropped"
        )
    if steps_per_epoch is not None:
        return Grouping(steps_per_epoch * accumulation_steps, accumulation_steps)
    if length is None or getattr(loader, "stream", None) is not None:
        raise ValueError("expected steps_per_epoch, found None for a loader without an end; give the steps per epoch")
    return Grouping(length, accumulation_steps)


def loader_length(loader: Iterable) -> int | None:
    """Return the number of batches of a loader, ``None`` where it has none (an endless stream, a generator)."""
    if not isinstance(loader, Sized):
        return None
    try:
        return len(loader)
    except TypeError:  # a DataLoader has __len__, but its sampler or iterable data set may have none
        return None
