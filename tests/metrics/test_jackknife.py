from __future__ import annotations

import numpy as np
import pytest

from medvol.metrics.jackknife import by_patient, pseudo_values


def kappa(y: np.ndarray, x: np.ndarray) -> float:
    by_chance = ((y[:, None] - x) ** 2).mean()
    return float(1 - ((y - x) ** 2).mean() / by_chance)


def auroc(y: np.ndarray, x: np.ndarray) -> float:
    return float((x[y == 1][:, None] > x[y == 0]).mean())


def test_of_a_mean_they_are_the_values_themselves() -> None:
    x = np.random.default_rng(0).normal(size=20)
    assert pseudo_values(np.mean, x) == pytest.approx(x)


def test_against_the_definition_written_out() -> None:
    rng = np.random.default_rng(0)
    y, x = rng.integers(0, 5, 12), rng.integers(0, 5, 12)
    left = [kappa(np.delete(y, k), np.delete(x, k)) for k in range(12)]
    assert pseudo_values(kappa, y, x) == pytest.approx(12 * kappa(y, x) - 11 * np.array(left))


def test_their_mean_is_close_to_the_metric_of_the_whole_set() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 100)
    x = np.clip(y + rng.integers(-1, 2, 100), 0, 4)
    assert pseudo_values(kappa, y, x).mean() == pytest.approx(kappa(y, x), abs=0.005)
    y = np.repeat([0, 1], 50)
    score = y + rng.normal(size=100)
    assert pseudo_values(auroc, y, score).mean() == pytest.approx(auroc(y, score), abs=0.005)


def test_their_spread_is_that_of_the_metric() -> None:
    """The standard error of their mean is that of many data sets; so the seeds x patients model may use them."""
    rng = np.random.default_rng(0)
    found, errors = [], []
    for _ in range(60):
        y = np.repeat([0, 1], 30)
        x = y + rng.normal(size=60)
        values = pseudo_values(auroc, y, x)
        found.append(auroc(y, x))
        errors.append(values.std(ddof=1) / 60**0.5)
    assert np.mean(errors) == pytest.approx(np.std(found, ddof=1), rel=0.25)


def test_a_patient_leaves_with_all_images() -> None:
    x, names = np.array([1.0, 2.0, 3.0, 10.0]), ["b", "b", "a", "c"]
    without = [np.mean([1, 2, 10]), np.mean([3, 10]), np.mean([1, 2, 3])]  # a, b, c
    assert pseudo_values(np.mean, x, patients=names) == pytest.approx(3 * 4.0 - 2 * np.array(without))
    assert by_patient((x,), names)[1].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arrays", "patients", "message"),
    [
        (([1.0, 2.0], [1.0]), None, "one row per image"),
        (([1.0, 2.0],), ["a"], "one row per image"),
        ((), None, "at least 2 patients"),
        (([1.0],), None, "at least 2 patients"),
        (([1.0, 2.0],), ["a", "a"], "at least 2 patients; found 1"),
        ((3.0,), None, "at least 2 patients; found 0"),
    ],
)
def test_impossible_sets_are_refused(arrays: tuple, patients: list | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pseudo_values(lambda *rows: 1.0, *arrays, patients=patients)


def test_a_metric_that_one_patient_holds_up_is_refused_with_the_patient() -> None:
    spread = lambda y: float(np.ptp(y)) or float("nan")  # noqa: E731
    with pytest.raises(ValueError, match="found nan without patient p3"):
        pseudo_values(spread, [0, 0, 1], patients=["p1", "p2", "p3"])
