"""Two processes compute the losses of views that one process with both batches computes, and their gradients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from medvol import distributed
from medvol.losses.ntxent import NTXentLoss
from medvol.losses.triplet import TripletLoss

pytestmark = pytest.mark.slow

WORLD, BATCH = 2, 3
PATIENTS = torch.tensor([0, 1, 0, 1, 2, 2])  # of all images; a patient has images on both processes
LOSSES = {
    "ntxent": NTXentLoss(0.2),
    "semihard": TripletLoss(0.5),
    "all": TripletLoss(1.0, "all", "squared"),
    "hardest": TripletLoss(0.5, "hardest"),
}


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(7, 9), torch.nn.Tanh(), torch.nn.Linear(9, 4)).double()


def losses_and_gradients(images: slice) -> dict:
    """Loss of each kind on some images, and the gradient as DDP averages it."""
    views = torch.randn(WORLD * BATCH, 3, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = {}
    for name, criterion in LOSSES.items():
        for patients in (PATIENTS, None):
            net = network()
            loss = criterion(net(views[images]), None if patients is None else patients[images])
            loss.backward()
            gradients = [distributed.all_sum(p.grad) / distributed.world_size() for p in net.parameters()]
            found[f"{name} {'own' if patients is None else 'shared'}"] = [loss.detach(), *gradients]
    return found


def one_process(folder: str, rank: int) -> None:
    """Run one of two processes and save what it found."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    torch.save(losses_and_gradients(slice(rank * BATCH, (rank + 1) * BATCH)), f"{folder}/{rank}.pt")
    try:
        NTXentLoss()(torch.rand(BATCH, 2, 3), torch.full((BATCH,), 7))
    except ValueError as error:
        Path(f"{folder}/{rank}.txt").write_text(str(error), encoding="utf-8")
    distributed.barrier()
    distributed.finalize()


def test_two_processes_equal_one(tmp_path):
    # started by path: what pytest names this module is not importable in a new process
    command = [sys.executable, __file__, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = [subprocess.Popen([*command, str(rank)], env=environment) for rank in range(WORLD)]
    try:
        assert [process.wait(timeout=300) for process in started] == [0] * WORLD
    finally:
        for process in started:
            process.kill()
    alone = losses_and_gradients(slice(None))
    assert len(alone) == 8
    for rank in range(WORLD):
        seen = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, expected in alone.items():
            for mine, whole in zip(seen[name], expected, strict=True):
                assert float((mine - whole).abs().max()) < 1e-10, name
        # a single patient on all processes is refused on all of them, and none waits for the others
        assert "two patients or more" in (tmp_path / f"{rank}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    one_process(sys.argv[1], int(sys.argv[2]))
