"""The endless order of examples: seeded permutations in a chain, cut into global batches, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
from torch.utils.data import Sampler


class StreamSampler(Sampler[list[tuple[int, int]]]):
    """Batches of an endless chain of permutations; where one stands is arithmetic in the batch's number.

    Position q of the stream is entry q mod n of permutation q // n, and permutation e is drawn from (seed, e). Batch b
    covers positions b*B to (b+1)*B - 1, of which each rank takes its consecutive share. Nothing is lost, repeated or
    dependent on the number of ranks, and a run that stopped after b batches goes on with ``start_batch = b``.

    Args:
        n: number of examples in the data set.
        seed: seed of all permutations, 0 or more.
        rank: number of this process.
        world: number of processes.
        batch_size: examples per *global* batch, B; ``world`` must divide it.

    Attributes:
        start_batch: number of the first batch of the next iteration.

    Raises:
        ValueError: an empty data set, a batch that the processes cannot share equally, or a value out of range.

    Example:
        >>> whole = StreamSampler(5, seed=0, batch_size=4).batch(1)
        >>> halves = [StreamSampler(5, seed=0, rank=r, world=2, batch_size=4).batch(1) for r in (0, 1)]
        >>> whole == halves[0] + halves[1]
        True
    """

    def __init__(self, n: int, seed: int, rank: int = 0, world: int = 1, batch_size: int = 1) -> None:
        super().__init__()
        if n < 1:
            raise ValueError(
                f"a stream needs at least one example; found {n}; check the section and the filters of the data"
            )
        if seed < 0:
            raise ValueError(f"seed must be 0 or more; found {seed}; choose another seed")
        if not 0 <= rank < world:
            raise ValueError(f"rank must be from 0 to {world - 1}; found {rank}; pass the process's own number")
        if batch_size < 1 or batch_size % world:
            raise ValueError(
                f"batch_size counts the examples of all {world} processes and must be a positive multiple of {world}; "
                f"found {batch_size}; use {max(1, batch_size // world) * world}"
            )
        self.n, self.seed, self.rank, self.world, self.batch_size = n, seed, rank, world, batch_size
        self.start_batch = 0
        self._permutation: tuple[int, np.ndarray] | None = None

    def batch(self, number: int) -> list[tuple[int, int]]:
        """Return (index, position) of this rank's examples in the batch of that number."""
        share = self.batch_size // self.world
        first = number * self.batch_size + self.rank * share
        return [(self._index(position), position) for position in range(first, first + share)]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return (self.batch(number) for number in count(self.start_batch))

    def __len__(self) -> int:
        raise TypeError("a stream is endless and has no length; count optimizer steps instead")

    def _index(self, position: int) -> int:
        turn, place = divmod(position, self.n)
        if self._permutation is None or self._permutation[0] != turn:
            # RandomState's draws are frozen across numpy versions; Generator's are not.
            generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence((self.seed, turn))))
            self._permutation = turn, generator.permutation(self.n)
        return int(self._permutation[1][place])
