"""The median time to an event that some runs never reach."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from medvol.study.tables.survival import median_time


@pytest.mark.parametrize(
    ("times", "reached", "median"),
    [
        ([300, 100, 200], [1, 1, 1], 200),
        ([100, 300], [1, 1], 100),  # the lower of the middle two
        ([100, 200, 600], [1, 1, 0], 200),
        ([100, 600, 600], [1, 0, 0], math.nan),
        ([600, 600], [0, 0], math.nan),
        ([100, 150, 200, 300], [1, 0, 1, 1], 200),  # S: 3/4, then 3/4 * 1/2 = 3/8
        ([50, 100, 200, 300], [0, 1, 1, 1], 200),  # censored before anything: 2/3, 1/3
        ([200, 200, 200, 200], [1, 1, 0, 0], 200),  # events come before censoring at the same time: exactly 1/2
        ([], [], math.nan),
        ([7], [1], 7),
    ],
)
def test_the_median_of_kaplan_and_meier(times, reached, median):
    found = median_time(times, [bool(event) for event in reached])
    assert found == median or (math.isnan(found) and math.isnan(median))


def test_it_is_where_the_product_of_kaplan_and_meier_falls_to_one_half():
    rng = np.random.default_rng(0)
    for _ in range(30):
        times, reached = rng.integers(1, 9, 12) * 50, rng.random(12) < 0.7
        surviving, expected = Fraction(1), math.nan
        for time in sorted(set(times[reached])):
            under_way, events = int((times >= time).sum()), int((reached & (times == time)).sum())
            surviving *= 1 - Fraction(events, under_way)
            if surviving <= Fraction(1, 2):
                expected = float(time)
                break
        np.testing.assert_equal(median_time(times, reached), expected)


def test_times_and_events_go_together():
    with pytest.raises(ValueError, match="every time must have its event; found 2 times and 1 events"):
        median_time([1, 2], [True])
