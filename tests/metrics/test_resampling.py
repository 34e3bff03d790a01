from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from medvol.metrics.resampling import bootstrap_interval, patient_means, permutation_p


def test_patients_count_once_each() -> None:
    values = np.array([[1.0, 3.0, 5.0, 7.0], [0.0, 0.0, 0.0, 4.0]])
    assert patient_means(values, ["b", "b", "a", "b"]).tolist() == [[5.0, 11 / 3], [0.0, 4 / 3]]


def test_a_fixed_seed_repeats() -> None:
    x = np.random.default_rng(0).normal(size=30)
    assert bootstrap_interval(x) == bootstrap_interval(x) != bootstrap_interval(x, seed=1)
    assert permutation_p(x) == permutation_p(x)


def test_a_model_against_itself() -> None:
    assert bootstrap_interval(np.zeros(20)) == (0.0, 0.0)
    assert permutation_p(np.zeros(20)) == 1.0


def test_a_constant_has_no_width() -> None:
    assert bootstrap_interval(np.full(9, 0.3)) == (0.3, 0.3)
    assert bootstrap_interval([0.3]) == (0.3, 0.3)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = []
    for k in range(1000):
        low, high = bootstrap_interval(rng.normal(0.2, 1.0, 100), resamples=500, seed=k)
        hits.append(low <= 0.2 <= high)
    assert 0.92 <= np.mean(hits) <= 0.97


def test_five_images_of_a_patient_are_not_five_patients() -> None:
    x = np.random.default_rng(0).normal(size=60)
    images, names = np.repeat(x, 5), np.repeat(np.arange(60), 5)
    by_image, by_patient = bootstrap_interval(images), bootstrap_interval(patient_means(images, names))
    assert np.ptp(by_patient) / np.ptp(by_image) == pytest.approx(5**0.5, rel=0.1)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(0)
    found = [permutation_p(rng.normal(size=30), resamples=999, seed=k) for k in range(500)]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_few_patients_are_tried_exhaustively() -> None:
    x = np.array([0.5, 1.0, -0.2, 0.7])
    flips = [np.mean(x * signs) for signs in itertools.product((1, -1), repeat=4)]
    assert permutation_p(x) == pytest.approx(np.mean(np.abs(flips) >= abs(x.mean()) - 1e-12))


@pytest.mark.parametrize("bad", [[], [np.nan, 1.0], [[1.0, 2.0]]])
@pytest.mark.parametrize("function", [bootstrap_interval, permutation_p])
def test_gaps_are_refused(function: object, bad: list) -> None:
    with pytest.raises(ValueError, match="one finite value per patient"):
        function(bad)


def test_every_value_needs_its_patient() -> None:
    with pytest.raises(ValueError, match="every value needs its patient"):
        patient_means([1.0, 2.0], ["a"])
