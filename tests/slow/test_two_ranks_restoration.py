"""Two processes compute the loss and the monitor of restorations that one process with both batches computes."""

from __future__ import annotations

import math

import pytest
import torch
import two_ranks

from medvol import distributed
from medvol.losses.restoration import RestorationLoss
from medvol.metrics.restoration import RestorationError
from medvol.transforms.masking import RandBlockMaskd

pytestmark = pytest.mark.slow

WORLD, BATCH = two_ranks.WORLD, 2
OPTIONS = {"l2": (), "l1": ("l1",), "sigmoid": ("l2", "sigmoid")}


def samples() -> list[dict]:
    """Masks of different size, in which a different number of voxels count: in one sample none does."""
    images = torch.rand(WORLD * BATCH, 2, 8, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    face = torch.zeros(1, 8, 4, 6)
    face[:, :3] = 1
    made = []
    for number, image in enumerate(images):
        task = RandBlockMaskd("image", 2, [0.3, 0.9], exclude_key="face").set_random_state(number)
        made.append(task({"image": image, "face": torch.ones_like(face) if number == 1 else face * (number > 1)}))
    return made


def found(chosen: slice) -> dict:
    """For each kind of loss its value and the gradient as DDP averages it; and what the monitor says."""
    batch = {key: torch.stack([sample[key] for sample in samples()[chosen]]) for key in ("image", "mask", "label")}
    result = {}
    for masked in (True, False):
        for nothing in (False, True):  # the first process has nothing that counts
            label = batch["label"].clone()
            if nothing and chosen.start in (0, None):
                label[:BATCH] = math.nan
            for name, options in OPTIONS.items():
                torch.manual_seed(0)
                network = torch.nn.Conv3d(2, 2, 3, padding=1).double()
                restored = network(batch["image"] * (1 - batch["mask"]))
                output = (restored, batch["mask"]) if masked else restored
                loss = RestorationLoss(*options)(output, label)
                loss.backward()
                gradients = [distributed.all_sum(p.grad) / distributed.world_size() for p in network.parameters()]
                monitor = RestorationError(*options[1:])
                monitor.update(output, label)
                values = torch.tensor(list(monitor.compute().values()), dtype=torch.float64)
                result[f"{name} {masked} {nothing}"] = [loss.detach(), values, *gradients]
    return result


def test_two_processes_equal_one(tmp_path):
    processes = two_ranks.run(__file__, tmp_path)
    alone = found(slice(None))
    assert len(alone) == 12
    for seen in processes:
        for name, expected in alone.items():
            for mine, whole in zip(seen[name], expected, strict=True):
                assert whole.isfinite().all(), name
                assert float((mine - whole).abs().max()) < 1e-12, name


if __name__ == "__main__":
    two_ranks.process(lambda rank: found(slice(rank * BATCH, (rank + 1) * BATCH)))
