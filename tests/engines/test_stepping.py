"""medvol.engines.stepping"""

from __future__ import annotations

import itertools

import pytest
import torch
from ignite.engine import Events
from torch import nn

from medvol.engines import FrozenWarmup, StepEvents, WarmupCosine
from medvol.engines.stepping import MAX_SKIPS, OptimizerStep


def with_gradients(*values):
    parameters = [nn.Parameter(torch.zeros(len(v), dtype=torch.float64)) for v in values]
    for p, v in zip(parameters, values, strict=True):
        p.grad = torch.tensor(v, dtype=torch.float64)
    return parameters


def test_clips_like_torch():
    one, two = with_gradients([3.0, 4.0], [12.0]), with_gradients([3.0, 4.0], [12.0])
    expected = torch.nn.utils.clip_grad_norm_(one, 2.5)
    step = OptimizerStep(torch.optim.SGD(two, lr=1.0), clip_norm=2.5)
    assert step.prepare(0)
    assert step.norm == pytest.approx(expected.item()) == 13.0
    for p, q in zip(one, two, strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=0, atol=1e-15)


def test_frozen_gradients_are_dropped_before_clipping():
    modules = [nn.Linear(1, 1, bias=False) for _ in range(2)]
    for module, value in zip(modules, (300.0, 4.0), strict=True):
        module.weight.grad = torch.full((1, 1), value)
    optimizer = torch.optim.SGD([m.weight for m in modules], lr=1.0)
    step = OptimizerStep(optimizer, clip_norm=2.0, freeze=FrozenWarmup(modules[0], 1))
    step.prepare(0)
    assert modules[0].weight.grad is None
    assert modules[1].weight.grad.item() == pytest.approx(2.0)


def test_clips_after_unscaling(trainer_factory):
    """The scaler's factor must cancel: fp16 training ends near fp32 training, although clipping is active."""
    finals = []
    for precision in ("fp32", "fp16"):
        torch.manual_seed(0)
        network = nn.Linear(4, 1)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        trainer, norms = trainer_factory(network=network, optimizer=optimizer, precision=precision, clip_norm=0.25), []
        if precision == "fp16":
            low_scale(trainer)
        trainer.add_event_handler(
            StepEvents.GRADIENTS_READY,
            lambda e, norms=norms: norms.append(
                torch.nn.utils.get_total_norm([p.grad for p in e.network.parameters()])
            ),
        )
        trainer.run()
        assert trainer.state.skipped == 0
        assert torch.stack(norms).tolist() == pytest.approx([0.25] * 6, rel=1e-3)
        finals.append(network.weight.detach())
    torch.testing.assert_close(*finals, rtol=0, atol=2e-3)


class Overflow(nn.MSELoss):
    """Its gradient overflows in the third and fifth call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, prediction, label):
        self.calls += 1
        if self.calls in (3, 5):
            prediction.register_hook(lambda gradient: gradient * float("inf"))
        return super().forward(prediction, label)


def low_scale(trainer):
    """Start the scaler low enough for the tiny network, whose gradients would else overflow fp16 in the first steps."""
    trainer.scaler.load_state_dict(trainer.scaler.state_dict() | {"scale": 16.0})


def test_skipped_steps_do_not_count(trainer_factory):
    torch.manual_seed(0)
    network = nn.Linear(4, 1)
    fired, states = [], []
    trainer = trainer_factory(
        network=network,
        loss_function=Overflow(),
        precision="fp16",
        steps=4,
        steps_per_epoch=2,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        lr_scheduler=lambda o: WarmupCosine(o, 0, 4),
    )
    low_scale(trainer)
    for event in (StepEvents.GRADIENTS_READY, StepEvents.OPTIMIZER_STEPPED):
        trainer.add_event_handler(event, lambda e, event=event: fired.append((event.name, e.state.step)))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: states.append(network.weight.detach().clone()))
    trainer.run()
    state = trainer.state
    assert (state.step, state.skipped, state.iteration, state.examples) == (4, 2, 6, 12)
    assert (state.epoch, state.max_epochs) == (3, 3)  # the training takes two groups more
    assert fired == [(n, s + i) for s in range(4) for i, n in enumerate(["GRADIENTS_READY", "OPTIMIZER_STEPPED"])]
    assert [torch.equal(a, b) for a, b in itertools.pairwise(states)] == [False, True, False, True, False]
    assert trainer.lr_scheduler.last_epoch == 4
    assert trainer.scaler.get_scale() == 16 / 4


def test_refuses_gradients_that_are_never_finite():
    (parameter,) = with_gradients([float("nan")])
    with pytest.raises(FloatingPointError, match=r"finite gradients, found a norm of nan in the step after step 7 \("):
        OptimizerStep(torch.optim.SGD([parameter], lr=1.0)).prepare(7)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.zeros(1))
    step = OptimizerStep(torch.optim.SGD([parameter], lr=1.0), scaler=scaler)
    for _ in range(MAX_SKIPS):
        assert not step.prepare(0)
    with pytest.raises(FloatingPointError, match=f"{MAX_SKIPS + 1} times in a row"):
        step.prepare(0)
