"""Agreement of nearest neighbors: against a plain loop, without the own patient, beside chance."""

from __future__ import annotations

import numpy as np
import pytest

from medvol.bundles.embedding import neighbors as embedding_neighbors
from medvol.bundles.embedding.colors import color_cases
from medvol.bundles.embedding.neighbors import agreement, agreement_sentence, nearest
from medvol.bundles.embedding.spectrum import scaled


@pytest.fixture
def data() -> tuple[np.ndarray, list[str], list[str | None]]:
    rng = np.random.default_rng(3)
    patients = [f"p{k // 2}" for k in range(30)]
    values = [None if k % 11 == 5 else "abc"[rng.integers(3)] for k in range(30)]
    return rng.normal(size=(30, 4)) * [1, 9, 0.1, 2], patients, values


@pytest.mark.parametrize("piece", [7, 256])
def test_it_equals_a_plain_loop(data: tuple, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_neighbors, "_PIECE", piece)
    features, patients, values = data
    known = [i for i in range(30) if values[i] is not None]
    points = dict(zip(known, scaled(features[known]), strict=True))
    hits, chances = [], []
    for i in known:
        others = [j for j in known if patients[j] != patients[i]]
        best = min(others, key=lambda j: np.linalg.norm(points[i] - points[j]))
        hits.append(values[best] == values[i])
        chances.append(np.mean([values[j] == values[i] for j in others]))
    found = agreement(features, patients, values)
    assert found.rate == pytest.approx(np.mean(hits))
    assert found.chance == pytest.approx(np.mean(chances))
    assert found.cases == len(known)
    assert found.low < found.rate < found.high


def test_the_own_patient_does_not_answer() -> None:
    """Two scans of a patient lie beside each other; that says nothing about the value."""
    features = np.array([[0.0], [0.01], [1.0], [1.01]])
    more = np.array([[5.0], [5.1]])
    found = agreement(np.concatenate([features, more]), list("aabbcd"), list("xxyyxy"))
    assert found.rate == 0
    assert 0 < found.chance < 1
    same = agreement(features, ["a", "a", "b", "b"], ["a", "a", "b", "b"], same_patient=True)
    assert (same.rate, same.chance) == (1.0, pytest.approx(1 / 3))


def test_patients_with_one_case_do_not_ask_who_they_are() -> None:
    found = agreement(np.arange(3.0)[:, None], ["a", "a", "b"], ["a", "a", "b"], same_patient=True)
    assert (found.cases, found.patients) == (2, 1)
    assert agreement(np.eye(2), ["a", "b"], ["a", "b"], same_patient=True) is None


@pytest.mark.parametrize("kind", [int, float])
def test_numbers_are_compared_by_their_difference(kind: type) -> None:
    features = np.array([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0], [30.0], [31.0]])
    values = [kind(value) for value in (0, 1, 20, 22, 40, 43, 60, 64)]
    found = agreement(features, list("abcdefgh"), values)
    assert found.is_number
    assert color_cases("age", values, 8).limits == (0, 64)  # they are colored as what they are judged by
    assert found.rate == pytest.approx((1 + 2 + 3 + 4) / 4)
    far = np.abs(np.subtract.outer(values, values))
    assert found.chance == pytest.approx(far.sum() / 56)


@pytest.mark.parametrize("kind", [int, float])
def test_few_numbers_are_classes(kind: type) -> None:
    values = [kind(value) for value in (1, 1, 2, 2)]
    found = agreement(np.array([[0.0], [1.0], [10.0], [11.0]]), list("abcd"), values)
    assert not found.is_number
    assert color_cases("grade", values, 4).limits is None
    assert (found.rate, found.chance) == (1.0, pytest.approx(1 / 3))


def test_equal_vectors_give_chance() -> None:
    found = agreement(np.ones((12, 3)), [f"p{k}" for k in range(12)], list("aabbbccccaab"))
    assert found.rate == pytest.approx(found.chance)


