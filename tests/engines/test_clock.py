"""medvol.engines.clock"""

from __future__ import annotations

import pytest

from medvol.engines.clock import Grouping, derive_seed, group_micro_batches, num_epochs


def test_num_epochs_rounds_up():
    assert [num_epochs(s, 4) for s in (1, 4, 5, 8)] == [1, 1, 2, 2]


@pytest.mark.parametrize("counts", [(0, 1), (1, 0), (-3, 2)])
def test_num_epochs_refuses(counts):
    with pytest.raises(ValueError, match=r"expected .* found .*; give"):
        num_epochs(*counts)


def test_seeds_depend_on_every_part_and_fit_torch():
    seeds = {derive_seed(s, m, r) for s in range(4) for m in range(20) for r in range(3)}
    assert len(seeds) == 240
    assert all(0 <= s < 2**63 for s in seeds)


@pytest.mark.parametrize(("length", "accumulation"), [(1, 1), (6, 2), (7, 3), (2, 5), (5, 1)])
def test_grouping_against_brute_force(length, accumulation):
    grouping = Grouping(length, accumulation)
    number, closed = 0, [0]
    for _ in range(3):  # epochs
        places = list(range(length))
        groups = [places[i : i + accumulation] for i in range(0, length, accumulation)]
        assert grouping.groups_per_epoch == len(groups)
        for group in groups:
            for place in group:
                number += 1
                assert grouping.size(number) == len(group)
                assert grouping.opens(number) == (place == group[0])
                assert grouping.closes(number) == (place == group[-1])
            closed.append(number)
    assert [grouping.micro_batches(g) for g in range(len(closed))] == closed


def test_one_pass_over_a_finite_loader():
    assert group_micro_batches([1, 2, 3, 4, 5], None, 2) == Grouping(5, 2)
    assert group_micro_batches([1, 2, 3, 4, 5], 4, 2) == Grouping(8, 2)


@pytest.mark.parametrize(
    ("loader", "per_epoch", "accumulation", "what"),
    [
        ([], 3, 1, "at least one batch"),
        ([], None, 1, "at least one batch"),
        (iter([1]), None, 1, "steps_per_epoch, found None"),
        ([1], 0, 1, "steps_per_epoch >= 1, found 0"),
        ([1], 1, 0, "accumulation_steps >= 1, found 0"),
    ],
)
def test_refusals(loader, per_epoch, accumulation, what):
    with pytest.raises(ValueError, match=what):
        group_micro_batches(loader, per_epoch, accumulation)
