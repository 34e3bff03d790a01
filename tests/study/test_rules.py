"""What a judgment needs."""

import numpy as np
import pytest

from medvol.study.rules import ALPHA, LEVEL, too_little


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.empty((0, 0)), "no paired scores"),
        (np.ones((1, 20)), "1 paired seed, and at least 3"),
        (np.ones((2, 20)), "2 paired seeds, and at least 3 are needed"),
        (np.ones((3, 1)), "1 patient, and at least 2 are needed"),
        (np.full((3, 20), 0.1), "all seeds and all patients show the very same difference"),
        (np.full(3, 0.1), "all seeds show the very same difference"),
        (np.ones(2), "2 paired seeds"),
    ],
)
def test_what_is_too_little_says_why(values, reason):
    assert reason in too_little(values)


def test_one_model_against_itself_is_judged():
    assert too_little(np.zeros((3, 20))) == too_little(np.zeros(3)) == ""


def test_last_digits_are_no_spread():
    noise = 1e-15 * np.random.default_rng(0).normal(size=(5, 20))
    assert "very same" in too_little(0.3 + noise)
    assert too_little(0.3 + 1e6 * noise) == ""


def test_level_and_alpha_belong_together():
    assert ALPHA + LEVEL == 1
