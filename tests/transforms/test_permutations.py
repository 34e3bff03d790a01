"""Sets of permutations: their distances, their seeds, and what they refuse."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from medvol.passport import rows_hash
from medvol.transforms import permutations
from medvol.transforms.permutations import hamming_distances, permutation_set


def valid(rows: np.ndarray) -> bool:
    every = (np.sort(rows, axis=1) == np.arange(rows.shape[1])).all()
    return bool(every) and len({tuple(row) for row in rows.tolist()}) == len(rows)


@pytest.mark.parametrize("count", [3, 4, 5, 7, 8, 9, 16, 25, 27])
def test_the_field_gives_all_its_permutations_at_the_largest_distance(count: int) -> None:
    rows = permutation_set(count, count * (count - 1), "algebraic")
    assert rows.shape == (count * (count - 1), count)
    assert valid(rows)
    assert hamming_distances(rows).min() == count - 1


def test_the_numbers_of_the_issue() -> None:
    assert hamming_distances(permutation_set(27, 702)).min() == 26
    assert hamming_distances(permutation_set(9, 72)).min() == 8


def test_greedy_goes_beyond_the_field() -> None:
    volume, plane = permutation_set(27, 100, "greedy"), permutation_set(6, 30, "greedy")
    assert valid(volume)
    assert valid(plane)
    assert hamming_distances(volume).min() >= 24
    # 30 permutations of 6 with distance 5 would be two more than a sharply transitive set has
    assert hamming_distances(plane).min() >= 4
    assert hamming_distances(permutation_set(6, 30, "random", seed=1)).min() < 4


@pytest.mark.slow
def test_greedy_among_all_permutations_of_nine() -> None:
    assert hamming_distances(permutation_set(9, 100)).min() >= 6
    assert hamming_distances(permutation_set(27, 1000)).min() >= 23


def test_auto_takes_the_field_where_it_is_large_enough() -> None:
    np.testing.assert_array_equal(permutation_set(4, 12), permutation_set(4, 12, "algebraic"))
    np.testing.assert_array_equal(permutation_set(4, 13), permutation_set(4, 13, "greedy"))
    np.testing.assert_array_equal(permutation_set(6, 20), permutation_set(6, 20, "greedy"))


def test_two_by_two_has_all_of_its_24() -> None:
    rows = permutation_set(4, 24)
    assert {tuple(row) for row in rows.tolist()} == set(itertools.permutations(range(4)))


@pytest.mark.parametrize("selection", ["algebraic", "greedy", "random"])
def test_the_seed_decides(selection: str) -> None:
    first, again, other = (permutation_set(8, 20, selection, seed) for seed in (3, 3, 4))
    assert rows_hash(first) == rows_hash(again)
    assert rows_hash(first) != rows_hash(other)
    assert valid(other)
    assert other.shape == (20, 8)
    assert other.dtype == np.dtype(int)


# What a trained network calls class k is row k: an update of the package must not change the rows.
@pytest.mark.parametrize(
    ("given", "start_of_hash"),
    [
        ((8, 20), "fa993b76"),
        ((27, 100), "0e05357d"),
        ((27, 1000), "0ec9f475"),  # of args_brats2018.json and args_pancreas.json: beyond the field, chosen greedily
        ((9, 72), "9ac624bf"),
        ((9, 100), "e59faefd"),  # of args_fundus.json, likewise
        ((6, 30, "greedy"), "3171d568"),
        ((7, 200, "greedy"), "3a91f67b"),  # the most that are chosen among all permutations
        ((7, 201, "greedy"), "fb8988fb"),
        ((9, 5, "greedy"), "1a67f514"),  # 9 is the largest number with all permutations as candidates
        ((10, 60), "6ed3216c"),
        ((6, 12, "random"), "a5038c3f"),
    ],
)
def test_the_rows_stay_what_they_are(given: tuple, start_of_hash: str) -> None:
    assert rows_hash(permutation_set(*given))[:8] == start_of_hash


def test_algebraic_rows_are_the_maps_of_the_field() -> None:
    maps = {tuple((a * x + b) % 7 for x in range(7)) for a in range(1, 7) for b in range(7)}
    assert {tuple(row) for row in permutation_set(7, 42, "algebraic").tolist()} == maps


@pytest.mark.parametrize("count", [4, 5])
def test_greedy_takes_the_farthest_each_time(count: int) -> None:
    """By the lowest distance to those chosen before, then by the mean: against a loop over all permutations."""

    def score(row: tuple) -> tuple[int, int]:
        distances = [sum(a != b for a, b in zip(row, other, strict=True)) for other in before]
        return min(distances), sum(distances)

    rows = [tuple(row) for row in permutation_set(count, 20, "greedy", seed=2).tolist()]
    for k in range(1, len(rows)):
        before = rows[:k]
        assert score(rows[k]) == max(map(score, itertools.permutations(range(count))))


@pytest.mark.parametrize("count", [7, 10])
def test_greedy_has_more_candidates_than_rows(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permutations, "_POOL", 100)  # else only seen with more than 20,000 rows
    rows = permutation_set(count, 210, "greedy", seed=11)
    assert rows.shape == (210, count)
    assert valid(rows)


def test_the_smallest_puzzle() -> None:
    for selection in ("auto", "algebraic", "greedy", "random"):
        assert sorted(permutation_set(2, 2, selection).tolist()) == [[0, 1], [1, 0]]


def test_a_grid_has_the_product_of_its_cells() -> None:
    np.testing.assert_array_equal(permutation_set((3, 3, 1), 20), permutation_set(9, 20))
    np.testing.assert_array_equal(permutation_set(np.array([2, 3]), 20), permutation_set(6, 20, "auto", seed=0))


def test_what_is_returned_may_be_changed() -> None:
    permutation_set(5, 4)[:] = 0
    assert valid(permutation_set(5, 4))


def test_distances_against_a_loop() -> None:
    rows = permutation_set(6, 12, "random")
    pairs = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in itertools.combinations(rows.tolist(), 2)]
    assert hamming_distances(rows).tolist() == pairs


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((4, 25), "at most 24 permutations of 4 patches"),
        ((13, 7_000_000_000), "at most 6227020800 permutations"),
        ((6, 10, "algebraic"), "power of a prime"),
        ((4, 13, "algebraic"), "has 12 permutations"),
        ((9, 10, "maximal"), "selection"),
        ((1, 2), "at least 2 patches"),
        ((9, 1), "2 permutations"),
    ],
)
def test_refusals(given: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        permutation_set(*given)
