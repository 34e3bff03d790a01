"""What contrastive predictive coding learns, and does not: anatomy yes, noise, padding and shading no.

A plain loop, small volumes, one core.
"""

from __future__ import annotations

import math

import pytest
import torch
from learning import NEW, Run, deviation
from monai.transforms import Compose

from medvol.losses import InfoNCELoss
from medvol.metrics.retrieval import ContrastiveAccuracy
from medvol.networks.cpc import CPC
from medvol.transforms import ForegroundMaskd, RandPatchGridd, RandPatchIntensityd

pytestmark = pytest.mark.slow

SHAPE, GRID, PATCH, BATCH = (38, 38, 38), 3, 8, 4
PLAIN = {"scale": (1, 1), "shift": (0, 0), "bias": 0.0, "channel_drop": 0.0}  # z-score only


def start(encoder) -> Run:
    torch.manual_seed(0)
    network = CPC(encoder(channels=(8, 16, 32)), GRID, embedding=32, hidden=64)
    return Run(network, InfoNCELoss(), ContrastiveAccuracy())


def accuracies_of(run: Run, batches, count: int) -> tuple[torch.Tensor, float]:
    """Accuracy of each of several new batches, and chance."""
    results = run.results(batches, count)
    return results["accuracy"], float(results["chance"][-1])


@torch.no_grad()
def spread(run: Run, batches) -> float:
    """Mean standard deviation of the features of normalized codes, in units of 1 / sqrt(F)."""
    codes = torch.cat([run.network(*batches(NEW + index)[0])[1] for index in range(8)])
    return float(codes.std(dim=0).mean() * math.sqrt(codes.shape[1]))


def stream(volume, transform):
    """Batches of new volumes; the batch of a step depends on the step alone."""

    def batches(step: int) -> tuple[tuple[torch.Tensor, torch.Tensor], None]:
        transform.set_random_state(step)
        samples = [transform({"image": volume(SHAPE, BATCH * step + b)}) for b in range(BATCH)]
        return stacked(samples), None

    return batches


def stacked(samples) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.stack([s["image"] for s in samples]), torch.stack([s["foreground"] for s in samples])


def pipeline(crop=36, masked=False, patch=PATCH) -> Compose:
    """The bundle's order: mask, patches, intensity. A patch as large as its cell of 12 has no gap."""
    mask = [ForegroundMaskd("image")] if masked else []
    gap, key = 2 if patch < 12 else 0, "mask" if masked else None
    cut = RandPatchGridd("image", GRID, patch, crop, min_gap=gap, mask_key=key)
    return Compose([*mask, cut, RandPatchIntensityd("image")])


def test_anatomy_is_learned_and_codes_do_not_collapse(blobs, tiny_encoder):
    """Acceptance tests 15 and 17."""
    batches = stream(blobs, pipeline())
    run = start(tiny_encoder).train(batches, 150)
    accuracies, chance = accuracies_of(run, batches, 16)
    assert deviation(accuracies, chance) >= 5
    assert accuracies.mean() > 5 * chance
    assert spread(run, batches) > 0.1


def test_two_volumes_are_learned_by_heart(blobs, tiny_encoder):
    """Acceptance test 16, jitter off."""
    cut = Compose([RandPatchGridd("image", GRID, PATCH, jitter=False), RandPatchIntensityd("image", **PLAIN)])
    samples = [cut({"image": blobs(SHAPE, seed)}) for seed in range(2)]
    batch = stacked(samples), None
    run = start(tiny_encoder).train(lambda step: batch, 300)
    accuracies, _ = accuracies_of(run, lambda step: batch, 1)
    assert accuracies.mean() > 0.95
    assert spread(run, lambda step: batch) > 0.1


@pytest.mark.parametrize(("fixture", "options"), [("noise", {}), ("padded", {"masked": True, "patch": 12})])
def test_nothing_is_found_where_nothing_is(request, tiny_encoder, fixture, options):
    """Acceptance test 12: at chance on noise, and on padded noise, whose border the pipeline does not keep."""
    batches = stream(request.getfixturevalue(fixture), pipeline(**options))
    run = start(tiny_encoder).train(batches, 150)
    accuracies, chance = accuracies_of(run, batches, 64)
    assert abs(deviation(accuracies, chance)) < 3


def test_a_border_that_is_kept_is_found(padded, tiny_encoder):
    """Power of the test above: without the mask, the crop is the volume with its border."""
    batches = stream(padded, pipeline(crop=None, patch=12))
    run = start(tiny_encoder).train(batches, 150)
    accuracies, chance = accuracies_of(run, batches, 16)
    assert accuracies.mean() > 1.5 * chance


def test_shading_is_no_shortcut(ramp, tiny_encoder):
    """Acceptance test 12: a bias field gives positions away without the counter-measures, not with them."""
    batches = stream(ramp, pipeline())
    run = start(tiny_encoder).train(batches, 150)
    accuracies, chance = accuracies_of(run, batches, 32)
    batches = stream(ramp, RandPatchGridd("image", GRID, PATCH, 36))
    run = start(tiny_encoder).train(batches, 150)
    found, _ = accuracies_of(run, batches, 32)
    assert accuracies.mean() < 2 * chance
    assert found.mean() > 3 * chance
