"""A training that is killed (SIGKILL) again and again leaves the same bytes as one that is not.

The file is its own training program: ``python test_resume_kill.py FOLDER WORKERS``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

FILES = ("model.pt", "passport.json", "log.csv")


def train(folder: str, num_workers: int) -> None:
    import torch
    from ignite.engine import Events
    from monai.transforms import Compose, RandGaussianNoised
    from torch import nn

    from medvol.data import StreamDataset, stream_loader
    from medvol.engines import PretextValidator, Trainer, TrainingSuite, WarmupCosine, num_epochs

    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    items = [{"image": torch.randn(1, 6, 6, generator=generator), "label": torch.tensor([i % 2.0])} for i in range(7)]
    noise = Compose([RandGaussianNoised("image", prob=0.5)])
    dataset = StreamDataset(items, noise, seed=3, cache_dir=Path(folder).parent / "cache")
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Dropout(0.2), nn.ReLU())
    network = nn.Sequential(encoder, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    validator = PretextValidator(network, stream_loader(dataset, 2, seed=9), nn.MSELoss(), num_batches=2)
    suite = TrainingSuite(
        folder,
        product=encoder,
        validator=validator,
        eval_every_examples=50,
        save_every_steps=7,
        log_every_steps=3,
        mlflow=False,
        progress=False,
    )
    trainer = Trainer(
        device="cpu",
        max_epochs=num_epochs(60, 16),
        train_data_loader=stream_loader(dataset, 2, seed=0, num_workers=num_workers),
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        steps=60,
        steps_per_epoch=16,
        accumulation_steps=2,
        lr_scheduler=WarmupCosine(optimizer, 5, 60),
        precision="fp32",
        train_handlers=[suite],
    )

    @trainer.on(Events.ITERATION_COMPLETED)
    def report(engine: Trainer) -> None:
        print(engine.state.step, flush=True)
        time.sleep(0.003)  # so that a signal can come anywhere

    trainer.run()


def start(folder: Path, num_workers: int) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, __file__, str(folder), str(num_workers)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_and_kill(folder: Path, num_workers: int, after_lines: int, pause: float) -> None:
    process = start(folder, num_workers)
    for number, _ in enumerate(process.stdout, start=1):
        if number == after_lines:
            time.sleep(pause)
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()


def finish(folder: Path, num_workers: int) -> dict[str, bytes]:
    process = start(folder, num_workers)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_kill_and_resume(tmp_path):
    whole = finish(tmp_path / "eval" / "whole" / "run", 0)
    chance = random.Random(int(time.time()))
    for num_workers in (0, 2):
        folder = tmp_path / "eval" / f"killed{num_workers}" / "run"
        kills = [(chance.randrange(1, 50), chance.random() * 0.01) for _ in range(2)]
        for kill in kills:
            run_and_kill(folder, num_workers, *kill)
        assert finish(folder, num_workers) == whole, f"{num_workers} workers, kills {kills}"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    folder = tmp_path / "run"
    first = start(folder, 2)  # with workers, which outlive a killed process for some seconds
    first.stdout.readline()
    second = start(folder, 0)
    _, errors = second.communicate(timeout=120)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    if first.returncode == -signal.SIGKILL:  # it was still training
        assert second.returncode != 0
        assert f"found that process {first.pid} is training there" in errors
    finish(folder, 0)


if __name__ == "__main__":
    train(sys.argv[1], int(sys.argv[2]))