def test_nothing_to_compare() -> None:
    assert agreement(np.eye(3), list("abc"), ["x", "x", "x"]) is None
    assert agreement(np.eye(3), list("aaa"), ["x", "y", "x"]) is None
    assert agreement(np.eye(3), list("abc"), ["x", None, None]) is None
    assert agreement(np.eye(3), list("abc"), list("xyz")) is None  # every case has a name of its own


def test_few_patients_give_no_interval() -> None:
    """Nine patients say too little about others, and more cases of them make no patients."""
    features = np.random.default_rng(0).normal(size=(36, 2))
    patients = [f"p{k % 9}" for k in range(36)]
    values = ["xy"[k % 2] for k in range(36)]
    assert agreement(features, patients, values).low is None
    assert agreement(features, [f"p{k % 10}" for k in range(36)], values).low is not None


def test_the_interval_holds_the_true_rate() -> None:
    """Of 60 sets of patients, at least 54 intervals hold the long-run rate; a plain bootstrap over patients gets 50."""
    rates, intervals = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values = rng.integers(2, size=40)
        found = agreement(rng.normal(size=(40, 2)) + 1.5 * values[:, None], range(40), [str(v) for v in values])
        rates.append(found.rate)
        intervals.append((found.low, found.high))
    assert sum(low <= np.mean(rates) <= high for low, high in intervals) >= 54
    assert np.mean([high - low for low, high in intervals]) < 0.4


def test_a_perfect_rate_is_not_certain() -> None:
    apart = np.repeat([0.0, 90.0], 10)[:, None] + np.random.default_rng(0).normal(size=(20, 1))
    found = agreement(apart, range(20), ["x"] * 10 + ["y"] * 10)
    assert found.rate == 1
    assert found.high == pytest.approx(1)
    assert 0.5 < found.low < 0.9


def test_the_variance_counts_linked_patients_together() -> None:
    """By hand: 0 and 1 ask each other, 2 asks 0, 3 asks 4, 4 asks 5, 5 asks 4."""
    off = np.array([1.0, 2.0, -1.0, 3.0, 0.5, 2.0])
    asks = np.array([1, 0, 0, 4, 5, 4])
    linked = np.eye(6)
    for i, j in [(0, 1), (0, 2), (3, 4), (4, 5), (1, 2), (3, 5)]:  # the last two: they ask the same patient
        linked[i, j] = linked[j, i] = 1
    expected = off @ linked @ off / 36
    assert expected > off @ off / 36
    assert embedding_neighbors._variance(off, np.arange(6), asks) == pytest.approx(expected)


def test_the_sentences() -> None:
    apart = np.repeat([0.0, 9.0], 10)[:, None] + np.random.default_rng(0).normal(size=(20, 1))
    values = ["x"] * 10 + ["y"] * 10
    good = agreement_sentence(agreement(apart, range(20), values), "scanner")
    assert good.startswith("For 100% of 20 cases of 20 patients the nearest case of another patient has the same 'scan")
    assert good.endswith("better than chance.")
    noise = agreement_sentence(agreement(np.random.default_rng(2).normal(size=(20, 1)), range(20), values), "scanner")
    assert noise.endswith("not told apart from chance.")
    mixed = [[10.0 * (k // 2) + (k % 2)] for k in range(20)]  # everybody's neighbor is of the other class
    assert "worse than chance" in agreement_sentence(agreement(mixed, range(20), list("xy" * 10)), "scanner")
    ages = agreement_sentence(agreement(apart, range(20), [float(v) for v in apart[:, 0]]), "age")
    assert "'age' differs by" in ages
    assert "better than chance" in ages
    assert "of the same patient" in agreement_sentence(
        agreement(np.eye(4), list("aabb"), list("aabb"), same_patient=True), "patient"
    )


def test_nearest_leaves_the_case_itself_out() -> None:
    assert nearest([[0.0], [1.0], [3.0], [9.0]], 2).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert nearest([[1.0]]).shape == (1, 0)
