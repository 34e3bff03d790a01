"""Parts that the tests of the engines share: a tiny stream, a trainer factory, and one prepared MLflow data base."""

from __future__ import annotations

import logging
import shutil
from itertools import count

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from medvol.engines import Trainer, num_epochs


class Points(Dataset):
    """Regression examples that depend on their position in the stream only."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __len__(self) -> int:
        return 10

    def __getitem__(self, key: tuple[int, int]) -> dict:
        generator = torch.Generator().manual_seed(key[1])
        image = torch.randn(4, generator=generator, dtype=self.dtype)
        return {"image": image, "label": image.sum(0, keepdim=True) + 1}


class Stream:
    """An endless batch sampler with ``start_batch``, like medvol.data.StreamSampler."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size, self.start_batch = batch_size, 0

    def __iter__(self):
        for number in count(self.start_batch):
            yield [(p % 10, p) for p in range(number * self.batch_size, (number + 1) * self.batch_size)]


def make_stream_loader(batch_size: int = 2, dtype: torch.dtype = torch.float32, num_workers: int = 0) -> DataLoader:
    stream = Stream(batch_size)
    loader = DataLoader(Points(dtype), batch_sampler=stream, num_workers=num_workers)
    loader.stream = stream
    return loader


def make_net(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.2), nn.Tanh(), nn.Linear(3, 1)).to(dtype)


def make_trainer(**changes) -> Trainer:
    """A trainer of six steps, three per epoch, in fp32 on the CPU, with everything replaceable by keyword."""
    dtype = changes.pop("dtype", torch.float32)
    network = changes.pop("network", None) or make_net(dtype)
    steps, per_epoch = changes.setdefault("steps", 6), changes.setdefault("steps_per_epoch", 3)
    if "optimizer" not in changes:
        changes["optimizer"] = torch.optim.AdamW(network.parameters(), lr=0.01)
    if callable(scheduler := changes.get("lr_scheduler")):
        changes["lr_scheduler"] = scheduler(changes["optimizer"])
    defaults = {
        "device": "cpu",
        "max_epochs": num_epochs(steps, per_epoch) if steps > 0 and per_epoch else 1,
        "train_data_loader": None,
        "loss_function": nn.MSELoss(),
        "precision": "fp32",
    }
    arguments = defaults | changes
    if arguments["train_data_loader"] is None:
        arguments["train_data_loader"] = make_stream_loader(dtype=dtype)
    return Trainer(network=network, **arguments)


@pytest.fixture(autouse=True)
def quiet_engines():
    """ignite reports every expected failure of a test as an error in the log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def no_curves(monkeypatch, request):
    """A picture takes a second, and every training of the tests would draw one; ``draws_curves`` asks for it."""
    if "draws_curves" not in request.fixturenames:
        monkeypatch.setattr("medvol.engines.suite.draw_curves", lambda run_dir: None)


@pytest.fixture
def draws_curves():
    """Asked for by the tests that look at the curves of a run."""


@pytest.fixture
def trainer_factory():
    return make_trainer


@pytest.fixture
def net_factory():
    return make_net


@pytest.fixture
def stream_factory():
    return make_stream_loader


@pytest.fixture(scope="session")
def mlflow_template(tmp_path_factory):
    """An empty MLflow data base, made once: its first creation takes seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlruns.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_db(mlflow_template, tmp_path, monkeypatch):
    """The uri of a fresh copy of that data base."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = tmp_path / "mlruns.db"
    shutil.copy(mlflow_template, path)
    return f"sqlite:///{path}"
