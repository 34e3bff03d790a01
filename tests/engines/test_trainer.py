"""medvol.engines.trainer"""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.data import MetaTensor
from torch import nn

from medvol.engines import StepEvents, Trainer, WarmupCosine


def weights(trainer):
    return torch.cat([p.detach().reshape(-1) for p in trainer.unwrapped.parameters()])


@pytest.mark.parametrize(("steps", "per_epoch"), [(1, 4), (3, 3), (4, 3), (6, 3), (7, 2)])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_ends_exactly_at_steps(trainer_factory, steps, per_epoch, accumulation):
    trainer = trainer_factory(steps=steps, steps_per_epoch=per_epoch, accumulation_steps=accumulation)
    epochs, done = [], []
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: epochs.append((e.state.epoch, e.state.step)))
    trainer.add_event_handler(Events.COMPLETED, lambda: done.append(1))
    trainer.run()
    ends = [*range(per_epoch, steps, per_epoch), steps]
    assert epochs == list(enumerate(ends, start=1))
    assert done == [1]
    assert (trainer.state.step, trainer.state.iteration) == (steps, steps * accumulation)
    assert trainer.state.examples == steps * accumulation * 2
    before = weights(trainer)
    trainer.run()  # done is done
    assert torch.equal(before, weights(trainer))
    assert done == [1]


def test_accumulation_equals_one_big_batch(trainer_factory, net_factory, stream_factory):
    finals = []
    for batch_size, accumulation in ((6, 1), (2, 3)):
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()
        trainer = trainer_factory(
            network=network,
            train_data_loader=stream_factory(batch_size, torch.float64),
            accumulation_steps=accumulation,
            clip_norm=0.5,
        )
        trainer.run()
        finals.append(weights(trainer))
    torch.testing.assert_close(*finals, rtol=0, atol=1e-12)


def test_incomplete_group_is_divided_by_its_own_size(trainer_factory):
    generator = torch.Generator().manual_seed(3)
    batches = [torch.randn(2, 2, 4, generator=generator, dtype=torch.float64) for _ in range(5)]
    batches = [(b[0], b[1][:, :1]) for b in batches]
    network = nn.Linear(4, 1).double()
    expected = [p.detach().clone().requires_grad_() for p in network.parameters()]
    trainer = trainer_factory(
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        train_data_loader=batches,
        accumulation_steps=2,
        steps=6,
        steps_per_epoch=None,
        max_epochs=2,
    )
    trainer.run()
    for _ in range(2):
        for group in (batches[:2], batches[2:4], batches[4:]):
            x, y = (torch.cat(parts) for parts in zip(*group, strict=True))
            loss = ((nn.functional.linear(x, *expected) - y) ** 2).mean()
            for p, g in zip(expected, torch.autograd.grad(loss, expected), strict=True):
                p.data -= 0.1 * g
    assert trainer.state.step == 6
    for p, q in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(p.detach(), q.detach(), rtol=0, atol=1e-13)


def test_finite_loader_starts_anew(trainer_factory):
    batches = [(torch.full((1, 4), float(i)), torch.zeros(1, 1)) for i in range(3)]
    trainer, seen = trainer_factory(train_data_loader=batches, steps=5, steps_per_epoch=4), []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(e.state.output["image"][0, 0].item()))
    trainer.run()
    assert seen == [0, 1, 2, 0, 1]


def test_schedule_follows_optimizer_steps_not_micro_batches(trainer_factory):
    used = []
    trainer = trainer_factory(
        lr_scheduler=lambda o: WarmupCosine(o, 2, 4), steps=4, steps_per_epoch=4, accumulation_steps=3
    )
    trainer.add_event_handler(StepEvents.GRADIENTS_READY, lambda e: used.append(e.optimizer.param_groups[0]["lr"]))
    trainer.run()
    assert used == pytest.approx([0.005, 0.01, 0.01, 0.005])


def test_random_numbers_depend_on_micro_batch_and_seed_only(trainer_factory):
    draws = []

    class Draw(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x):
            draws.append(torch.rand(()).item())
            return self.layer(x)

    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(noise)
        trainer = trainer_factory(network=Draw(), seed=seed)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _, noise=noise: torch.rand(noise))
        trainer.run()
    first, second, third = draws[:6], draws[6:12], draws[12:]
    assert first == second
    assert len({*first, *third}) == 12


