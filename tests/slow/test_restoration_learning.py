"""What the restoring tasks learn, and do not: anatomy yes, noise no. In volumes and in slices.

The bundles' own transforms, network and loss, read from their train.json, at small sizes, one core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pytest
import torch
import volumes
from defects import put
from learning import NEW, Run, deviation
from restoring import CASES, CUBE, Case, alone, stream
from torch import Tensor

from medvol.data.partner import with_partner
from medvol.metrics import RestorationError, VoxelAccuracy
from medvol.networks import MaskedAutoencoder

pytestmark = pytest.mark.slow

POOL, JUDGED = 64, 256  # drawn volumes with an anatomy take time: trained on over and over; judged on once each
COUNT = 8  # new batches to judge on
BAR = 0.005  # of what is explained of noise: less is nothing
HOLES = [name for name, case in CASES.items() if not case.bundle.startswith("genesis") or "paint" in name]
"""Tasks of which noise tells nothing: whoever undoes a curve or a shuffling has more to go by."""


@lru_cache(maxsize=POOL + JUDGED)
def anatomy(shape: tuple[int, ...], number: int) -> Tensor:
    """One of a pool of volumes with an anatomy; new batches are drawn from another pool, large enough for all."""
    return volumes.blobs(shape, number % POOL if number < NEW else POOL + number % JUDGED)


def painted(inputs: Sequence[Tensor], clean: Tensor) -> Tensor:
    """The clean image where the input is another, NaN elsewhere; the chain shows [0, 1] as [-2, 2]."""
    assert inputs[0].abs().max() <= 2
    return clean.masked_fill((inputs[0] - (4 * clean - 2)).abs() < 1e-4, math.nan)


def restored(name: str, volume: Callable[..., Tensor]) -> Tensor:
    """Train, and return the share of variance that is explained on each of some new batches, ``(COUNT,)``."""
    case = CASES[name]
    task = case.task
    batches = stream(case, task, alone(case, volume))
    torch.manual_seed(0)
    monitor = RestorationError(activation=task.config["loss"].get("activation"))
    run = Run(task.part("network"), task.part("loss"), monitor).train(batches, case.steps, case.learning_rate)
    run.network.eval()

    def judged(number: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
        inputs, clean = batches(number)
        return inputs, painted(inputs, clean) if "paint" in name else clean

    return run.results(judged, COUNT)["explained"]


@pytest.mark.parametrize("name", CASES)
def test_anatomy_is_restored(name: str) -> None:
    """Better than the best even gray of each sample, on volumes that were not trained on."""
    assert COUNT * CASES[name].size <= JUDGED  # no volume is judged twice
    explained = restored(name, anatomy)
    print(f"{name} anatomy: explained {explained.mean():.3f}, {deviation(explained, 0.0):.0f} s.e.")
    assert deviation(explained, 0.0) >= 5
    assert explained.mean() > 0.1


@pytest.mark.parametrize("name", HOLES)
def test_noise_is_not(name: str) -> None:
    """Nothing beside a hidden voxel tells what it was; the first voxel too many that is shown would."""
    explained = restored(name, volumes.noise)
    print(f"{name} noise: explained {explained.mean():.4f}")
    assert -0.1 < explained.mean() < BAR


def test_a_mask_that_is_off_by_one_voxel_lets_noise_be_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """So much would show in the test above: at one side of each hidden region a layer of it is seen."""
    put(monkeypatch, MaskedAutoencoder, "forward", (("mask.to(image.device)", "mask.roll(1, 2).to(image.device)"),))
    explained = restored("mae3d", volumes.noise)
    print(f"mae3d noise, mask moved: explained {explained.mean():.4f}")
    assert explained.mean() > BAR


def fused(case: Case, pair: Callable[[Callable[..., Any], int], Mapping[str, Any]]) -> dict[str, Tensor]:
    task = case.task
    batches = stream(case, task, pair)
    torch.manual_seed(0)
    run = Run(task.part("network"), task.part("loss"), VoxelAccuracy()).train(batches, case.steps)
    run.network.eval()
    return run.results(batches, 2 * COUNT)


def test_two_fused_patients_are_told_apart() -> None:
    """On grain, of which mixtures are weaker: two smooth anatomies take more steps than a test has."""
    case = Case("volumefusion3d", (26, 26, 26), 4, CUBE, 120)

    def pair(prepare: Callable[..., Any], number: int) -> Mapping[str, Any]:
        one, other = (prepare({"image": volumes.noise(case.shape, 2 * number + i), "label": 0}) for i in range(2))
        return with_partner(one, other)

    found = fused(case, pair)
    gain = found["accuracy"] - found["chance"]
    print(f"volumefusion3d: {found['accuracy'].mean():.3f} of {found['chance'].mean():.3f}")
    assert deviation(gain, 0.0) >= 3
    assert found["dice"].mean() > 0.25


def test_a_patient_fused_with_itself_is_not() -> None:
    """The image is the same everywhere, so the places of the boxes cannot be told."""
    case = Case("volumefusion3d", (24, 24, 24), 4, CUBE, 120)  # as large as a crop: both crops are the whole

    def pair(prepare: Callable[..., Any], number: int) -> Mapping[str, Any]:
        one = prepare({"image": anatomy(case.shape, number), "label": 0})
        return with_partner(one, one)

    found = fused(case, pair)
    print(f"volumefusion3d, the same twice: {found['accuracy'].mean():.3f} of {found['chance'].mean():.3f}")
    assert deviation(found["accuracy"] - found["chance"], 0.0) < 3
    assert found["dice"].mean() < 0.23
