from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medvol.metrics.statistics import crossed_interval


def draw(rng: np.random.Generator, seeds: int, patients: int, sd: tuple[float, float, float]) -> np.ndarray:
    """Differences with mean 0 and the given s.d. of seeds, patients and residual."""
    rows, columns = rng.normal(0, sd[0], (seeds, 1)), rng.normal(0, sd[1], (1, patients))
    return rows + columns + rng.normal(0, sd[2], (seeds, patients))


@pytest.mark.parametrize("sd", [(1.0, 1.0, 1.0), (0.05, 1.0, 1.0), (1.0, 0.2, 0.2)])
def test_coverage_when_seeds_and_patients_vary(sd: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(0)
    hits = [i.low <= 0 <= i.high for i in (crossed_interval(draw(rng, 5, 25, sd)) for _ in range(1500))]
    assert np.mean(hits) > 0.925  # three standard errors below 0.95 are 0.933; Satterthwaite is approximate


def test_treating_seeds_as_fixed_would_not_cover() -> None:
    """The patients-only interval, which papers print, misses the truth when training runs differ."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(500):
        means = draw(rng, 3, 25, (1.0, 1.0, 1.0)).mean(0)
        half = stats.t.ppf(0.975, 24) * means.std(ddof=1) / 5
        hits.append(abs(means.mean()) <= half)
    assert np.mean(hits) < 0.7


@pytest.mark.parametrize(("spread", "cancels"), [(0.0, True), (3.0, False)])
def test_against_the_sums_of_squares_written_out(spread: float, cancels: bool) -> None:
    random = np.random.default_rng(1)
    d = random.normal(size=(3, 4)) + spread * random.normal(size=4)
    g = d.mean()
    ms_s = sum(4 * (d[s].mean() - g) ** 2 for s in range(3)) / 2
    ms_p = sum(3 * (d[:, p].mean() - g) ** 2 for p in range(4)) / 3
    ms_r = sum((d[s, p] - d[s].mean() - d[:, p].mean() + g) ** 2 for s in range(3) for p in range(4)) / 6
    v = (ms_s + ms_p - ms_r) / 12
    got = crossed_interval(d)
    df = v**2 / ((ms_s / 12) ** 2 / 2 + (ms_p / 12) ** 2 / 3 + (ms_r / 12) ** 2 / 6) if v > 0 else 0
    assert (df < 2) == cancels  # both ways of the formula are seen
    if cancels:
        v, df = max(ms_s / 12, ms_p / 12), 2
    assert got.mean == pytest.approx(g)
    assert got.high - got.mean == pytest.approx(stats.t.ppf(0.975, df) * v**0.5)


def test_a_negative_variance_falls_back_to_the_larger_part() -> None:
    d = np.array([[1.0, -1.0], [-1.0, 1.0]])  # both margins are constant: only the residual varies
    assert crossed_interval(d).high == 0.0
    d = d + np.array([[0.1], [-0.1]])
    got = crossed_interval(d)
    assert got.df == 1
    assert got.high == pytest.approx(stats.t.ppf(0.975, 1) * (2 * 0.02 / 4) ** 0.5)


@pytest.mark.parametrize("bad", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, np.nan], [0.0, 0.0]], [1.0, 2.0]])
def test_too_little_is_refused(bad: list) -> None:
    with pytest.raises(ValueError, match="expected finite differences"):
        crossed_interval(bad)


def test_the_p_value_agrees_with_the_interval() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        d = draw(rng, 4, 12, (0.3, 1.0, 1.0)) + 0.4
        got = crossed_interval(d)
        assert (got.p < 0.05) == (got.low > 0 or got.high < 0)


def test_a_model_against_itself_is_exactly_zero() -> None:
    assert crossed_interval(np.zeros((3, 20))).p == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("patient_by_arm", [0.0, 1.0])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0, 2.0])
def test_under_the_null_something_is_claimed_in_at_most_seven_percent(
    seeds: int, patient_by_arm: float, ratio: float
) -> None:
    """2,000 null studies for each: the seeds' deviation is ``ratio`` times the standard error over patients."""
    rng, patients = np.random.default_rng(0), 25
    error = ((patient_by_arm**2 + 1) / patients) ** 0.5
    p = [crossed_interval(draw(rng, seeds, patients, (ratio * error, patient_by_arm, 1.0))).p for _ in range(2000)]
    assert np.mean(np.array(p) < 0.05) <= 0.07
