from __future__ import annotations

import numpy as np
import pytest

from medvol.metrics.holm import holm


def test_the_smallest_pays_for_all_of_them() -> None:
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])  # 2 x 0.03, 3 x 0.01, never below the last
    assert holm([0.02, 0.02, 0.5]) == pytest.approx([0.06, 0.06, 0.5])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])


@pytest.mark.slow
def test_like_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 8):
        p = rng.uniform(size=size) ** 3
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    ties = [0.02, 0.02, 0.5, 0.01, 0.02]
    assert holm(ties) == pytest.approx(multipletests(ties, method="holm")[1])


def test_order_and_bounds() -> None:
    p = np.array([0.04, 0.001, 0.9, 0.02])
    got = holm(p)
    assert (got >= p).all()
    assert got.max() <= 1
    assert (np.argsort(got, kind="stable") == np.argsort(p)).all()
    assert holm([0.03]).tolist() == [0.03]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("bad", [[-0.1], [1.1], [np.nan], [[0.1, 0.2]]])
def test_what_is_no_probability_is_refused(bad: list) -> None:
    with pytest.raises(ValueError, match="p-values must be a list"):
        holm(bad)