def test_outputs_are_plain_detached_and_whole(trainer_factory):
    batch = {"image": MetaTensor(torch.ones(3, 4)), "label": MetaTensor(torch.ones(3, 1))}
    trainer, types = trainer_factory(train_data_loader=[batch], steps=1, steps_per_epoch=1), []
    trainer.unwrapped.register_forward_pre_hook(lambda _, args: types.append(type(args[0])))
    trainer.run()
    output = trainer.state.output
    assert types == [torch.Tensor]
    assert all(
        type(output[k]) is torch.Tensor and not output[k].requires_grad for k in ("image", "label", "pred", "loss")
    )
    assert output["pred"].shape == (3, 1)


def test_extra_inputs_reach_the_network(trainer_factory):
    from monai.engines import PrepareBatchExtraInput

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x, mask):
            return self.layer(x) * mask

    batch = {"image": torch.ones(2, 4), "mask": MetaTensor(torch.zeros(2, 1))}
    trainer = trainer_factory(
        network=Two(),
        train_data_loader=[batch],
        prepare_batch=PrepareBatchExtraInput(["mask"]),
        loss_function=lambda prediction, label: prediction.sum() if label is None else None,
    )
    trainer.run()
    assert torch.equal(trainer.state.output["pred"], torch.zeros(2, 1))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_loss_stops_before_the_weights_move(trainer_factory, value):
    def loss(prediction, label):
        return (prediction**2).mean() * (value if trainer.state.step == 2 else 1.0)

    trainer, failures = trainer_factory(loss_function=loss), []
    trainer.add_event_handler(StepEvents.RUN_FAILED, lambda e: failures.append(e.failure))
    with pytest.raises(
        FloatingPointError, match=rf"finite loss, found {value} .* after step 2 \(learning rate 0.01\); "
    ):
        trainer.run()
    assert trainer.state.step == 2
    assert isinstance(failures[0], FloatingPointError)
    assert torch.isfinite(weights(trainer)).all()


def test_own_handlers_see_a_complete_trainer(trainer_factory):
    class Handler:
        def attach(self, engine):
            self.found = engine.network is not None and engine.optimizer is not None and engine.scaler is None

    handler = Handler()
    trainer_factory(train_handlers=[handler])
    assert handler.found


def test_epoch_metric_of_ignite(trainer_factory):
    from ignite.metrics import MeanSquaredError
    from monai.handlers import from_engine

    trainer = trainer_factory(key_train_metric={"mse": MeanSquaredError(from_engine(["pred", "label"]))}, steps=4)
    trainer.run()
    assert trainer.state.best_metric_epoch > 0
    assert trainer.state.metrics["mse"] > 0


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"steps": 0, "max_epochs": 1}, "steps >= 1, found 0"),
        ({"max_epochs": 7}, "max_epochs 2 for 6 steps, 3 per epoch, found 7"),
        ({"train_data_loader": []}, "at least one batch"),
        ({"precision": "amp"}, "precision to be one of"),
        ({"clip_norm": 0.0}, "clip_norm > 0"),
        ({"lr_scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau}, "ReduceLROnPlateau"),
    ],
)
def test_refusals(trainer_factory, changes, what):
    with pytest.raises(ValueError, match=what):
        trainer_factory(**changes)


def test_empty_iterable_without_length_is_refused(trainer_factory):
    class Nothing:
        def __iter__(self):
            return iter(())

    with pytest.raises(ValueError, match="loader ended at step 0"):
        trainer_factory(train_data_loader=Nothing()).run()


@pytest.mark.filterwarnings("ignore:Data iterator can not provide data:UserWarning")
def test_loader_that_runs_dry_is_no_finished_training(trainer_factory):
    batches = (b for b in [(torch.ones(1, 4), torch.ones(1, 1))] * 2)
    trainer, done = trainer_factory(train_data_loader=batches), []
    trainer.add_event_handler(Events.COMPLETED, lambda: done.append(1))
    with pytest.raises(ValueError, match="6 optimizer steps, found that the loader ended at step 2"):
        trainer.run()
    assert not done


def test_clock_of_a_finite_loader_cannot_be_continued(trainer_factory):
    trainer = trainer_factory(train_data_loader=[(torch.ones(1, 4), torch.ones(1, 1))])
    with pytest.raises(ValueError, match="found list; use"):
        trainer.load_clock({"step": 2, "iteration": 2, "examples": 2, "skipped": 0})


def test_monai_finds_its_properties():
    import inspect

    parameters = inspect.signature(Trainer).parameters
    assert parameters["max_epochs"].default is inspect.Parameter.empty
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
