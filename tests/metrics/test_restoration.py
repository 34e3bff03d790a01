"""The error of reconstructions, and the share of the variance they explain."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medvol.metrics import RestorationError

GENERATOR = torch.Generator().manual_seed(0)
SHAPE = (6, 2, 4, 3, 5)
CLEAN = torch.randn(SHAPE, generator=GENERATOR, dtype=torch.float64) + 5 * torch.arange(6.0)[:, None, None, None, None]
X = CLEAN + torch.randn(SHAPE, generator=GENERATOR, dtype=torch.float64) / 3
MASK = (torch.rand(6, 1, 4, 3, 5, generator=GENERATOR) < 0.7).float()
LABEL = CLEAN.masked_fill(torch.rand(SHAPE, generator=GENERATOR) < 0.2, math.nan)


def fed(x: torch.Tensor, label: torch.Tensor, mask: torch.Tensor | None = None, activation: str | None = None) -> dict:
    """What a monitor says that has seen two batches of different size."""
    monitor = RestorationError(activation)
    for part in (slice(2), slice(2, None)):
        monitor.update(x[part] if mask is None else (x[part], mask[part]), label[part])
    return monitor.compute()


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_against_a_loop(masked: bool, activation: str | None) -> None:
    errors, distances = [], []
    for b in range(6):
        for c in range(2):
            keep = ~np.isnan(LABEL[b, c].numpy())
            keep &= MASK[b, 0].numpy() == 1 if masked else True
            x, y = X[b, c].numpy()[keep], LABEL[b, c].numpy()[keep]
            x = 1 / (1 + np.exp(-x)) if activation else x
            errors += list((x - y) ** 2)
            distances += list((y - y.mean()) ** 2)
    found = fed(X, LABEL, MASK if masked else None, activation)
    assert found["mse"] == pytest.approx(np.mean(errors), rel=1e-12)
    assert found["explained"] == pytest.approx(1 - np.mean(errors) / np.mean(distances), rel=1e-12)


def test_perfect_is_one_and_the_mean_of_each_sample_and_channel_is_zero() -> None:
    assert fed(CLEAN, LABEL, MASK) == {"mse": 0, "explained": 1}
    counted = MASK.bool() & ~LABEL.isnan()
    mean = torch.where(counted, LABEL, 0).sum((2, 3, 4), keepdim=True) / counted.sum((2, 3, 4), keepdim=True)
    assert fed(mean.expand(SHAPE), LABEL, MASK)["explained"] == pytest.approx(0, abs=1e-12)
    assert fed(mean.expand(SHAPE).float(), LABEL.float(), MASK)["explained"] == pytest.approx(0, abs=1e-5)
    assert fed(CLEAN.mean().expand(SHAPE), LABEL, MASK)["explained"] < -1


def test_visible_voxels_do_not_matter() -> None:
    assert fed(torch.where(MASK == 1, X, 1e6), LABEL, MASK) == fed(X, LABEL, MASK)


def test_nothing_and_reset() -> None:
    monitor = RestorationError()
    assert all(math.isnan(value) for value in monitor.compute().values())
    monitor.update((X, MASK), LABEL)
    monitor.reset()
    monitor.update((X, MASK), torch.full_like(LABEL, math.nan))
    assert all(math.isnan(value) for value in monitor.compute().values())


def test_one_gray_explains_nothing() -> None:
    found = fed(torch.ones(SHAPE), torch.zeros(SHAPE))
    assert found["mse"] == 1
    assert math.isnan(found["explained"])


def test_half_precision_is_computed_in_single() -> None:
    found = fed(torch.full(SHAPE, 300.0).half(), torch.zeros(SHAPE))
    assert found["mse"] == 90000


def test_all_processes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    other = torch.tensor([7.0, 20.0, 6.0], dtype=torch.float64)  # what the monitor of another process holds
    alone = RestorationError()
    alone.update((X, MASK), LABEL)
    errors, spread, number = alone._sums.tolist()
    monkeypatch.setattr("medvol.metrics.restoration.all_sum", lambda own: own + other)
    found = fed(X, LABEL, MASK)
    assert found["mse"] == pytest.approx((errors + 7) / (number + 6), rel=1e-12)
    assert found["explained"] == pytest.approx(1 - (errors + 7) / (spread + 20), rel=1e-12)


@pytest.mark.parametrize(
    ("output", "label"),
    [
        ((X, MASK), CLEAN[:1]),
        (X, None),
        ((X, MASK[..., :1]), CLEAN),
        ((X, MASK, MASK), CLEAN),
        (X[:, :, 0, 0, 0], CLEAN[:, :, 0, 0, 0]),
    ],
)
def test_what_does_not_fit(output: object, label: torch.Tensor | None) -> None:
    with pytest.raises(ValueError, match=r"takes a reconstruction \(B, C, \*spatial\).*found \(6, 2.*it goes with"):
        RestorationError().update(output, label)


def test_unknown_activation() -> None:
    with pytest.raises(ValueError, match="activation must be one of None, sigmoid; found 'tanh'"):
        RestorationError("tanh")
