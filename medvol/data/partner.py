"""A second item for every sample, of another patient, drawn by the place in the stream."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["PREFIX", "Partners", "with_partner"]

PREFIX = "partner_"
"""How the keys of a partner begin."""

_DRAW = (1,)  # a seed sequence of its own beside the one of the sample's transforms, which must not change


class Partners:
    """Draws, for a place in the stream, an item of another group than the sample's own.

    Every item of another group is as likely as every other one. The draw depends on (seed, position) and on the item
    alone: it is the same for any number of workers and on any rank, and takes nothing from the transforms' draws.

    Args:
        groups: the group of each item, for instance its patient.
        seed: 0 or more.
        key: name of what tells the groups apart, for errors.

    Raises:
        ValueError: there are fewer than two groups, or a value that no group can have.

    Example:
        >>> partners = Partners(["a", "a", "b"], seed=0)
        >>> partners.index(0, position=7), partners.index(1, position=8)
        (2, 2)
    """

    def __init__(self, groups: Sequence[Hashable], seed: int, key: str = "patient") -> None:
        numbers: dict[Hashable, int] = {}
        try:
            self._codes = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
        except TypeError as error:
            raise ValueError(
                f"partner must be a key whose values can be compared, such as a number or a word; found another kind "
                f"under {key!r} ({error}); name another key"
            ) from error
        if len(numbers) < 2:
            found = f"only {next(iter(numbers))!r} in {len(groups)} items" if numbers else "no item"
            raise ValueError(
                f"a partner is an item of another {key}, so there must be at least 2 of them; found {found}; take more "
                "patients (num_patients), or another section of the manifest"
            )
        self.seed = seed
        self._order = np.argsort(self._codes, kind="stable")
        self._counts = np.bincount(self._codes)
        self._first = np.cumsum(self._counts) - self._counts

    def index(self, index: int, position: int) -> int:
        """Return the partner of an item at a position of the stream.

        Args:
            index: of the item.
            position: of the sample in the stream, 0 or more.
        """
        group = self._codes[index]
        sequence = np.random.SeedSequence((self.seed, position), spawn_key=_DRAW)
        generator = np.random.RandomState(np.random.MT19937(sequence))  # its draws are frozen across numpy versions
        place = generator.randint(len(self._codes) - self._counts[group])
        return int(self._order[place + self._counts[group] * (place >= self._first[group])])


def with_partner(sample: Any, partner: Any) -> dict[Hashable, Any]:
    """Return a sample with everything of another one beside it, each key behind ``partner_``.

    Args:
        sample: a dict.
        partner: a dict.

    Raises:
        ValueError: one of the two is no dict, or a key is taken.

    Example:
        >>> with_partner({"image": 1, "patient": 3}, {"image": 2, "patient": 5})
        {'image': 1, 'patient': 3, 'partner_image': 2, 'partner_patient': 5}
    """
    for one in (sample, partner):
        if not isinstance(one, Mapping):
            raise ValueError(
                f"a sample with a partner must be a dict after its deterministic transforms; found a "
                f"{type(one).__name__}; make several samples of one item after the first random transform only"
            )
    others = {f"{PREFIX}{key}": value for key, value in partner.items()}
    taken = sorted(set(others) & set(sample))
    if taken:
        raise ValueError(
            f"the keys of a partner must be free in the sample; found {', '.join(taken)} there; give them other names"
        )
    return {**sample, **others}
