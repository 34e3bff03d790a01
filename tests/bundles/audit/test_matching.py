import numpy as np
import pytest

from medvol.bundles.audit.matching import match


def test_views_that_look_alike_are_matched():
    images = np.repeat(np.arange(40), 2)
    features = np.random.RandomState(0).randn(40, 3).repeat(2, axis=0)
    answer, chance = match(features, images, batch_size=4)
    assert answer.right == 1.0
    assert chance == pytest.approx(1 / 7)
    assert (answer.samples, answer.units) == (80, 40)


def test_noise_is_matched_by_chance():
    answer, chance = match(np.random.RandomState(0).randn(800, 5), np.repeat(np.arange(400), 2), batch_size=4)
    assert answer.low < chance < answer.high


def test_views_at_one_distance_share_the_vote():
    answer, chance = match(np.ones((60, 2)), np.repeat(np.arange(20), 3), batch_size=2)
    assert answer.right == pytest.approx(chance) == pytest.approx(2 / 5)
    assert (answer.samples, answer.units) == (60, 20)


def test_an_incomplete_batch_is_left_out():
    answer, _ = match(np.random.RandomState(0).randn(44, 2), np.repeat(np.arange(22), 2), batch_size=2)
    assert answer.samples == 44
    answer, _ = match(np.random.RandomState(0).randn(46, 2), np.repeat(np.arange(23), 2), batch_size=2)
    assert answer.samples == 44


def test_few_volumes_are_refused():
    with pytest.raises(ValueError, match="at least 10 volumes; found 8"):
        match(np.ones((16, 2)), np.repeat(np.arange(8), 2), batch_size=2)
    with pytest.raises(ValueError, match="at least 10 volumes; found 9"):
        match(np.ones((80, 2)), np.repeat(np.arange(40), 2), batch_size=2, units=np.repeat(np.arange(40) % 9, 2))


def test_draws_of_one_patient_are_not_as_many_patients():
    features = np.random.RandomState(0).randn(800, 5)
    images = np.repeat(np.arange(400), 2)
    answer, _ = match(features, images, batch_size=4, units=images % 12)
    assert (answer.samples, answer.units) == (800, 12)
    alike = np.random.RandomState(1).rand(12) < 0.5  # patients whose views look alike, draw after draw
    features[1::2] = np.where(alike[images[1::2] % 12, None], features[::2], features[1::2])
    draws, patients = (match(features, images, batch_size=4, units=units)[0] for units in (None, images % 12))
    assert draws.right == patients.right
    assert patients.high - patients.low > 2 * (draws.high - draws.low)
