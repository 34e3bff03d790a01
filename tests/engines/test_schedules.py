"""medvol.engines.schedules"""

from __future__ import annotations

import io
import itertools
import math

import pytest
import torch
from torch import nn

from medvol.engines import Constant, FrozenWarmup, StepEvents, WarmupCosine


def rates(steps, **arguments):
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [parameters[0]]}, {"params": [parameters[1]], "lr": 0.1}], lr=1.0)
    schedule = WarmupCosine(optimizer, **arguments)
    used = []
    for _ in range(steps):
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return used


def test_values_in_every_group():
    used = rates(12, warmup_steps=4, total_steps=10, final=0.2)
    expected = [0.25, 0.5, 0.75, 1.0]
    expected += [0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * i / 6)) for i in range(6)] + [0.2, 0.2]
    assert [u[0] for u in used] == pytest.approx(expected, abs=1e-12)
    assert [u[1] for u in used] == pytest.approx([0.1 * e for e in expected], abs=1e-12)


def test_starts_above_zero_and_never_rises_after_the_end():
    used = [u[0] for u in rates(60, warmup_steps=3, total_steps=20)]
    assert used[0] > 0
    assert all(later <= earlier + 1e-15 for earlier, later in itertools.pairwise(used[3:]))
    assert used[20:] == [0.0] * 40


def test_no_warmup_and_a_training_within_the_warmup():
    assert rates(1, warmup_steps=0, total_steps=2)[0][0] == 1.0
    assert [u[0] for u in rates(2, warmup_steps=4, total_steps=2)] == [0.25, 0.5]


def test_state_survives_a_weights_only_file():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = WarmupCosine(optimizer, 2, 8)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    buffer = io.BytesIO()
    torch.save(schedule.state_dict(), buffer)
    buffer.seek(0)
    other = WarmupCosine(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), 2, 8)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    for part in (schedule, other):
        part.optimizer.step()
        part.step()
    assert other.get_last_lr() == schedule.get_last_lr()


@pytest.mark.parametrize("arguments", [(-1, 5), (0, 0), (1, 5, 1.5), (1, 5, -0.1)])
def test_schedule_refuses(arguments):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    with pytest.raises(ValueError, match=r"expected .* found .*; "):
        WarmupCosine(optimizer, *arguments)


def test_a_constant_rate_refuses_a_negative_warm_up():
    with pytest.raises(ValueError, match=r"warmup_steps >= 0, found -1; "):
        Constant(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), -1)


@pytest.mark.parametrize("optimizer_class", [torch.optim.AdamW, torch.optim.SGD])
def test_warmup_freezes_weights_and_statistics_then_all_learn(trainer_factory, optimizer_class):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    network = nn.Sequential(encoder, nn.Linear(3, 1))
    extra = {"momentum": 0.9} if optimizer_class is torch.optim.SGD else {}
    optimizer = optimizer_class(network.parameters(), lr=0.01, weight_decay=0.1, **extra)
    seen = []
    trainer = trainer_factory(
        network=network, optimizer=optimizer, steps=5, accumulation_steps=2, freeze=FrozenWarmup(encoder, steps=3)
    )
    trainer.add_event_handler(StepEvents.OPTIMIZER_STEPPED, lambda: seen.append(_copy(network)))
    start = _copy(network)
    trainer.run()
    frozen = {name for name in start if name.startswith("0.")}
    assert len(frozen) == 7
    for state in seen[:3]:
        assert all(torch.equal(state[name], start[name]) for name in frozen)
    assert all(not torch.equal(seen[i]["1.weight"], seen[i + 1]["1.weight"]) for i in range(4))
    assert all(not torch.equal(seen[4][name], start[name]) for name in start)


def test_nothing_to_freeze():
    assert not FrozenWarmup([], 10).active(0)


def test_freeze_refuses():
    with pytest.raises(ValueError, match="steps >= 0, found -1"):
        FrozenWarmup(nn.Linear(1, 1), -1)
    with pytest.raises(TypeError, match="found str"):
        FrozenWarmup(["encoder"], 1)


def _copy(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}
