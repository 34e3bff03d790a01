"""What contrastive predictive coding learns, and does not: anatomy yes, noise, padding and shading no.

A plain loop, small volumes, one core. Accuracies of one volume's predictions are dependent, so standard errors are
taken over independent batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from monai.transforms import Compose

from medvol.losses import InfoNCELoss
from medvol.metrics.retrieval import ContrastiveAccuracy
from medvol.networks.cpc import CPC
from medvol.transforms import ForegroundMaskd, RandPatchGridd, RandPatchIntensityd

pytestmark = pytest.mark.slow

SHAPE, GRID, PATCH, BATCH = (38, 38, 38), 3, 8, 4
PLAIN = {"scale": (1, 1), "shift": (0, 0), "bias": 0.0, "channel_drop": 0.0}  # z-score only


@dataclass
class Run:
    """A network in training on a stream of batches."""

    network: CPC
    losses: list[float] = field(default_factory=list)

    def train(self, batches, steps: int, learning_rate: float = 3e-3) -> Run:
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
        criterion = InfoNCELoss()
        for step in range(steps):
            loss = criterion(self.network(*batches(step)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            self.losses.append(loss.item())
        return self

    @torch.no_grad()
    def accuracies(self, batches, count: int) -> tuple[torch.Tensor, float]:
        """Accuracy of each of several new batches, and chance."""
        found, monitor = [], ContrastiveAccuracy()
        for index in range(count):
            monitor.reset()
            monitor.update(self.network(*batches(10**6 + index)), None)
            result = monitor.compute()
            found.append(result["accuracy"])
        return torch.tensor(found), result["chance"]

    @torch.no_grad()
    def spread(self, batches) -> float:
        """Mean standard deviation of the features of normalized codes, in units of 1 / sqrt(F)."""
        codes = torch.cat([self.network(*batches(10**6 + index))[1] for index in range(8)])
        return float(codes.std(dim=0).mean() * math.sqrt(codes.shape[1]))


def start(encoder) -> Run:
    torch.manual_seed(0)
    return Run(CPC(encoder(channels=(8, 16, 32)), GRID, embedding=32, hidden=64))


def stream(volume, transform):
    """Batches of new volumes; the batch of a step depends on the step alone."""

    def batches(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        transform.set_random_state(step)
        samples = [transform({"image": volume(SHAPE, BATCH * step + b)}) for b in range(BATCH)]
        return torch.stack([s["image"] for s in samples]), torch.stack([s["foreground"] for s in samples])

    return batches


def pipeline(crop=36, masked=False, patch=PATCH) -> Compose:
    """The bundle's order: mask, patches, intensity. A patch as large as its cell of 12 has no gap."""
    mask = [ForegroundMaskd("image")] if masked else []
    gap, key = 2 if patch < 12 else 0, "mask" if masked else None
    cut = RandPatchGridd("image", GRID, patch, crop, min_gap=gap, mask_key=key)
    return Compose([*mask, cut, RandPatchIntensityd("image")])


def deviation(accuracies: torch.Tensor, chance: float) -> float:
    """Distance from chance in standard errors over batches."""
    return float((accuracies.mean() - chance) / (accuracies.std() / math.sqrt(len(accuracies))))


def test_anatomy_is_learned_and_codes_do_not_collapse(blobs, tiny_encoder):
    """Acceptance tests 15 and 17."""
    batches = stream(blobs, pipeline())
    run = start(tiny_encoder).train(batches, 150)
    accuracies, chance = run.accuracies(batches, 16)
    assert deviation(accuracies, chance) >= 5
    assert accuracies.mean() > 5 * chance
    spread = run.spread(batches)
    assert spread > 0.1


def test_two_volumes_are_learned_by_heart(blobs, tiny_encoder):
    """Acceptance test 16, jitter off."""
    cut = Compose([RandPatchGridd("image", GRID, PATCH, jitter=False), RandPatchIntensityd("image", **PLAIN)])
    samples = [cut({"image": blobs(SHAPE, seed)}) for seed in range(2)]
    batch = torch.stack([s["image"] for s in samples]), torch.stack([s["foreground"] for s in samples])
    run = start(tiny_encoder).train(lambda step: batch, 300)
    accuracies, _ = run.accuracies(lambda step: batch, 1)
    assert accuracies.mean() > 0.95
    assert run.spread(lambda step: batch) > 0.1


@pytest.mark.parametrize(("fixture", "options"), [("noise", {}), ("padded", {"masked": True, "patch": 12})])
def test_nothing_is_found_where_nothing_is(request, tiny_encoder, fixture, options):
    """Acceptance test 12: at chance on noise, and on padded noise, whose border the pipeline does not keep."""
    batches = stream(request.getfixturevalue(fixture), pipeline(**options))
    run = start(tiny_encoder).train(batches, 150)
    accuracies, chance = run.accuracies(batches, 64)
    assert abs(deviation(accuracies, chance)) < 3


def test_a_border_that_is_kept_is_found(padded, tiny_encoder):
    """Power of the test above: without the mask, the crop is the volume with its border."""
    batches = stream(padded, pipeline(crop=None, patch=12))
    run = start(tiny_encoder).train(batches, 150)
    accuracies, chance = run.accuracies(batches, 16)
    assert accuracies.mean() > 1.5 * chance


def test_shading_is_no_shortcut(ramp, tiny_encoder):
    """Acceptance test 12: a bias field gives positions away without the counter-measures, not with them."""
    batches = stream(ramp, pipeline())
    run = start(tiny_encoder).train(batches, 150)
    accuracies, chance = run.accuracies(batches, 32)
    batches = stream(ramp, RandPatchGridd("image", GRID, PATCH, 36))
    run = start(tiny_encoder).train(batches, 150)
    found, _ = run.accuracies(batches, 32)
    assert accuracies.mean() < 2 * chance
    assert found.mean() > 3 * chance
