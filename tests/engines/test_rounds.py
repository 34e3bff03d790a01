"""Trainer and TrainingSuite in rounds: what MONAI's federated client does with them"""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from torch import nn

from medvol.engines import PretextValidator, TrainingSuite, WarmupCosine
from medvol.engines.resume import load_checkpoint
from medvol.engines.tracking import read_log

FILES = ("model.pt", "passport.json", "log.csv")


def build(factory, stream_factory, folder, suite=None, **changes):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.3))
    network = nn.Sequential(encoder, nn.Tanh(), nn.Linear(3, 1))
    validator = PretextValidator(network, stream_factory(), nn.MSELoss(), num_batches=2)
    settings = {"save_every_steps": 2, "log_every_steps": 3, "validator": validator, "eval_every_examples": 7}
    handler = TrainingSuite(folder, encoder, **(settings | {"mlflow": False, "progress": False} | (suite or {})))
    arguments = {"steps": 6, "steps_per_epoch": 2, "accumulation_steps": 2, "train_handlers": [handler]}
    arguments |= {"lr_scheduler": lambda o: WarmupCosine(o, 2, 6)}
    return factory(network=network, **(arguments | changes))


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def run_round(trainer, epochs):
    """One round, as MONAI's federated client runs it."""
    trainer.state.max_epochs = trainer.state.epoch + epochs
    trainer.run()


def test_rounds_make_the_run_that_one_call_makes(trainer_factory, stream_factory, tmp_path):
    settings = {"steps": 6, "max_epochs": 1}
    build(trainer_factory, stream_factory, tmp_path / "whole" / "run", steps=6).run()
    folder = tmp_path / "parts" / "run"
    trainer = build(trainer_factory, stream_factory, folder, {"restart": True}, **settings)
    run_round(trainer, 1)
    assert (trainer.state.step, trainer.pauses) == (2, True)
    assert not (folder / "model.pt").exists()
    state = load_checkpoint(folder / "last.pt")
    assert (state["clock"]["step"], state["done"]) == (2, False)
    assert not (tmp_path / "parts" / "latest.txt").exists()
    run_round(trainer, 1)
    run_round(trainer, 1)
    assert (trainer.state.step, trainer.pauses) == (6, False)
    assert contents(folder) == contents(tmp_path / "whole" / "run")


def test_a_round_starts_from_the_weights_that_were_put_in(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "run"
    trainer = build(trainer_factory, stream_factory, folder, steps=6, max_epochs=1)
    run_round(trainer, 1)
    with torch.no_grad():
        for parameter in trainer.network.parameters():
            parameter.zero_()
    seen = []
    trainer.add_event_handler(
        Events.ITERATION_STARTED(once=5), lambda e: seen.extend(p.abs().sum().item() for p in e.network.parameters())
    )
    run_round(trainer, 1)
    assert set(seen) == {0.0}


def test_a_round_is_logged_and_saved_whatever_the_intervals(trainer_factory, stream_factory, tmp_path):
    folder = tmp_path / "run"
    suite = {"save_every_steps": 50, "log_every_steps": 50, "validator": None}
    trainer = build(trainer_factory, stream_factory, folder, suite, steps=6, max_epochs=1)
    for done in (2, 4, 6):
        run_round(trainer, 1)
        assert load_checkpoint(folder / "last.pt")["clock"]["step"] == done
    assert [row.step for row in read_log(folder / "log.csv") if row.name == "loss"] == [2, 4, 6]


def test_rounds_with_steps_that_a_scaler_refuses(trainer_factory, stream_factory, tmp_path):
    class Overflow(nn.Module):
        def forward(self, prediction, label):
            if label.sum() > 3:
                prediction.register_hook(lambda gradient: gradient * float("inf"))
            return ((prediction - label) ** 2).mean()

    trainer = build(
        trainer_factory, stream_factory, tmp_path / "run", steps=6, max_epochs=1, precision="fp16",
        loss_function=Overflow(),
    )  # fmt: skip
    run_round(trainer, 1)
    assert (trainer.state.epoch, trainer.pauses) == (1, True)
    assert trainer.state.skipped > 0
    while trainer.state.step < 6:  # the last round is as long as the plan then is
        run_round(trainer, 1)
    assert trainer.state.epoch == -(-(6 + trainer.state.skipped) // 2)


def test_no_round_beyond_the_plan(trainer_factory, stream_factory, tmp_path):
    trainer = build(trainer_factory, stream_factory, tmp_path / "run", steps=2, max_epochs=1)
    run_round(trainer, 1)
    trainer.run()  # finished is finished
    with pytest.raises(ValueError, match="expected a round within the 2 steps of the plan"):
        run_round(trainer, 1)


def test_fewer_epochs_without_rounds_are_a_mistake(trainer_factory, stream_factory, tmp_path):
    trainer = build(trainer_factory, stream_factory, tmp_path / "run", steps=6, max_epochs=1)
    with pytest.raises(ValueError, match="expected max_epochs 3 for 6 steps, 2 per epoch, found fewer"):
        trainer.run()
    with pytest.raises(ValueError, match="found 0"):
        build(trainer_factory, stream_factory, tmp_path / "run", steps=6, max_epochs=0)


def test_rounds_are_one_mlflow_run(trainer_factory, stream_factory, mlflow_db, tmp_path):
    import mlflow

    suite = {"mlflow": True, "tracking_uri": mlflow_db, "experiment": "toy"}
    trainer = build(trainer_factory, stream_factory, tmp_path / "run", suite, steps=6, max_epochs=1)
    for _ in range(3):
        run_round(trainer, 1)
    client = mlflow.MlflowClient(tracking_uri=mlflow_db)
    (run,) = client.search_runs([client.get_experiment_by_name("toy").experiment_id])
    assert run.info.status == "FINISHED"
    assert [m.step for m in client.get_metric_history(run.info.run_id, "val_loss")] == [2, 4, 6]
