"""Sets of permutations that differ in many places, for jigsaw puzzles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["hamming_distances", "permutation_set"]

_SELECTIONS = ("auto", "algebraic", "greedy", "random")
_ALL_UP_TO = 9  # patches of which every permutation is a candidate: 9! = 362,880
_MANY = 200  # permutations, above which not all of 9! are candidates
_POOL = 20_000  # candidates of the greedy choice where there are more


def permutation_set(num_patches: int | Sequence[int], size: int, selection: str = "auto", seed: int = 0) -> np.ndarray:
    """Choose permutations whose Hamming distances are large, so that no two classes of a puzzle look alike.

    Taleb et al. 2020 (https://arxiv.org/abs/2006.03829, appendix A) ask for a high *mean* distance, which any random
    set has, near duplicates and all (their published set is one: lowest distance 19 of 27, mean 26.0); Noroozi and
    Favaro 2016 (https://arxiv.org/abs/1603.09246) maximize it greedily. Here the *lowest* distance counts.

    "algebraic": the maps ``x -> a x + b`` over the field with N elements, ``a != 0``. Two of them agree in one place at
    most, so the N (N - 1) permutations have the lowest distance N - 1; N must be a power of a prime (27: 702
    permutations, 9: 72, 8: 56, 4: 12). "greedy": one after
    another the candidate farthest from those chosen, by the lowest distance and then by the mean; candidates are all N!
    for N up to 9 and up to 200 permutations, else a random pool. "random": different
    ones, drawn uniformly. "auto": algebraic where it has enough, else greedy.

    Args:
        num_patches: N, entries of a permutation; or the patches per axis of a grid, whose product is N.
        size: how many.
        selection: "auto", "algebraic", "greedy" or "random".
        seed: of what is drawn; "algebraic" draws which of its permutations are taken.

    Returns:
        ``(size, N)`` integers; row k read as in ``shuffled[m] = patches[row[m]]``. Equal arguments give equal rows.

    Raises:
        ValueError: if there are not so many permutations, N is no power of a prime for "algebraic", or the selection is
            unknown.

    Example:
        >>> rows = permutation_set(9, 72)
        >>> rows.shape, int(hamming_distances(rows).min())
        ((72, 9), 8)
    """
    if selection not in _SELECTIONS:
        raise ValueError(f"expected selection to be one of {list(_SELECTIONS)}, found {selection!r}; choose one")
    num_patches = num_patches if isinstance(num_patches, int) else math.prod(int(cells) for cells in num_patches)
    if num_patches < 2 or size < 2:
        raise ValueError(
            f"expected at least 2 patches and 2 permutations, found {num_patches} and {size}; a puzzle needs a choice"
        )
    if size > math.factorial(num_patches):
        raise ValueError(
            f"expected at most {math.factorial(num_patches)} permutations of {num_patches} patches, found size {size}; "
            "there are no more, so lower it or use a finer grid"
        )
    if selection == "auto":
        fits = _prime_power(num_patches) is not None and size <= num_patches * (num_patches - 1)
        selection = "algebraic" if fits else "greedy"
    choose = {"algebraic": _algebraic, "greedy": _greedy, "random": _random}[selection]
    return choose(num_patches, size, seed).copy()


def hamming_distances(permutations: np.ndarray) -> np.ndarray:
    """Return in how many places each pair of rows differs, pairs in the order of ``itertools.combinations``.

    Args:
        permutations: ``(K, N)``.

    Returns:
        ``(K (K - 1) / 2,)`` integers.

    Example:
        >>> hamming_distances(np.array([[0, 1, 2], [0, 2, 1], [1, 2, 0]])).tolist()
        [2, 3, 2]
    """
    rows = np.asarray(permutations)
    return np.concatenate([(rows[i + 1 :] != rows[i]).sum(axis=1) for i in range(len(rows))])


@lru_cache(maxsize=8)
def _algebraic(count: int, size: int, seed: int) -> np.ndarray:
    power = _prime_power(count)
    if power is None:
        raise ValueError(
            f"selection 'algebraic' expects a number of patches that is a power of a prime, found {count}; use 'greedy'"
        )
    if size > count * (count - 1):
        raise ValueError(
            f"selection 'algebraic' has {count * (count - 1)} permutations of {count} patches, found size {size}; "
            "lower it, or use 'greedy'"
        )
    add, multiply = _field(*power)
    slopes, offsets = np.divmod(np.arange(count * (count - 1)), count)
    places = np.arange(count)
    rows = add[multiply[slopes + 1][:, places], offsets[:, None]]
    return rows[np.random.RandomState(seed).permutation(len(rows))[:size]]


def _prime_power(number: int) -> tuple[int, int] | None:
    """Return (p, k) with ``p ** k == number`` for a prime p, or None."""
    prime = next(p for p in itertools.count(2) if number % p == 0)
    power = round(math.log(number, prime))
    return (prime, power) if prime**power == number else None


def _field(prime: int, power: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tables of addition and multiplication ``(n, n)`` of the field with ``n = prime ** power`` elements.

    Element ``e`` stands for the polynomial whose coefficients are the digits of ``e`` in base ``prime``. The powers of
    ``t``, modulo a polynomial for which they run through all elements but 0, are the logarithms for multiplication.
    """
    count, weights = prime**power, prime ** np.arange(power)
    digits = np.arange(count)[:, None] // weights % prime  # (n, power), lowest first
    add = ((digits[:, None] + digits[None]) % prime) @ weights
    for leading in itertools.product(range(prime), repeat=power):  # t^power is this polynomial
        powers, vector = [], digits[1]
        for _ in range(count - 1):
            powers.append(int(vector @ weights))
            vector = (np.concatenate([[0], vector[:-1]]) + vector[-1] * np.asarray(leading)) % prime
        if len({0, *powers}) == count:
            break
    logarithm = np.zeros(count, dtype=int)
    logarithm[powers] = np.arange(count - 1)
    multiply = np.asarray(powers)[(logarithm[:, None] + logarithm[None]) % (count - 1)]
    multiply[0, :] = multiply[:, 0] = 0
    return add, multiply


@lru_cache(maxsize=8)
def _greedy(count: int, size: int, seed: int) -> np.ndarray:
    draw = np.random.RandomState(seed)
    if count <= _ALL_UP_TO:
        pool = np.array(list(itertools.permutations(range(count))), dtype=np.int8)
        if size > _MANY:  # each step looks at all candidates
            pool = pool[draw.permutation(len(pool))[: max(_POOL, 4 * size)]]
    else:
        # by sorting noise: half the time of shuffling row by row
        pool = draw.rand(max(_POOL, 4 * size), count).argsort(axis=1).astype(np.int16)
    chosen = [int(draw.randint(len(pool)))]
    lowest, total = np.full(len(pool), count), np.zeros(len(pool))
    for _ in range(size - 1):
        distance = np.count_nonzero(pool != pool[chosen[-1]], axis=1)
        np.minimum(lowest, distance, out=lowest)  # 0 for itself: never again
        total += distance
        best = np.flatnonzero(lowest == lowest.max())
        chosen.append(int(best[total[best].argmax()]))
    return pool[chosen].astype(int)


@lru_cache(maxsize=8)
def _random(count: int, size: int, seed: int) -> np.ndarray:
    draw, found = np.random.RandomState(seed), {}
    while len(found) < size:
        found.setdefault(tuple(draw.permutation(count).tolist()))
    return np.array(list(found))
