"""Time of one phantom patient at the default spacing, on one core."""

import pytest

from medvol.data.case import make_case


@pytest.mark.speed
@pytest.mark.benchmark(group="phantom")
def test_case_at_two_millimeters(benchmark):
    """Below 1.5 s; it took 0.3 s where it was written, and the sketch before it 2.9 s."""
    make_case(0)  # the template is read once per process
    benchmark.pedantic(make_case, args=(1,), rounds=3)
    assert benchmark.stats["median"] < 1.5
