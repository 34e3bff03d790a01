"""Two ways of doing the same work, timed in turns: a ratio holds where a single time does not."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest


@pytest.fixture
def in_turns() -> Callable[..., tuple[float, float]]:
    """``in_turns(a, b, rounds)`` returns the median seconds of each, after a warm-up of both, measured A B A B ..."""

    def measure(a: Callable[[], object], b: Callable[[], object], rounds: int = 7) -> tuple[float, float]:
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(rounds + 1):
            for function, seconds in ((a, times[0]), (b, times[1])):
                start = time.perf_counter()
                function()
                if turn:
                    seconds.append(time.perf_counter() - start)
        return statistics.median(times[0]), statistics.median(times[1])

    return measure
