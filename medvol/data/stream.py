"""The endless order of examples: seeded permutations in a chain, cut into global batches, the same on every machine."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import count

import numpy as np
from torch.utils.data import Sampler

from .apart import check_apart, first_of, spread

WINDOW = 4  # shards whose samples are mixed: a few files are open, and a batch has neighbors from all of them


class StreamSampler(Sampler[list[tuple[int, int]]]):
    """Batches of an endless chain of permutations; where one stands is arithmetic in the batch's number.

    Position q of the stream is entry q mod n of permutation q // n, and permutation e is drawn from (seed, e). Batch b
    covers positions b*B to (b+1)*B - 1, of which each rank takes its consecutive share. Nothing is lost, repeated or
    dependent on the number of ranks, and a run that stopped after b batches goes on with ``start_batch = b``.

    With ``blocks``, the sizes of shards, permutation e first orders the shards and then permutes the samples of each
    run of ``window`` consecutive shards: examples that come one after another lie in a few files, and the next
    permutation brings other shards together.

    Args:
        n: number of examples in the data set.
        seed: seed of all permutations, 0 or more.
        rank: number of this process.
        world: number of processes.
        batch_size: examples per *global* batch, B; ``world`` must divide it.
        blocks: number of consecutive examples in each shard; None permutes all examples at once.
        window: shards whose samples are mixed.
        groups: for each example what keeps it apart from others, for instance its patient; None keeps none apart.

    Attributes:
        start_batch: number of the first batch of the next iteration.

    Raises:
        ValueError: an empty data set, a batch that the processes cannot share equally, a value out of range, or groups
            that cannot be kept apart: a batch of one example, or a group with more than half of all examples.

    Example:
        >>> whole = StreamSampler(5, seed=0, batch_size=4).batch(1)
        >>> halves = [StreamSampler(5, seed=0, rank=r, world=2, batch_size=4).batch(1) for r in (0, 1)]
        >>> whole == halves[0] + halves[1]
        True
    """

    def __init__(
        self,
        n: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        batch_size: int = 1,
        blocks: Sequence[int] | None = None,
        window: int = WINDOW,
        groups: Sequence[Hashable] | None = None,
    ) -> None:
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
        if blocks is not None and (min(blocks, default=0) < 1 or sum(blocks) != n):
            raise ValueError(
                f"blocks must be positive sizes that add up to the {n} examples; found {len(blocks)} of them, together "
                f"{sum(blocks)}; use the shards of this data set"
            )
        if window < 1:
            raise ValueError(f"window must be 1 shard or more; found {window}; choose more")
        self.groups = None if groups is None else check_apart(groups, n, batch_size)
        self.blocks, self.window = None if blocks is None else np.array(blocks), window
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
            order = self._drawn(turn)
            if self.groups is not None:
                order = spread(order, self.groups, first_of(self._drawn(turn + 1), self.groups))
            self._permutation = turn, order
        return int(self._permutation[1][place])

    def _drawn(self, turn: int) -> np.ndarray:
        """Return the permutation of that number as it is drawn."""
        # RandomState's draws are frozen across numpy versions; Generator's are not.
        generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence((self.seed, turn))))
        return generator.permutation(self.n) if self.blocks is None else self._by_blocks(generator)

    def _by_blocks(self, generator: np.random.RandomState) -> np.ndarray:
        first = np.cumsum(self.blocks) - self.blocks
        shards = generator.permutation(len(self.blocks))
        windows = [shards[i : i + self.window] for i in range(0, len(shards), self.window)]
        parts = (np.concatenate([first[s] + np.arange(self.blocks[s]) for s in chosen]) for chosen in windows)
        return np.concatenate([generator.permutation(part) for part in parts])
