from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvol.data.apart import check_apart, first_of, spread


@st.composite
def cases(draw):
    """Sizes of groups of which none has more than half."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=2, max_size=7))
    most = sum(sizes) - max(sizes)
    return [min(size, most) for size in sizes]


def chain(sizes, seed, turns):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    random = np.random.RandomState(seed)
    orders = [random.permutation(len(groups)) for _ in range(turns + 1)]
    return groups, orders, [spread(order, groups, first_of(after, groups)) for order, after in pairwise(orders)]


@given(cases(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_neighbors_differ_within_and_across_permutations(sizes, seed):
    groups, _, moved = chain(sizes, seed, 4)
    for order in moved:
        assert sorted(order.tolist()) == list(range(len(groups)))
    stream = groups[np.concatenate(moved)]
    assert (stream[1:] != stream[:-1]).all()


def test_a_group_of_exactly_half():
    for seed in range(20):
        groups, _, moved = chain([5, 2, 2, 1], seed, 3)
        stream = groups[np.concatenate(moved)]
        assert (stream[::2] == 0).all()
        assert (stream[1::2] != 0).all()


def test_what_is_apart_already_stays():
    _, orders, moved = chain([1] * 50, 0, 20)
    for (order, after), kept in zip(pairwise(orders), moved, strict=True):
        if order[-1] != after[0]:
            assert kept is order
        else:
            assert kept[-1] != after[0]


def test_little_moves():
    _, orders, moved = chain([2] * 200, 3, 5)
    for order, kept in zip(orders[:-1], moved, strict=True):
        assert abs(np.argsort(order) - np.argsort(kept)).mean() < 1  # places


def test_every_example_comes_first_as_often():
    firsts = np.bincount(np.concatenate([chain([3, 2, 2, 1], seed, 1)[2][0][:1] for seed in range(400)]), minlength=8)
    assert (abs(firsts - 50) < 34).all()  # Binomial(400, 1/8): five standard deviations are 33


@pytest.mark.parametrize(
    ("groups", "batch_size", "message"),
    [
        ([1, 1, 1], 2, "more than half of the 3 examples.* found 1 group, and 3 examples of 1; take more patients"),
        (["a", "a", "b"], 2, "found 2 groups, and 2 examples of 'a'"),
        ([1, 2, 3], 1, "batch_size must be 2 or more where a batch must hold two groups; found 1; raise it"),
        ([1, 2], 2, "one group for each of the 3 examples; found 2"),
    ],
)
def test_impossible_groups_are_refused(groups, batch_size, message):
    with pytest.raises(ValueError, match=message):
        check_apart(groups, 3, batch_size)
