"""Two processes compute the losses of views that one process with both batches computes, and their gradients."""

from __future__ import annotations

import pytest
import torch
import two_ranks

from medvol import distributed
from medvol.losses.ntxent import NTXentLoss
from medvol.losses.triplet import TripletLoss

pytestmark = pytest.mark.slow

WORLD, BATCH = two_ranks.WORLD, 3
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


def of_one_process(rank: int) -> tuple[dict, str]:
    """Its losses and gradients, and what it says to a single patient on all processes."""
    found = losses_and_gradients(slice(rank * BATCH, (rank + 1) * BATCH))
    with pytest.raises(ValueError, match="two patients or more") as error:
        NTXentLoss()(torch.rand(BATCH, 2, 3), torch.full((BATCH,), 7))
    return found, str(error.value)


def test_two_processes_equal_one(tmp_path):
    processes = two_ranks.run(__file__, tmp_path)
    alone = losses_and_gradients(slice(None))
    assert len(alone) == 8
    for seen, refusal in processes:
        for name, expected in alone.items():
            for mine, whole in zip(seen[name], expected, strict=True):
                assert float((mine - whole).abs().max()) < 1e-10, name
        # a single patient on all processes is refused on all of them, and none waits for the others
        assert "two patients or more" in refusal


if __name__ == "__main__":
    two_ranks.process(of_one_process)
