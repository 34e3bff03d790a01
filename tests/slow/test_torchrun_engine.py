"""Two processes with half the batch each train like one process with the whole batch.

The file is its own training program, for ``torchrun`` and alone: ``test_torchrun_engine.py FOLDER CASE``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

STEPS = 6


def train(folder: str, case: str) -> None:
    from torch import nn

    from medvol import distributed
    from medvol.data import StreamDataset, stream_loader
    from medvol.engines import PretextValidator, Trainer, TrainingSuite, num_epochs

    class Scale(nn.MSELoss):
        """A loss that learns a factor: DDP does not see it."""

        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones((), dtype=torch.float64))

        def forward(self, prediction: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return super().forward(self.factor * prediction, label)

    class Drifting(nn.Linear):
        """Has a buffer that is another one on every rank."""

        def on_optimizer_step(self, step: int) -> None:
            self.queue += distributed.rank()

    torch.set_num_threads(1)
    distributed.initialize()
    torch.manual_seed(distributed.rank())  # DDP must bring the first process's weights to all
    generator = torch.Generator().manual_seed(1)
    items = [{"image": torch.randn(5, generator=generator).double()} for _ in range(12)]
    for item in items:
        item["label"] = item["image"].sum(0, keepdim=True)
    dataset = StreamDataset(items, [], seed=3, cache_dir=Path(folder).parent / "cache")
    last = Drifting(4, 1) if case == "drift" else nn.Linear(4, 1)
    last.register_buffer("queue", torch.zeros(3))
    network, loss = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), last).double(), Scale()
    optimizer = torch.optim.AdamW([*network.parameters(), *loss.parameters()], lr=0.05)
    suite = TrainingSuite(
        folder,
        product=network,
        validator=PretextValidator(network, stream_loader(dataset, 4, seed=9), loss, num_batches=3),
        eval_every_examples=16,
        save_every_steps=2,
        log_every_steps=1,
        checksum_every_steps=1,
        mlflow=False,
        progress=False,
    )
    trainer = Trainer(
        device=distributed.device("cpu"),
        max_epochs=num_epochs(STEPS, 4),
        train_data_loader=stream_loader(dataset, 4, seed=0),
        network=network,
        optimizer=optimizer,
        loss_function=loss,
        steps=STEPS,
        steps_per_epoch=4,
        accumulation_steps=2,
        clip_norm=1.0,
        precision="fp32",
        train_handlers=[suite],
    )
    if case == "stop":

        def stop() -> None:
            if trainer.state.step == 3:
                raise SystemExit(3)

        from ignite.engine import Events

        trainer.add_event_handler(Events.ITERATION_STARTED, stop)
    if distributed.rank() == 1:
        record_writes(Path(folder))
    trainer.run()
    torch.save([p.detach() for p in network.parameters()], Path(folder).parent / f"rank{distributed.rank()}.pt")
    distributed.finalize()


def record_writes(folder: Path) -> None:
    """Refuse every file that this process opens for writing in the run's folder."""

    def audit(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str) and folder.name in arguments[0]:
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                raise AssertionError(f"process 1 writes {arguments[0]}")

    sys.addaudithook(audit)


def launch(folder: Path, processes: int, case: str = "whole") -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [sys.executable, *(torchrun if processes > 1 else []), __file__, str(folder), case]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def assert_same_training(one: Path, two: Path) -> None:
    from medvol.engines.tracking import read_log

    weights = [torch.load(f / "model.pt", weights_only=True) for f in (one, two)]
    for name in weights[0]:
        torch.testing.assert_close(weights[0][name], weights[1][name], rtol=0, atol=1e-6)
    logs = [read_log(f / "log.csv") for f in (one, two)]
    assert [r[:3] for r in logs[0]] == [r[:3] for r in logs[1]]
    assert [r.value for r in logs[0]] == pytest.approx([r.value for r in logs[1]], abs=1e-6)


@pytest.mark.slow
def test_two_processes_train_like_one(tmp_path):
    one, two = tmp_path / "one" / "run", tmp_path / "two" / "run"
    for folder, processes in ((one, 1), (two, 2)):
        done = launch(folder, processes)
        assert done.returncode == 0, done.stderr[-3000:]
    assert_same_training(one, two)
    ranks = [torch.load(two.parent / f"rank{r}.pt") for r in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*ranks, strict=True))
    # Interrupted and continued, still the same.
    parts = tmp_path / "parts" / "run"
    assert launch(parts, 2, "stop").returncode != 0
    assert not (parts / "model.pt").exists()
    done = launch(parts, 2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (parts / "model.pt").read_bytes() == (two / "model.pt").read_bytes()
    assert (parts / "log.csv").read_bytes() == (two / "log.csv").read_bytes()


@pytest.mark.slow
def test_buffers_that_drift_apart_are_found(tmp_path):
    done = launch(tmp_path / "drift" / "run", 2, "drift")
    assert done.returncode != 0
    assert "expected equal buffers on all processes" in done.stderr
    assert "0.2.queue" in done.stderr


@pytest.mark.slow
def test_all_processes_refuse_a_locked_folder(tmp_path):
    from medvol.engines.lock import RunLock

    folder = tmp_path / "locked" / "run"
    folder.mkdir(parents=True)
    lock = RunLock(folder)
    lock.acquire()
    try:
        done = launch(folder, 2)
    finally:
        lock.release()
    assert done.returncode != 0
    assert "expected to be the only one to write" in done.stderr


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2])
