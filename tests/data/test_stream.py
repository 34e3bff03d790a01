from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvol.data import StreamSampler


def take(sampler, batches):
    return [pair for batch in islice(sampler, batches) for pair in batch]


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_nothing_is_lost_or_repeated_in_a_permutation(n, batch_size, seed):
    pairs = take(StreamSampler(n, seed, batch_size=batch_size), 3 * n)
    assert [position for _, position in pairs] == list(range(3 * n * batch_size))
    for start in range(0, len(pairs), n):
        assert sorted(index for index, _ in pairs[start : start + n]) == list(range(n))


@given(st.integers(1, 9), st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_ranks_together_are_one_process(n, share, world, seed):
    whole = StreamSampler(n, seed, batch_size=share * world)
    parts = [StreamSampler(n, seed, rank, world, share * world) for rank in range(world)]
    for number in range(5):
        assert [pair for part in parts for pair in part.batch(number)] == whole.batch(number)


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_a_restart_at_a_batch_is_the_tail(n, batch_size, start):
    whole, restarted = StreamSampler(n, 1, batch_size=batch_size), StreamSampler(n, 1, batch_size=batch_size)
    restarted.start_batch = start
    assert take(restarted, 4) == take(whole, start + 4)[start * batch_size :]


def test_two_iterations_of_one_sampler_do_not_disturb_each_other():
    sampler = StreamSampler(5, 0, batch_size=4)
    expected = take(StreamSampler(5, 0, batch_size=4), 4)
    one, other, pairs = iter(sampler), iter(sampler), []
    for _ in range(4):
        pairs += next(one)
        next(other)
    assert pairs == expected


def test_permutations_and_seeds_differ_and_are_uniform():
    orders = {tuple(i for i, _ in take(StreamSampler(6, seed), 6)) for seed in range(20)}
    assert len(orders) > 15
    pairs = take(StreamSampler(4, 0), 4 * 1000)
    first = np.bincount([pairs[4 * turn][0] for turn in range(1000)], minlength=4)
    # Binomial(1000, 1/4): five standard deviations are 69.
    assert all(abs(count - 250) < 69 for count in first)


def test_a_known_stream_stays_what_it_was():
    # Frozen: a change would make every earlier run irreproducible.
    assert [index for index, _ in take(StreamSampler(5, 7), 10)] == [4, 1, 0, 2, 3, 4, 0, 3, 1, 2]


def test_a_stream_has_no_length():
    with pytest.raises(TypeError, match="endless"):
        len(StreamSampler(3, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "at least one example; found 0"),
        ({"batch_size": 3, "world": 2}, "multiple of 2; found 3; use 2"),
        ({"batch_size": 0}, "found 0; use 1"),
        ({"rank": 2, "world": 2, "batch_size": 2}, "from 0 to 1; found 2"),
        ({"seed": -1}, "0 or more; found -1"),
    ],
)
def test_impossible_streams_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StreamSampler(**{"n": 4, "seed": 0, **arguments})


@st.composite
def sharded(draw):
    return draw(st.lists(st.integers(1, 5), min_size=1, max_size=9)), draw(st.integers(1, 4))


