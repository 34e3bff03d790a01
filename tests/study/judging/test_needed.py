from __future__ import annotations

import numpy as np
import pytest

from medvol.metrics import Components, patients_needed, seeds_needed
from medvol.study.judging.needed import more_patients, more_seeds


def components(seeds: int, patients: int, sd: tuple[float, float, float]) -> Components:
    s, p, r = (value**2 for value in sd)
    return Components(0.0, seeds, patients, (patients * s + r, seeds * p + r, r))


def test_numbers_that_exist_are_those_of_the_search() -> None:
    parts = components(3, 20, (0.01, 0.02, 0.03))
    assert more_seeds(parts, 0.03) == seeds_needed(parts, 0.03)
    parts = components(4, 20, (0.001, 0.05, 0.05))
    assert more_patients(parts, 0.03) == patients_needed(parts, 0.03) > 20
    assert more_patients(components(4, 20, (0.1, 0.05, 0.05)), 0.01) is None


@pytest.mark.slow
def test_the_short_cut_changes_no_answer() -> None:
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(30):
        sd = 10 ** rng.uniform(-2.5, -1, 3)
        parts, difference = components(int(rng.integers(3, 8)), int(rng.integers(5, 40)), sd), 10 ** rng.uniform(-2, -1)
        answers.append((more_seeds(parts, difference), more_patients(parts, difference)))
        assert answers[-1] == (seeds_needed(parts, difference), patients_needed(parts, difference))
    assert {type(one) for pair in answers for one in pair} == {int, type(None)}, answers


def test_the_direction_does_not_matter() -> None:
    parts = components(3, 20, (0.02, 0.0, 0.05))
    assert more_seeds(parts, 0.05) == more_seeds(parts, -0.05) > 3


@pytest.mark.parametrize("function", [more_seeds, more_patients])
def test_nothing_shows_no_difference(function: object) -> None:
    assert function(components(3, 20, (0.02, 0.0, 0.05)), 0.0) is None
    assert function(components(3, 20, (0.0, 0.0, 0.0)), 0.0) is None
    assert function(components(3, 20, (0.0, 0.0, 0.0)), 0.1) == 2
