from __future__ import annotations

import numpy as np
import pytest

from medvol.metrics.components import crossed_components


def test_against_the_sums_of_squares_written_out() -> None:
    d = np.random.default_rng(1).normal(size=(3, 4))
    g = d.mean()
    ms_s = sum(4 * (d[s].mean() - g) ** 2 for s in range(3)) / 2
    ms_p = sum(3 * (d[:, p].mean() - g) ** 2 for p in range(4)) / 3
    ms_r = sum((d[s, p] - d[s].mean() - d[:, p].mean() + g) ** 2 for s in range(3) for p in range(4)) / 6
    got = crossed_components(d)
    assert got.mean_squares == pytest.approx((ms_s, ms_p, ms_r))
    assert got.degrees == (2, 3, 6)
    assert got.variances == pytest.approx(((ms_s - ms_r) / 4, (ms_p - ms_r) / 3, ms_r))


def test_the_variances_come_back_on_average() -> None:
    rng = np.random.default_rng(0)
    found = [
        crossed_components(rng.normal(0, 2, (4, 1)) + rng.normal(0, 1, (1, 6)) + rng.normal(0, 0.5, (4, 6))).variances
        for _ in range(3000)
    ]
    assert np.mean(found, axis=0) == pytest.approx([4.0, 1.0, 0.25], rel=0.06)


@pytest.mark.parametrize("bad", [[[1.0, 2.0]], [[1.0], [2.0]], [[1.0, np.nan], [0.0, 0.0]], [1.0, 2.0]])
def test_too_little_is_refused(bad: list) -> None:
    with pytest.raises(ValueError, match="expected finite differences"):
        crossed_components(bad)
