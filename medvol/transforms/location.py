"""Relative patch location: in which direction from the central patch another one lies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

__all__ = ["RandRelativeLocationd", "center_of", "center_pairs", "location_names"]

_IGNORED = -100


class RandRelativeLocationd(RandomizableTransform, MapTransform):
    """Label every patch of a grid with its place as seen from the central one.

    Taleb et al. 2020 (https://arxiv.org/abs/2006.03829, section 3.2) and, for two patches of an image, Doersch et al.
    2015 (https://arxiv.org/abs/1505.05192). The central patch and a query are shown, and which of the N - 1 other
    places the query comes from is to be told. The query with raster index ``q`` has the class ``y = q - [q > c]``, c
    the index of the center; ``q = y + [y >= c]`` undoes it. The patches stay as :class:`RandPatchGridd` cut them: all N
    are encoded once and form N - 1 pairs (:func:`center_pairs` for :class:`medvol.networks.SetClassifier`), where the
    reference code draws one pair per volume.

    Pairs of which a patch has too little foreground get the label -100: an empty corner tells its place by being empty,
    and the eight corners cannot be told apart.

    Args:
        keys: patches ``(N, C, *patch)`` in raster order; checked only.
        grid: patches per axis, as in :class:`RandPatchGridd`; each number odd.
        queries: labelled pairs per volume, drawn among the valid ones; None labels all.
        foreground_key: ``(N,)``, the fraction of foreground in each patch.
        threshold: least fraction of foreground of center and query.
        label_key: where the labels ``(N - 1,)``, int64, are stored.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if an axis has an even number of patches, which has no center, or there is one patch only; when
            called, if the patches do not fit the grid.

    Example:
        >>> sample = {"image": torch.zeros(9, 1, 4, 4), "foreground": torch.tensor([0.0] + [1.0] * 8)}
        >>> RandRelativeLocationd("image", grid=[3, 3])(sample)["label"].tolist()
        [-100, 1, 2, 3, 4, 5, 6, 7]
    """

    def __init__(
        self,
        keys: KeysCollection,
        grid: Sequence[int],
        queries: int | None = None,
        foreground_key: Hashable = "foreground",
        threshold: float = 0.1,
        label_key: Hashable = "label",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.grid = tuple(int(cells) for cells in grid)
        self.center = center_of(self.grid)
        self.count = math.prod(self.grid)
        if queries is not None and not 1 <= queries <= self.count - 1:
            raise ValueError(f"expected queries from 1 to {self.count - 1}, found {queries}; None takes all pairs")
        self.queries, self.threshold = queries, threshold
        self.foreground_key, self.label_key = foreground_key, label_key
        self._kept = np.zeros(0, dtype=int)

    def randomize(self, valid: np.ndarray) -> None:
        """Draw which of the valid classes ``(n,)`` are asked for."""
        few = self.queries is not None and self.queries < len(valid)
        self._kept = np.sort(self.R.permutation(valid)[: self.queries]) if few else valid

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with its labels."""
        d = dict(data)
        for key in self.key_iterator(d):
            _check_count(key, d[key], self.count, self.grid)
        foreground = np.asarray(d[self.foreground_key]) >= self.threshold  # (N,)
        queries = np.delete(np.arange(self.count), self.center)
        self.randomize(np.flatnonzero(foreground[queries] & foreground[self.center]))
        label = torch.full((self.count - 1,), _IGNORED)
        label[self._kept] = torch.as_tensor(self._kept)
        d[self.label_key] = label
        asked = set(queries[self._kept].tolist())
        roles = ["query" if patch in asked else "not asked" for patch in range(self.count)]
        roles[self.center] = "center"
        names = np.insert(np.arange(self.count - 1).astype(object), self.center, "center").tolist()
        d["pretext"] = {**d.get("pretext", {}), "roles": roles, "names": [str(name) for name in names]}
        return d


def center_of(grid: Sequence[int]) -> int:
    """Return the raster index of the central patch of a grid.

    Raises:
        ValueError: if an axis has an even number of patches, naming it, or the grid has one patch.

    Example:
        >>> center_of((3, 3, 3)), center_of((1, 3, 5))
        (13, 7)
    """
    for axis, cells in enumerate(grid):
        if cells % 2 == 0:
            raise ValueError(
                f"axis {axis}: expected an odd number of patches, so that one is the center, found {cells}; use "
                f"{cells - 1} or {cells + 1} on this axis of grid"
            )
    if math.prod(grid) < 3:
        raise ValueError(
            f"expected a grid with more than one patch on some axis, found {tuple(grid)}; 3 on each axis is usual"
        )
    return (math.prod(grid) - 1) // 2


def center_pairs(grid: Sequence[int]) -> Tensor:
    """Return the pairs (center, query) of a grid in the order of their classes, ``(N - 1, 2)`` raster indices.

    Args:
        grid: patches per axis, each number odd.

    Raises:
        ValueError: as :func:`center_of`.

    Example:
        >>> center_pairs((3,)).tolist()
        [[1, 0], [1, 2]]
    """
    center = center_of(grid)
    queries = torch.cat([torch.arange(center), torch.arange(center + 1, math.prod(grid))])
    return torch.stack([torch.full_like(queries, center), queries], dim=1)


def location_names(grid: Sequence[int]) -> list[str]:
    """Name the classes of a grid by the steps from the center along each axis.

    Args:
        grid: patches per axis, each number odd.

    Example:
        >>> location_names((3, 1))
        ['-1,0', '+1,0']
    """
    center = center_of(grid)
    steps = itertools.product(*(range(-(cells // 2), cells // 2 + 1) for cells in grid))
    names = [",".join(f"{step:+d}" if step else "0" for step in place) for place in steps]
    return names[:center] + names[center + 1 :]


def _check_count(key: Hashable, image: Any, count: int, grid: Sequence[int]) -> None:
    if len(image) != count:
        raise ValueError(
            f"expected {count} patches under {key!r} for the grid {tuple(grid)}, found {len(image)}; cut them with "
            "RandPatchGridd on the same grid"
        )
