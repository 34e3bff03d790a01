"""Jigsaw puzzles: the patches of a grid in another order."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform

__all__ = ["RandJigsawd"]

_IGNORED = -100


class RandJigsawd(RandomizableTransform, MapTransform):
    """Shuffle the patches of a grid and ask for the permutation, or for the place that each patch came from.

    Taleb et al. 2020 (https://arxiv.org/abs/2006.03829, section 3.3); in images Noroozi and Favaro 2016
    (https://arxiv.org/abs/1603.09246). The convention is a gather: place m of a puzzle holds patch ``pi[m]``, so that
    ``shuffled[argsort(pi)]`` is the grid again. ``image`` leaves as the first puzzle. Further puzzles of the same
    volume cost no encoding: they are stated as an order of its patches.

    With a list of permutations the label is the index of the one that was drawn. With fixed small lists two
    recognized patches give a puzzle away; ``permutations=None`` draws any permutation, and the labels are the raster
    places of all patches.

    A puzzle with an almost empty patch gets the label -100, for the pattern of empty patches alone would tell the
    permutation; a patch's own place is left out only where that patch is empty.

    Args:
        keys: patches ``(N, C, *patch)`` in raster order, all shuffled alike.
        permutations: ``(K, N)``, as :func:`permutation_set` gives; None for places.
        puzzles: puzzles per volume, different where permutations are listed.
        foreground_key: ``(N,)``, the fraction of foreground in each patch; shuffled along.
        threshold: least fraction of foreground in a patch.
        label_key: where the labels are stored: ``(puzzles,)`` indices, or ``(puzzles * N,)`` places, int64.
        order_key: where ``(puzzles, N)``, int64, is stored: the patches of ``image`` at the places of each puzzle.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if a row is no permutation, two rows are equal, or there are fewer permutations than puzzles; when
            called, if there are more or fewer patches than entries.

    Example:
        >>> sample = {"image": torch.arange(3.0).reshape(3, 1), "foreground": torch.ones(3)}
        >>> puzzle = RandJigsawd("image", [[2, 0, 1], [2, 0, 1][::-1]]).set_random_state(0)(sample)
        >>> puzzle["image"].flatten().tolist(), puzzle["label"].tolist(), puzzle["order"].tolist()
        ([1.0, 0.0, 2.0], [1], [[0, 1, 2]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        permutations: Sequence[Sequence[int]] | np.ndarray | None,
        puzzles: int = 1,
        foreground_key: Hashable = "foreground",
        threshold: float = 0.1,
        label_key: Hashable = "label",
        order_key: Hashable = "order",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.permutations = None if permutations is None else _checked(permutations)
        most = None if self.permutations is None else len(self.permutations)
        if puzzles < 1 or (most is not None and puzzles > most):
            raise ValueError(
                f"expected from 1 to {most or 'any number of'} puzzles per volume, found {puzzles}; each needs a "
                "permutation of its own"
            )
        self.puzzles, self.threshold = puzzles, threshold
        self.foreground_key, self.label_key, self.order_key = foreground_key, label_key, order_key
        self.classes = np.zeros(0, dtype=int)  # (puzzles,)
        self.drawn = np.zeros((0, 0), dtype=int)  # (puzzles, N)

    def randomize(self, count: int) -> None:
        """Draw a permutation of ``count`` patches for every puzzle."""
        if self.permutations is None:
            self.drawn = np.stack([self.R.permutation(count) for _ in range(self.puzzles)])
        else:
            self.classes = self.R.permutation(len(self.permutations))[: self.puzzles]
            self.drawn = self.permutations[self.classes]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with shuffled patches, the order of every puzzle, and labels."""
        d = dict(data)
        foreground = torch.as_tensor(d[self.foreground_key])
        count = len(foreground)
        if self.permutations is not None and count != self.permutations.shape[1]:
            raise ValueError(
                f"expected {self.permutations.shape[1]} patches, one for each entry of a permutation, found {count}; "
                "use one grid for RandPatchGridd and the permutations"
            )
        self.randomize(count)
        first = torch.as_tensor(self.drawn[0])
        for key in self.key_iterator(d):
            if len(d[key]) != count:
                raise ValueError(
                    f"expected {count} patches under {key!r}, as many as foreground fractions, found {len(d[key])}; "
                    "cut them with RandPatchGridd"
                )
            d[key] = torch.as_tensor(d[key])[first]
        d[self.foreground_key] = foreground[first]
        where = np.argsort(self.drawn[0])  # of each patch of the grid, in the shuffled image
        d[self.order_key] = torch.as_tensor(where[self.drawn])
        d[self.label_key] = self._label(foreground.numpy() >= self.threshold)
        record = {"permutation": self.drawn[0].tolist(), "orders": self.drawn.tolist()}
        if self.permutations is not None:
            record["class"] = self.classes.tolist() if self.puzzles > 1 else int(self.classes[0])
        d["pretext"] = {**d.get("pretext", {}), **record}
        return d

    def _label(self, tissue: np.ndarray) -> torch.Tensor:
        """Return the labels; ``tissue`` ``(N,)`` says of each patch of the grid whether it holds enough foreground."""
        if self.permutations is None:
            return torch.as_tensor(np.where(tissue[self.drawn], self.drawn, _IGNORED).ravel())
        return torch.as_tensor(self.classes if tissue.all() else np.full_like(self.classes, _IGNORED))


def _checked(permutations: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    rows = np.asarray(permutations)
    count = rows.shape[-1]
    if rows.ndim != 2 or not (np.sort(rows, axis=1) == np.arange(count)).all():
        raise ValueError(
            f"expected permutations (K, N) whose rows hold every number from 0 to {count - 1} once, found an array of "
            f"the shape {rows.shape} that does not; build it with permutation_set"
        )
    if len(np.unique(rows, axis=0)) != len(rows):
        raise ValueError("expected different permutations, found equal rows; each class must be one permutation")
    return rows.astype(np.int64)