@given(sharded(), st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_blocks_lose_and_repeat_nothing_and_carry_the_remainder(shards, batch_size, seed):
    blocks, window = shards
    n = sum(blocks)
    sampler = StreamSampler(n, seed, batch_size=batch_size, blocks=blocks, window=window)
    pairs = take(sampler, 3 * n)
    assert [position for _, position in pairs] == list(range(3 * n * batch_size))
    for start in range(0, len(pairs), n):
        assert sorted(index for index, _ in pairs[start : start + n]) == list(range(n))
    sampler.start_batch = 2
    assert take(sampler, 3 * n)[: (3 * n - 2) * batch_size] == pairs[2 * batch_size :]


@given(sharded(), st.integers(1, 3), st.sampled_from([1, 2, 4]))
@settings(max_examples=30, deadline=None)
def test_ranks_with_blocks_together_are_one_process(shards, share, world):
    blocks, window = shards
    options = {"seed": 1, "batch_size": share * world, "blocks": blocks, "window": window}
    whole = StreamSampler(sum(blocks), **options)
    parts = [StreamSampler(sum(blocks), rank=rank, world=world, **options) for rank in range(world)]
    for number in range(5):
        assert [pair for part in parts for pair in part.batch(number)] == whole.batch(number)


def test_a_window_of_blocks_is_read_before_the_next_and_mixed_inside():
    blocks = [10] * 12
    indices = [index for index, _ in take(StreamSampler(120, 3, blocks=blocks, window=3), 240)]
    chosen = [[{index // 10 for index in indices[i : i + 30]} for i in range(s, s + 120, 30)] for s in (0, 120)]
    for epoch in chosen:
        assert [len(shards) for shards in epoch] == [3] * 4
    assert chosen[0] != chosen[1]
    assert len({index // 10 for index in indices[:10]}) > 1
    assert indices[:120] != indices[120:]


def test_a_known_stream_of_blocks_stays_what_it_was():
    # Frozen: a change would make every earlier run irreproducible.
    sampler = StreamSampler(7, 7, blocks=[2, 1, 3, 1], window=2)
    assert [index for index, _ in take(sampler, 14)] == [0, 2, 1, 6, 3, 5, 4, 2, 0, 1, 4, 3, 6, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": [2, 2]}, "add up to the 3 examples; found 2 of them, together 4"),
        ({"blocks": [3, 0]}, "positive sizes"),
        ({"blocks": []}, "found 0 of them"),
        ({"blocks": [3], "window": 0}, "window must be 1 shard or more; found 0"),
    ],
)
def test_impossible_blocks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StreamSampler(3, 0, **options)


PATIENTS = [0, 0, 0, 1, 1, 2, 2, 3, 4, 4, 4, 5]


@given(st.integers(2, 30), st.integers(0, 5), st.sampled_from([None, [3, 4, 5], [6, 1, 1, 4]]))
@settings(max_examples=15, deadline=None)
def test_a_batch_never_holds_one_group_only(batch_size, seed, blocks):
    sampler = StreamSampler(12, seed, batch_size=batch_size, blocks=blocks, window=1, groups=PATIENTS)
    pairs = take(sampler, 12)
    found = [PATIENTS[index] for index, _ in pairs]
    assert all(one != other for one, other in pairwise(found))
    for start in range(0, len(pairs) - 11, 12):
        assert sorted(index for index, _ in pairs[start : start + 12]) == list(range(12))
    restarted = StreamSampler(12, seed, batch_size=batch_size, blocks=blocks, window=1, groups=PATIENTS)
    restarted.start_batch = 7
    assert take(restarted, 5) == pairs[7 * batch_size :]


def test_ranks_with_groups_together_are_one_process():
    options = {"seed": 3, "batch_size": 4, "groups": PATIENTS}
    whole = StreamSampler(12, **options)
    parts = [StreamSampler(12, rank=rank, world=2, **options) for rank in (0, 1)]
    for number in (5, 0, 9):  # no permutation depends on those read before
        assert [pair for part in parts for pair in part.batch(number)] == whole.batch(number)


def test_a_known_stream_of_groups_stays_what_it_was():
    # Frozen: a change would make every earlier run irreproducible.
    sampler = StreamSampler(5, 7, batch_size=2, groups=["a", "a", "b", "b", "c"])
    assert [index for index, _ in take(sampler, 5)] == [4, 1, 2, 0, 3, 4, 2, 0, 3, 1]


def test_groups_change_nothing_where_no_neighbors_share_one():
    plain = [index for index, _ in take(StreamSampler(40, 0, batch_size=2), 20)]
    assert [index for index, _ in take(StreamSampler(40, 0, batch_size=2, groups=range(40)), 20)] == plain


def test_groups_that_cannot_be_kept_apart_are_refused():
    with pytest.raises(ValueError, match="found 1 group, and 4 examples of 'x'"):
        StreamSampler(4, 0, batch_size=2, groups=["x"] * 4)
    with pytest.raises(ValueError, match="batch_size must be 2 or more"):
        StreamSampler(4, 0, groups=[1, 2, 3, 4])
