"""The accuracy over voxels, its chance and Dice, against a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from medvol.metrics import VoxelAccuracy


def slow(output: torch.Tensor, label: torch.Tensor) -> dict[str, float]:
    right = most = voxels = 0
    dices = []
    for logits, truth in zip(output, label[:, 0], strict=True):
        pairs = [
            (int(t), int(p)) for t, p in zip(truth.flatten(), logits.flatten(1).argmax(0), strict=True) if not t < 0
        ]
        if not pairs:
            continue
        right += sum(t == p for t, p in pairs)
        voxels += len(pairs)
        most += max(sum(t == c for t, _ in pairs) for c in range(len(logits)))
        one = []
        for c in {t for t, _ in pairs}:
            both, either = sum(t == p == c for t, p in pairs), sum((t == c) + (p == c) for t, p in pairs)
            one.append(2 * both / either)
        dices.append(np.mean(one))
    return {"accuracy": right / voxels, "chance": most / voxels, "dice": float(np.mean(dices))}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_against_a_loop(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(4, 5, 3, 4, 2, generator=generator)
    label = torch.randint(0, 5, (4, 1, 3, 4, 2), generator=generator) // 2
    if dtype != torch.uint8:
        label[0, 0, :2] = -1
        label[3] = -1
    monitor = VoxelAccuracy()
    for part, truth in zip(output.split(3), label.to(dtype).split(3), strict=True):
        monitor.update(part, truth)
    assert monitor.compute() == pytest.approx(slow(output, label))


def test_nan_is_left_out_and_right_is_one() -> None:
    label = torch.tensor([[[[0.0, 1.0], [2.0, math.nan]]]])
    output = torch.nn.functional.one_hot(label[:, 0].nan_to_num().long(), 3).movedim(-1, 1).float()
    output[..., 1, 1] = torch.tensor([0.0, 9.0, 0.0])
    monitor = VoxelAccuracy()
    monitor.update(output, label)
    assert monitor.compute() == {"accuracy": 1.0, "chance": pytest.approx(1 / 3), "dice": 1.0}


def test_one_answer_for_all_is_chance() -> None:
    label = torch.tensor([[[0, 0, 0, 1]], [[0, 0, 2, 0]]])
    monitor = VoxelAccuracy()
    monitor.update(torch.zeros(2, 3, 4), label)
    found = monitor.compute()
    assert found["accuracy"] == found["chance"] == 0.75
    assert found["dice"] == pytest.approx(3 / 7)  # 6/7 of one of two classes


def test_nothing_seen_and_reset() -> None:
    monitor = VoxelAccuracy()
    assert all(math.isnan(value) for value in monitor.compute().values())
    monitor.update(torch.zeros(1, 2, 3), torch.full((1, 1, 3), -1))
    assert all(math.isnan(value) for value in monitor.compute().values())
    monitor.update(torch.zeros(1, 2, 3), torch.zeros(1, 1, 3))
    monitor.reset()
    assert math.isnan(monitor.compute()["dice"])


def test_all_processes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medvol.metrics.voxels.all_sum", lambda sums: sums + torch.tensor([0.0, 3, 4, 0, 1]))
    monitor = VoxelAccuracy()
    monitor.update(torch.zeros(1, 2, 4), torch.zeros(1, 1, 4))
    assert monitor.compute() == {"accuracy": 0.5, "chance": 7 / 8, "dice": 0.5}


def test_what_does_not_fit_is_refused() -> None:
    monitor = VoxelAccuracy()
    with pytest.raises(ValueError, match="must be from 0 to 2, one for each logit; found 3; give the network"):
        monitor.update(torch.zeros(1, 3, 2), torch.tensor([[[0, 3]]]))
    with pytest.raises(ValueError, match=r"the shape \(1, 1, 2\) for logits \(1, 3, 2\); found \(1, 1, 3\)"):
        monitor.update(torch.zeros(1, 3, 2), torch.zeros(1, 1, 3))
    with pytest.raises(ValueError, match="found none"):
        monitor.update(torch.zeros(1, 3, 2), None)
    with pytest.raises(ValueError, match="a network that returns one map"):
        monitor.update(torch.zeros(1, 2, 3, 4, 4), torch.zeros(1, 1, 4, 4))
    for number in (0, 2):
        lost = torch.zeros(1, 3, 2)
        lost[0, number, 1] = torch.nan
        with pytest.raises(ValueError, match="logits must be numbers; found NaN in 1 voxels"):
            monitor.update(lost, torch.zeros(1, 1, 2))
