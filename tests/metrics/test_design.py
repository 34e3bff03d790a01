from __future__ import annotations

import numpy as np
import pytest

from medvol.metrics.components import Components
from medvol.metrics.design import patients_needed, power, seeds_needed, smallest_difference
from medvol.metrics.statistics import crossed_interval

PILOT = Components(0.0, 3, 20, (0.02, 0.004, 0.002))


def components(seeds: int, patients: int, sd: tuple[float, float, float]) -> Components:
    """The expected mean squares of standard deviations of seeds, patients and residual."""
    s, p, r = (value**2 for value in sd)
    return Components(0.0, seeds, patients, (patients * s + r, seeds * p + r, r))


@pytest.mark.parametrize("sd", [(0.03, 0.05, 0.05), (0.0, 0.05, 0.05), (0.05, 0.01, 0.02)])
def test_the_power_is_that_of_simulated_studies(sd: tuple[float, float, float]) -> None:
    """Which way the interval goes counts: a design that shows harm where there is help has shown nothing."""
    seeds, patients, effect = 5, 20, 0.05
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(1500):
        rows, columns = rng.normal(0, sd[0], (seeds, 1)), rng.normal(0, sd[1], (1, patients))
        shown += crossed_interval(effect + rows + columns + rng.normal(0, sd[2], (seeds, patients))).low > 0
    # The estimated degrees of freedom vary from study to study; the formula takes those of the expectation.
    assert power(components(seeds, patients, sd), effect) == pytest.approx(shown / 1500, abs=0.07)


def test_the_smallest_difference_has_the_wanted_power() -> None:
    for wanted in (0.5, 0.8, 0.9):
        assert power(PILOT, smallest_difference(PILOT, wanted=wanted)) == pytest.approx(wanted, abs=1e-6)


def test_the_numbers_needed_are_the_smallest() -> None:
    n = seeds_needed(PILOT, 0.05)
    assert power(PILOT, 0.05, seeds=n) >= 0.8 > power(PILOT, 0.05, seeds=n - 1)
    few_seeds_effect = components(3, 20, (0.001, 0.05, 0.05))
    n = patients_needed(few_seeds_effect, 0.02)
    assert power(few_seeds_effect, 0.02, patients=n) >= 0.8 > power(few_seeds_effect, 0.02, patients=n - 1)


def test_all_numbers_at_once_are_those_of_a_search_one_by_one() -> None:
    for sd, difference in (((0.01, 0.02, 0.03), 0.03), ((0.001, 0.05, 0.05), 0.03), ((0.004, 0.004, 0.03), 0.02)):
        parts = components(4, 20, sd)
        for key, found in (
            ("seeds", seeds_needed(parts, difference)),
            ("patients", patients_needed(parts, difference)),
        ):
            slow = next((n for n in range(2, 100) if power(parts, difference, **{key: n}) >= 0.8), None)
            assert found == slow or (slow is None and (found is None or found >= 100)), (sd, key)


@pytest.mark.parametrize("function", [seeds_needed, patients_needed])
def test_numbers_needed_at_the_ends(function: object) -> None:
    assert function(PILOT, 0.0) is None
    assert function(components(3, 20, (0.0, 0.0, 0.0)), 0.0) is None
    assert function(components(3, 20, (0.0, 0.0, 0.0)), 0.1) == 2
    assert function(components(3, 20, (0.02, 0.0, 0.05)), 0.05) == function(components(3, 20, (0.02, 0.0, 0.05)), -0.05)


def test_more_patients_do_not_help_where_seeds_differ() -> None:
    assert patients_needed(PILOT, 0.02) is None


def test_a_larger_difference_is_shown_more_often_in_either_direction() -> None:
    assert power(PILOT, 0.1) == power(PILOT, -0.1) > power(PILOT, 0.05) > power(PILOT, 0.0)
    assert power(PILOT, 0.0) == pytest.approx(0.025)


def test_negative_variances_count_as_zero_and_none_at_all_as_certainty() -> None:
    assert power(Components(0.0, 3, 20, (0.0, 0.0, 1.0)), 0.5) > 0
    still = Components(0.0, 3, 20, (0.0, 0.0, 0.0))
    assert (power(still, 0.1), power(still, 0.0), smallest_difference(still)) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("wrong", [{"seeds": 1}, {"patients": 1}, {"alpha": 0.0}])
def test_impossible_designs_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="a design must have"):
        power(PILOT, 0.1, **wrong)


@pytest.mark.parametrize("wanted", [0.01, 1.0])
def test_impossible_powers_are_refused(wanted: float) -> None:
    with pytest.raises(ValueError, match="the wanted power"):
        smallest_difference(PILOT, wanted=wanted)
