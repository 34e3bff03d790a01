"""medvol.engines.validation"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medvol.engines import PretextEvaluator, PretextValidator
from medvol.engines.validation import validate
from medvol.losses import RestorationLoss
from medvol.metrics import RestorationError


class Noisy(nn.Module):
    """Draws in the forward pass, as masking networks do, and has what evaluation mode must switch off."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))

    def forward(self, x):
        return self.layer(x + 0.1 * torch.randn_like(x))


def test_same_draws_every_time_and_nothing_learned(trainer_factory, stream_factory):
    network = Noisy()
    trainer = trainer_factory(network=network)
    validator = PretextValidator(network, stream_factory(), nn.MSELoss(), num_batches=3)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    results = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        results.append(validator.run(trainer))
    assert results[0] == results[1]
    assert list(results[0]) == ["val_loss"]
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    trainer.run()
    assert validator.run(trainer) != results[0]


class Alarming:
    """A monitor that counts batches and dislikes its count."""

    def reset(self) -> None:
        self.seen = 0

    def update(self, output, label) -> None:
        self.seen += 1

    def compute(self) -> dict[str, float]:
        return {"seen": self.seen}

    def alarm(self, values) -> str | None:
        return f"{values['seen']:g} batches are too many" if values["seen"] > 2 else None


@pytest.mark.parametrize(("batches", "said"), [(2, ""), (3, "medvol: warning: at step 0, 3 batches are too many\n")])
def test_alarms_of_monitors_are_printed(trainer_factory, net_factory, stream_factory, capsys, batches, said):
    network, monitor = net_factory(), Alarming()
    monitor.reset()
    PretextValidator(network, stream_factory(), nn.MSELoss(), [monitor], num_batches=batches).run(
        trainer_factory(network=network)
    )
    assert capsys.readouterr().out == said


def test_mean_over_the_first_batches(trainer_factory, net_factory, stream_factory):
    network = net_factory()
    loader = stream_factory()
    validator = PretextValidator(network, loader, nn.MSELoss(), num_batches=2)
    loader.stream.start_batch = 7  # wherever the stream stood
    found = validator.run(trainer_factory(network=network))["val_loss"]
    loader.stream.start_batch = 0
    batches = iter(loader)
    with torch.no_grad():
        losses = [
            nn.functional.mse_loss(network(b["image"]), b["label"]).item() for b in (next(batches), next(batches))
        ]
    assert found == pytest.approx(sum(losses) / 2, rel=1e-6)


def test_a_batch_without_a_counted_voxel_is_worth_0_and_the_error_of_the_monitor_leaves_it_out(trainer_factory):
    """As it is documented: batches weigh alike in val_loss, voxels in the monitor."""
    clean, nothing = torch.full((2, 1, 4, 4), 3.0), torch.full((2, 1, 4, 4), torch.nan)
    batches = [{"image": torch.zeros(2, 1, 4, 4), "label": label} for label in (clean, nothing)]
    network = nn.Conv2d(1, 1, 1)
    nn.init.zeros_(network.bias)
    validator = PretextValidator(network, batches, RestorationLoss(), [RestorationError()])
    assert validator.run(trainer_factory(network=network)) == {
        "val_loss": pytest.approx(4.5),
        "val_mse": pytest.approx(9.0),
        "val_explained": pytest.approx(float("nan"), nan_ok=True),
    }


def test_one_pass_by_default(stream_factory, net_factory):
    assert PretextValidator(net_factory(), stream_factory(batch_size=4), nn.MSELoss()).num_batches == 3
    assert PretextValidator(net_factory(), [1, 2], nn.MSELoss()).num_batches == 2


def test_refusals(trainer_factory, net_factory, stream_factory):
    with pytest.raises(ValueError, match="num_batches >= 1, found 0"):
        PretextValidator(net_factory(), stream_factory(), nn.MSELoss(), num_batches=0)
    with pytest.raises(ValueError, match="found None for a loader without a length"):
        PretextValidator(net_factory(), iter([1]), nn.MSELoss())
    with pytest.raises(ValueError, match="validation batches, found none"):
        PretextValidator(net_factory(), [], nn.MSELoss(), num_batches=1).run(trainer_factory())

    class Wrong:
        def run(self, trainer):
            return 3

    with pytest.raises(TypeError, match=r"a dict of numbers from Wrong.run, found int"):
        validate(Wrong(), trainer_factory())


def test_as_an_evaluator_of_monai_it_gives_the_numbers_of_the_validator(trainer_factory, stream_factory):
    from ignite.engine import Events
    from monai.engines import SupervisedEvaluator

    network = Noisy()
    trainer = trainer_factory(network=network)
    validator = PretextValidator(network, stream_factory(), nn.MSELoss(), num_batches=3)
    evaluator = PretextEvaluator(trainer, validator)
    assert isinstance(evaluator, SupervisedEvaluator)
    assert evaluator.network is network
    fired = []
    for event in (Events.STARTED, Events.EPOCH_COMPLETED, Events.COMPLETED):
        evaluator.add_event_handler(event, fired.append)
    evaluator.run(3)
    first = dict(evaluator.state.metrics)
    assert first == validator.run(trainer)
    assert len(fired) == 3
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    evaluator.run(4)
    assert evaluator.state.metrics == validator.run(trainer) != first
