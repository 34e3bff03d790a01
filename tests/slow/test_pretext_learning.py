"""What the pretext tasks learn, and do not: anatomy yes, noise, padding and shading no. In volumes and in slices.

The bundles' own transforms, network and loss, read from their train.json, around a small network body and on small
volumes, one core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pytest
import torch
import volumes
from chains import SMALL_UNET, Task
from learning import NEW, Batches, Run, deviation
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medvol.metrics import ClassAccuracy
from medvol.metrics.views import ViewRetrieval

pytestmark = pytest.mark.slow

POOL = 64  # drawn volumes with an anatomy take time, so this many are trained on, and as many others judged
PLAIN = {"scale": (1, 1), "shift": (0, 0), "bias": 0.0, "channel_drop": 0.0}  # z-score only

SMALL: dict[str, tuple[tuple[int, ...], int, dict[str, Any]]] = {
    "rpl3d": ((38, 38, 38), 4, {"crop_size": [36, 36, 36], "patch_size": [8, 8, 8]}),
    "rpl2d": ((38, 38, 1), 16, {"crop_size": [36, 36, 1], "patch_size": [8, 8, 1]}),
    "jigsaw3d": ((38, 38, 38), 4, {"crop_size": [36, 36, 36], "patch_size": [8, 8, 8], "num_permutations": 20}),
    "jigsaw2d": ((38, 38, 1), 16, {"crop_size": [36, 36, 1], "patch_size": [8, 8, 1], "num_permutations": 20}),
    "rotation3d": ((22, 22, 22), 4, {"crop_size": [20, 20, 20]}),
    "rotation2d": ((38, 38, 1), 16, {"crop_size": [36, 36, 1]}),
    "exemplar3d": ((28, 28, 28), 8, {"crop_size": [16, 16, 16], "embedding": 32}),
    "exemplar2d": ((38, 38, 1), 16, {"crop_size": [24, 24, 1], "embedding": 32}),
}
"""Shape of a volume, volumes of a batch, and sizes of each bundle."""
CLASSES = {"rpl3d": 26, "rpl2d": 8, "jigsaw3d": 20, "jigsaw2d": 20, "rotation3d": 10, "rotation2d": 4}
TILED, VIEWED = [b for b in CLASSES if not b.startswith("rotation")], ["exemplar3d", "exemplar2d"]


def small(bundle: str, changes: Mapping[str, Any] | None = None, **more: Any) -> Task:
    return Task(bundle, changes={"unet": SMALL_UNET, **SMALL[bundle][2], **(changes or {})}, **more)


def start(task: Task) -> Run:
    torch.manual_seed(0)
    monitor = ViewRetrieval() if task.bundle in VIEWED else ClassAccuracy()
    return Run(task.part("network"), task.part("loss"), monitor)


def stream(task: Task, volume: Callable[..., Tensor], two: bool = False) -> Batches:
    """Batches of new volumes, or of two volumes over and over; what is drawn depends on the batch's number alone."""
    shape, size, _ = SMALL[task.bundle]
    transform = task.transform()

    def batches(step: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
        transform.set_random_state(step)
        numbers = (0, 1) if two else range(size * step, size * (step + 1))
        samples = [{"image": volume(shape, number), "patient": number, "label": 0} for number in numbers]
        return task.batch([transform(sample) for sample in samples])

    return batches


@lru_cache(maxsize=6 * POOL)
def anatomy(shape: tuple[int, ...], number: int) -> Tensor:
    """One of a pool of volumes with an anatomy; new batches are drawn from another pool."""
    return volumes.blobs(shape, number % POOL + (POOL if number >= NEW else 0))


def person(shape: tuple[int, ...], number: int) -> Tensor:
    """Grain that is stretched along each axis as in nobody else: what views of one person have in common."""
    widths = np.exp(np.random.RandomState(number).uniform(np.log(0.5), np.log(4), size=len(shape)))
    widths[np.array(shape) == 1] = 0
    return torch.from_numpy(gaussian_filter(volumes.noise(shape, number)[0].numpy(), widths))[None]


def judged(task: Task, batches: Batches, steps: int, count: int) -> tuple[Tensor, float]:
    """Train, and return the accuracy on each of some new batches, and chance."""
    run = start(task).train(batches, steps)
    assert run.losses[0] == pytest.approx(math.log(CLASSES[task.bundle]), abs=1e-5)  # acceptance test 14
    results = run.results(batches, count)
    assert results["chance"].tolist() == pytest.approx([1 / CLASSES[task.bundle]] * count)
    return results["accuracy"], float(results["chance"][0])


@pytest.mark.parametrize("bundle", CLASSES)
def test_anatomy_is_learned(bundle: str) -> None:
    """Acceptance test 15."""
    task = small(bundle)
    steps = 160 if bundle == "rotation3d" else 100  # blurred views tell less
    accuracies, chance = judged(task, stream(task, anatomy), steps, 16)
    print(f"{bundle} anatomy: {accuracies.mean():.3f} of {chance:.3f}, {deviation(accuracies, chance):.0f} s.e.")
    assert deviation(accuracies, chance) >= 5


@pytest.mark.parametrize("bundle", CLASSES)
def test_two_volumes_are_learned_by_heart(bundle: str) -> None:
    """Acceptance test 16, jitter off."""
    shape = SMALL[bundle][0]
    options = {"RandPatchIntensityd": PLAIN, "RandPatchGridd": {"jitter": False}}
    if bundle.startswith("rotation"):
        options["RandPatchBlurd"] = {"prob": 0.0}
    whole = {"crop_size": [size - 2 if size > 1 else 1 for size in shape]}
    task = small(bundle, whole, options=options)

    def inside(shape: tuple[int, ...], number: int) -> Tensor:
        return anatomy(shape, number)[tuple(slice(None, size) for size in (None, *whole["crop_size"]))]

    batches = stream(task, inside, two=True)
    run = start(task).train(batches, 200)
    accuracies = run.results(batches, 8)["accuracy"]
    print(f"{bundle} two volumes: {accuracies.mean():.3f}")
    assert accuracies.mean() > 0.95


@pytest.mark.parametrize("bundle", CLASSES)
def test_nothing_is_found_in_noise(bundle: str) -> None:
    """Acceptance test 12."""
    task = small(bundle)
    accuracies, chance = judged(task, stream(task, volumes.noise), 60, 96)
    print(f"{bundle} noise: {accuracies.mean():.4f} of {chance:.4f}, {deviation(accuracies, chance):.1f} s.e.")
    assert abs(deviation(accuracies, chance)) < 3


def bordered(bundle: str) -> dict[str, Any]:
    """Patches as large as their cells, so that a border would lie in them."""
    return {"patch_size": [12 if size > 1 else 1 for size in SMALL[bundle][0]], "min_gap": 0} if bundle in TILED else {}


@pytest.mark.parametrize("bundle", CLASSES)
def test_nothing_is_found_in_padding(bundle: str) -> None:
    """Acceptance test 12: the crop leaves the border out."""
    task = small(bundle, bordered(bundle))
    accuracies, chance = judged(task, stream(task, volumes.padded), 60, 96)
    print(f"{bundle} padded: {accuracies.mean():.4f} of {chance:.4f}, {deviation(accuracies, chance):.1f} s.e.")
    assert abs(deviation(accuracies, chance)) < 3


@pytest.mark.parametrize("bundle", TILED)
def test_a_border_that_is_kept_is_found(bundle: str) -> None:
    """Power of the test above: without the mask the crop is the volume with its border. A turned border is the same."""
    whole = {"crop_size": list(SMALL[bundle][0]), **bordered(bundle)}
    options = {"RandPatchGridd": {"mask_key": None}, "EnsureTyped": {"keys": ["image"]}}
    task = small(bundle, whole, without=["ForegroundMaskd"], options=options)
    steps, border = {"jigsaw3d": (120, 3), "jigsaw2d": (200, 1)}.get(bundle, (80, 1))
    accuracies, chance = judged(task, stream(task, partial(volumes.padded, border=border)), steps, 16)
    print(f"{bundle} border: {accuracies.mean():.3f} of {chance:.3f}")
    assert accuracies.mean() > 1.5 * chance


@pytest.mark.parametrize("bundle", CLASSES)
def test_shading_is_no_shortcut(bundle: str) -> None:
    """Acceptance test 12: the counter-measures hide a bias field, and without them it gives the answer away."""
    task = small(bundle)
    accuracies, chance = judged(task, stream(task, volumes.ramp), 60, 24)
    bare = small(bundle, without=["RandPatchIntensityd", "RandPatchBlurd"])
    found, _ = judged(bare, stream(bare, volumes.ramp), 100, 24)
    print(f"{bundle} ramp: {accuracies.mean():.3f} of {chance:.3f}, bare {found.mean():.3f}")
    assert accuracies.mean() < 2 * chance
    assert found.mean() > max(2 * chance, chance + 0.15)


@pytest.mark.parametrize("bundle", VIEWED)
def test_views_find_their_volume_and_embeddings_do_not_collapse(bundle: str) -> None:
    """Acceptance tests 15, by the nearest view of the batch, and 17. One anatomy for all has nothing to find."""
    task = small(bundle)
    batches = stream(task, person)
    run = start(task).train(batches, 120)
    views = 2 * SMALL[bundle][1]
    assert run.losses[0] == pytest.approx(math.log(views - 1), rel=0.15)  # acceptance test 14: nearly equal embeddings
    results = run.results(batches, 96 if task.part("spatial_dims") == 3 else 48)
    chance = float(results["chance"][0])
    found, spread = results["top1"], results["spread"]
    print(
        f"{bundle} persons: {found.mean():.3f} of {chance:.3f}, {deviation(found, chance):.0f} s.e., {spread.min():.2f}"
    )
    assert chance == pytest.approx(1 / (views - 1))
    assert deviation(found, chance) >= 5
    assert spread.mean() > 0.1


@pytest.mark.parametrize("bundle", VIEWED)
def test_two_volumes_are_told_apart(bundle: str) -> None:
    """Acceptance test 16, places and intensities not drawn."""
    views = {"scale": [1.0, 1.0], "ratio": 1.0, "rotate": 0.0}
    options = {"RandViewsd": views, "RandPatchIntensityd": PLAIN, "RandPatchBlurd": {"prob": 0.0}}
    task = small(bundle, options=options)
    batches = stream(task, anatomy, two=True)
    results = start(task).train(batches, 60).results(batches, 8)
    print(f"{bundle} two volumes: {results['top1'].mean():.3f}")
    assert results["top1"].mean() > 0.95


@pytest.mark.parametrize("bundle", SMALL)
def test_every_parameter_of_the_encoder_takes_part(bundle: str) -> None:
    """Acceptance test 18, after one step: the first one moves the last layer alone, which starts at zero.

    The bundle's own network.
    """
    task = Task(bundle, changes=SMALL[bundle][2])
    run, batches = start(task), stream(task, anatomy, two=True)
    run.train(batches, 1)
    run.network.zero_grad()
    inputs, label = batches(1)
    run.criterion(run.network(*inputs), label).backward()
    gradients = {name: p.grad for name, p in run.network.named_parameters() if ".encoder." in name}
    assert gradients
    assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
