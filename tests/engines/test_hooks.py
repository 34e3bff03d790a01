"""medvol.engines.hooks, and when the suite calls them"""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from torch import nn

from medvol.engines import TrainingSuite
from medvol.engines.hooks import HookCaller


class Recorder(nn.Module):
    """Notes every call with the weight and the gradient it saw, in a buffer's stead."""

    def __init__(self, log, name, weight=None):
        super().__init__()
        self.log, self.name, self.weight = log, name, weight

    def note(self, hook, number):
        weight = None if self.weight is None else self.weight[0]
        seen = () if weight is None else (weight.detach().clone(), weight.grad is not None)
        self.log.append((self.name, hook, number, torch.rand(()).item(), torch.is_grad_enabled(), *seen))

    def on_gradients_ready(self, step):
        self.note("ready", step)

    def on_optimizer_step(self, step):
        self.note("step", step)

    def on_epoch(self, epoch):
        self.note("epoch", epoch)


class Network(nn.Module):
    def __init__(self, log):
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.inner = nn.Sequential(nn.Identity(), Recorder(log, "network", [self.layer.weight]))

    def forward(self, x):
        return self.layer(x)


class Loss(nn.MSELoss):
    def __init__(self, log):
        super().__init__()
        self.part = Recorder(log, "loss")


class StopError(Exception):
    pass


def train(factory, folder, log, stop_at=None, **changes):
    network = Network(log)
    suite = TrainingSuite(folder, product=network, save_every_steps=1, mlflow=False, progress=False)
    trainer = factory(
        network=network, loss_function=changes.pop("loss", None) or Loss(log), train_handlers=[suite], **changes
    )
    if stop_at is not None:

        def stop(engine):
            if engine.state.iteration == stop_at:
                raise StopError

        trainer.add_event_handler(Events.ITERATION_STARTED, stop)
        with pytest.raises(StopError):
            trainer.run()
    else:
        trainer.run()
    return trainer


def names(log):
    return [(name, hook, number) for name, hook, number, *_ in log]


def expected(steps, per_epoch):
    calls = []
    for step in range(1, steps + 1):
        calls += [(name, "ready", step - 1) for name in ("network", "loss")]
        calls += [(name, "step", step) for name in ("network", "loss")]
        if step % per_epoch == 0 or step == steps:
            calls += [(name, "epoch", -(-step // per_epoch)) for name in ("network", "loss")]
    return calls


@pytest.mark.parametrize("accumulation", [1, 3])
def test_once_per_optimizer_step_in_order(trainer_factory, tmp_path, accumulation):
    log = []
    train(trainer_factory, tmp_path / "run", log, steps=5, accumulation_steps=accumulation)
    assert names(log) == expected(5, 3)
    assert not any(grad for _, _, _, _, grad, *_ in log)


def test_before_and_after_the_weights_move(trainer_factory, tmp_path):
    log = []
    train(trainer_factory, tmp_path / "run", log, steps=3)
    seen = [(hook, weight, grad) for name, hook, _, _, _, weight, grad in (e for e in log if e[0] == "network")]
    for (ready, old, has_grad), (stepped, new, _) in zip(seen[:6:2], seen[1:6:2], strict=True):
        assert (ready, stepped, has_grad) == ("ready", "step", True)
        assert not torch.equal(old, new)
    assert torch.equal(seen[1][1], seen[2][1])


def test_not_when_a_scaler_skipped(trainer_factory, tmp_path):
    class Overflow(Loss):
        calls = 0

        def forward(self, prediction, label):
            self.calls += 1
            if self.calls == 2:
                prediction.register_hook(lambda gradient: gradient * float("inf"))
            return prediction.mean() * 1e-3

    log = []
    trainer = train(trainer_factory, tmp_path / "run", log, loss=Overflow(log), precision="fp16", steps=3)
    assert trainer.state.skipped == 1
    assert [c for c in names(log) if c[1] != "epoch"] == [c for c in expected(3, 3) if c[1] != "epoch"]


@pytest.mark.parametrize("stop_at", [2, 5, 8])
def test_a_continued_training_makes_the_same_calls(trainer_factory, tmp_path, stop_at):
    whole, parts = [], []
    settings = {"steps": 4, "steps_per_epoch": 2, "accumulation_steps": 2}
    train(trainer_factory, tmp_path / "whole", whole, **settings)
    train(trainer_factory, tmp_path / "parts", parts, stop_at=stop_at, **settings)
    train(trainer_factory, tmp_path / "parts", parts, **settings)
    # Draws too: torch is seeded for the hooks, so what a hook draws is the same after a resume.
    assert [e[:4] for e in parts] == [e[:4] for e in whole]
    assert len({e[3] for e in whole}) == len(whole)


def test_a_module_in_both_places_is_called_once():
    log = []
    shared = Recorder(log, "shared")
    loss = nn.Module()
    loss.part = shared
    HookCaller(nn.Sequential(shared), loss, seed=0).call("on_epoch", 1)
    assert names(log) == [("shared", "epoch", 1)]


def test_loss_need_not_be_a_module():
    HookCaller(nn.Identity(), nn.functional.mse_loss, seed=0).call("on_optimizer_step", 1)


def test_draws_do_not_depend_on_what_was_drawn_before():
    log = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        HookCaller(Recorder(log, "module"), None, seed=5).call("on_optimizer_step", 3)
    assert log[0][3] == log[1][3]


def test_what_an_epoch_changes_is_in_its_checkpoint(trainer_factory, tmp_path):
    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(4, 1)
            self.register_buffer("epochs", torch.tensor(0))

        def on_epoch(self, epoch):
            self.epochs += 1

    def new():
        network = Counting()
        suite = TrainingSuite(tmp_path / "run", product=network, save_every_steps=1, mlflow=False, progress=False)
        return trainer_factory(network=network, train_handlers=[suite], steps=6, steps_per_epoch=3)

    trainer = new()

    @trainer.on(Events.ITERATION_STARTED(once=4))
    def stop():
        raise StopError

    with pytest.raises(StopError):
        trainer.run()
    trainer = new()
    trainer.run()
    assert trainer.unwrapped.epochs == 2
