import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvol.data import check_disjoint, order_patients, split_patients, subset_patients

NAMES = st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=2, max_size=20)


@given(NAMES, st.integers(0, 5), st.randoms())
@settings(max_examples=25, deadline=None)
def test_subsets_are_nested_and_blind_to_the_order_of_rows(names, seed, shuffler):
    rows = [*names, *names]
    shuffler.shuffle(rows)
    previous = set()
    for count in range(1, len(names) + 1):
        subset = subset_patients(rows, count, seed)
        assert subset == subset_patients(sorted(names), count, seed)
        assert len(subset) == len(set(subset)) == count
        assert previous < set(subset) <= names
        previous = set(subset)
    assert set(subset_patients(rows, "all", seed)) == set(subset_patients(rows, None, seed)) == names


@given(NAMES, st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_no_patient_is_dealt_twice_and_none_is_lost(names, seed):
    parts = split_patients(names, {"validation": 1, "training": -1}, seed)
    check_disjoint(parts)
    assert sorted(p for part in parts.values() for p in part) == sorted(names)
    assert len(parts["validation"]) == 1


def test_seeds_differ_and_every_patient_has_its_chance():
    names = [f"p{i}" for i in range(10)]
    first = Counter(subset_patients(names, 1, seed)[0] for seed in range(2000))
    assert set(first) == set(names)
    # Binomial(2000, 1/10): five standard deviations are 67.
    assert all(abs(count - 200) < 67 for count in first.values())


def test_one_more_patient_in_the_pool_changes_nobody_elses_rank():
    names = [f"p{i}" for i in range(30)]
    more = order_patients([*names, "new"], 0)
    more.remove("new")
    assert more == order_patients(names, 0)


def test_a_subset_does_not_repeat_the_order_of_the_split():
    names = [f"p{i}" for i in range(100)]
    dealt = split_patients(names, {"a": 10, "b": -1}, 0)["a"]
    assert len(set(dealt) & set(subset_patients(names, 10, 0))) < 8


@pytest.mark.parametrize("seed", range(5))
def test_every_beginning_holds_the_strata_in_their_shares(seed):
    strata = {f"p{i}": "rare" if i % 5 == 0 else "common" for i in range(50)}
    names = list(strata)
    random.Random(seed).shuffle(names)
    order = order_patients(names, seed, strata)
    assert sorted(order) == sorted(names)
    for count in range(1, 51):
        rare = sum(strata[p] == "rare" for p in order[:count])
        assert abs(rare - count / 5) <= 1
    assert order != order_patients(names, seed + 1, strata)


def test_a_known_order_stays_what_it_was():
    # Frozen: a change would deal other patients under the same seed in every published table.
    assert subset_patients("abcde", "all", 0) == ["e", "c", "b", "a", "d"]
    assert subset_patients("abcde", 2, 0) == ["e", "c"]


@pytest.mark.parametrize("number", [0, -1, 4, True, 1.0, "3", "none"])
def test_an_impossible_number_of_patients_is_refused(number):
    with pytest.raises(ValueError, match=r"from 1 to 3.*found.*choose"):
        subset_patients("abc", number, 0)


@pytest.mark.parametrize("sizes", [{"a": 2}, {"a": 4}, {"a": -1, "b": -1}, {"a": -2, "b": 5}, {"a": 5, "b": -1}])
def test_sizes_that_do_not_add_up_are_refused(sizes):
    with pytest.raises(ValueError, match="add up to 3"):
        split_patients("abc", sizes, 0)


def test_a_patient_without_stratum_is_refused():
    with pytest.raises(ValueError, match="'b' has none"):
        order_patients("ab", 0, {"a": "x"})


def test_a_patient_in_two_sections_is_named():
    with pytest.raises(ValueError, match="'b' in test and training") as error:
        check_disjoint({"training": ["a", "b"], "test": ["b", "c"]})
    assert "'a'" not in str(error.value)
    with pytest.raises(ValueError, match="and 2 more"):
        check_disjoint({"training": "abcdefg", "test": "abcdefg"})
