from __future__ import annotations

import numpy as np
import pytest

from medvol.metrics import crossed_interval, holm
from medvol.study.judging.deciding import decide


def differences(mean: float, seeds: int = 5, patients: int = 20, draw: int = 0) -> np.ndarray:
    rng = np.random.default_rng(draw)
    noise = rng.normal(0, 0.01, (seeds, 1)) + rng.normal(0, 0.02, patients) + rng.normal(0, 0.03, (seeds, patients))
    return mean + noise - noise.mean()


def test_the_sign_says_which() -> None:
    assert [d.word for d in decide([differences(0.1), differences(-0.1), differences(0.0)])] == [
        "helps", "harms", "no evidence",
    ]  # fmt: skip


def test_holm_runs_over_the_family() -> None:
    family = [differences(mean, draw=k) for k, mean in enumerate((0.03, 0.02, 0.0))]
    alone = [crossed_interval(d).p for d in family]
    got = decide(family)
    assert [d.p for d in got] == pytest.approx(holm(alone).tolist())
    assert [d.interval.p for d in got] == alone


def test_a_difference_that_is_clear_alone_may_not_be_among_many() -> None:
    clear = differences(0.012)
    assert decide([clear])[0].word == "helps"
    family = decide([clear, differences(0.0, draw=1), differences(0.0, draw=2)])
    assert family[0].word == "no evidence"
    assert family[0].interval.low > 0


def test_an_arm_that_is_not_judged_stays_in_the_family() -> None:
    clear = differences(0.012)
    got = decide([clear, np.empty((0, 0)), differences(0.5, seeds=2)])
    assert [d.word for d in got] == ["no evidence", "not judged", "not judged"]
    assert got[0].p == pytest.approx(3 * crossed_interval(clear).p)


@pytest.mark.parametrize(
    ("d", "reason"),
    [
        (np.empty((0, 0)), "no paired scores"),
        (np.ones((1, 20)), "1 paired seed, and at least 3"),
        (np.ones((2, 20)), "2 paired seeds, and at least 3 are needed"),
        (np.ones((3, 1)), "1 patient, and at least 2 are needed"),
        (np.full((3, 20), 0.1), "the very same difference"),
    ],
)
def test_what_is_not_judged_says_why(d: np.ndarray, reason: str) -> None:
    got = decide([d])[0]
    assert (got.word, got.interval, got.p) == ("not judged", None, None)
    assert reason in got.reason


def test_a_model_against_itself() -> None:
    got = decide([np.zeros((3, 20))])[0]
    assert (got.word, got.interval.mean, got.interval.low, got.interval.high, got.p) == ("no evidence", 0, 0, 0, 1)


def test_last_digits_are_no_spread() -> None:
    d = np.full((5, 20), 0.8) - np.full((5, 20), 0.5) + 1e-15 * np.random.default_rng(0).normal(size=(5, 20))
    assert decide([d])[0].word == "not judged"


def test_an_empty_family() -> None:
    assert decide([]) == []
