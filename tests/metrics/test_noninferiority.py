from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medvol.metrics.noninferiority import equivalent, non_inferior
from medvol.metrics.statistics import crossed_interval


def two_one_sided_tests(d: np.ndarray, margin: float) -> float:
    """Larger p-value of the two tests, from the interval's own standard error."""
    found = crossed_interval(d)
    error = (found.high - found.mean) / stats.t.ppf(0.975, found.df)
    return max(stats.t.sf((found.mean + margin) / error, found.df), stats.t.sf((margin - found.mean) / error, found.df))


def test_equivalent_where_both_one_sided_tests_reject() -> None:
    rng = np.random.default_rng(0)
    words = []
    for _ in range(60):
        d = rng.normal(0, 0.01, (5, 1)) + rng.normal(rng.normal(0, 0.01), 0.03, (5, 20))
        words.append(equivalent(d, 0.02))
        assert words[-1] == (two_one_sided_tests(d, 0.02) < 0.05)
    assert 0 < np.mean(words) < 1


def test_non_inferior_is_about_the_lower_end_alone() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(0, 0.01, (5, 20))
    low = crossed_interval(d).low
    assert non_inferior(d, abs(low) + 1e-6)
    assert not non_inferior(d, abs(low) - 1e-6)
    better = d + 0.5
    assert non_inferior(better, 0.0)
    assert not equivalent(better, 0.1)
    assert not non_inferior(-better, 0.1)


def test_wide_intervals_show_neither() -> None:
    d = np.random.default_rng(0).normal(0, 1, (3, 4))
    assert not non_inferior(d, 0.01)
    assert not equivalent(d, 0.01)


@pytest.mark.parametrize("margin", [-0.01, np.nan, np.inf])
@pytest.mark.parametrize("function", [equivalent, non_inferior])
def test_no_margin_no_claim(function: object, margin: float) -> None:
    with pytest.raises(ValueError, match="the margin must be"):
        function(np.zeros((3, 5)), margin)
