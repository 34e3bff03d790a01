import numpy as np
import pytest
from scipy import stats

from medvol.bundles.audit import guessing
from medvol.bundles.audit.guessing import CLASSIFIERS, Table, best_by_group, chance_of, guess, share_interval


def table(seed, signal=0.0, count=400, classes=4, columns=("level", "slope")):
    rng = np.random.RandomState(seed)
    labels = np.arange(count) % classes
    features = rng.randn(count, len(columns))
    features[:, 0] += signal * labels
    return Table(features, labels, np.arange(count) // classes, list(columns))


def test_independent_samples_have_the_interval_of_wilson():
    hits = np.repeat([1.0, 0.0], [300, 1700])
    expected = stats.binomtest(300, 2000).proportion_ci(0.95, "wilson")
    np.testing.assert_allclose(share_interval(hits, np.arange(2000)), expected, atol=2e-4)


def test_samples_of_one_volume_count_as_what_they_tell_together():
    hits = np.random.RandomState(0).rand(100) < 0.3
    alone = share_interval(hits, np.arange(100))
    together = share_interval(np.repeat(hits, 20), np.repeat(np.arange(100), 20))
    np.testing.assert_allclose(together, alone, atol=0.01)
    apart = share_interval(np.repeat(hits, 20), np.arange(2000))
    assert apart[1] - apart[0] < 0.5 * (together[1] - together[0])


def test_few_volumes_have_no_interval():
    with pytest.raises(ValueError, match="at least 10 volumes; found 9"):
        share_interval(np.ones(90), np.arange(90) // 10)


def test_chance_is_that_of_the_commonest_answer():
    assert (
        chance_of(
            table(0),
            table(1),
        )
        == 0.25
    )
    rare = Table(np.zeros((8, 1)), np.array([0, 0, 0, 0, 0, 0, 5, 9]), np.arange(8), ["level"])
    assert chance_of(rare, rare) == 0.75


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(guessing, "_TREES", 20)


def test_both_classifiers_find_what_is_there_and_nothing_else():
    found = guess(table(0, 3.0), table(1, 3.0), seed=0)
    assert [answer.way for answer in found] == list(CLASSIFIERS)
    for answer in found:
        assert answer.right > 0.7
        assert answer.low < answer.right < answer.high
        assert (answer.samples, answer.units) == (400, 100)
    for answer in guess(table(0), table(1), seed=0):
        assert answer.low < 0.25 < answer.high


def test_what_rounding_leaves_is_no_statistic():
    known, asked = (table(seed, 3.0) for seed in (0, 1))
    for one in (known, asked):
        one.features[:] = 1e-7 * one.labels[:, None]
    for answer in guess(known, asked, seed=0):
        assert answer.right == 0.25


def test_the_kind_of_statistic_that_tells_comes_first():
    found = best_by_group(table(0, 3.0), table(1, 3.0))
    assert list(found) == ["level", "slope"]
    assert found["level"] > 0.7
    assert found["slope"] < 0.4
