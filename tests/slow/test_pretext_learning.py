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

from medvol.metrics import ClassAccuracy, ContrastiveAccuracy
from medvol.metrics.views import COLLAPSED, ViewRetrieval

pytestmark = pytest.mark.slow

POOL, JUDGED = 64, 256  # drawn volumes with an anatomy take time: trained on over and over; judged on once each
PLAIN = {"scale": (1, 1), "shift": (0, 0), "bias": 0.0, "channel_drop": 0.0}  # z-score only
CODES = {"network::embedding": 32, "network::hidden": 64}
NEAR = {"RandViewsd": {"scale": [0.7, 1.0]}}  # small views of small volumes show too little in the time of a test

SMALL: dict[str, tuple[tuple[int, ...], int, dict[str, Any]]] = {
    "cpc3d": ((38, 38, 38), 4, {"crop_size": [36, 36, 36], "grid": [3, 3, 3], "patch_size": [8, 8, 8], **CODES}),
    "cpc2d": ((38, 38, 1), 16, {"crop_size": [36, 36, 1], "grid": [3, 3, 1], "patch_size": [8, 8, 1], **CODES}),
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
STEPS = {"cpc3d": 150, "cpc2d": 150, "jigsaw3d": 240, "jigsaw2d": 200, "rotation3d": 160}
"""Where 100 do not suffice. A task has as many steps to find nothing as it has to find something."""
CLASSES = {"rpl3d": 26, "rpl2d": 8, "jigsaw3d": 20, "jigsaw2d": 20, "rotation3d": 10, "rotation2d": 4}
CPC, TURNED, VIEWED = ["cpc3d", "cpc2d"], ["rotation3d", "rotation2d"], ["exemplar3d", "exemplar2d"]
JUDGEABLE = [bundle for bundle in SMALL if bundle not in VIEWED]  # by the accuracy of their answers


def small(bundle: str, changes: Mapping[str, Any] | None = None, **more: Any) -> Task:
    return Task(bundle, changes={"unet": SMALL_UNET, **SMALL[bundle][2], **(changes or {})}, **more)


def start(task: Task) -> Run:
    torch.manual_seed(0)
    kind = ViewRetrieval if task.bundle in VIEWED else ContrastiveAccuracy if task.bundle in CPC else ClassAccuracy
    monitor = kind()
    return Run(task.part("network"), task.part("loss"), monitor)


def stream(task: Task, volume: Callable[..., Tensor], two: int = 0, shape: tuple[int, ...] | None = None) -> Batches:
    """Batches of new volumes, or of the same two so many times; what is drawn depends on the batch's number alone."""
    usual, size, _ = SMALL[task.bundle]
    shape = shape or usual
    transform = task.transform()

    def batches(step: int) -> tuple[tuple[Tensor, ...], Tensor | None]:
        transform.set_random_state(step)
        numbers = (0, 1) * two if two else range(size * step, size * (step + 1))
        samples = [{"image": volume(shape, number), "patient": number, "label": 0} for number in numbers]
        return task.batch([transform(sample) for sample in samples])

    return batches


@lru_cache(maxsize=POOL + JUDGED)
def anatomy(shape: tuple[int, ...], number: int) -> Tensor:
    """One of a pool of volumes with an anatomy; new batches are drawn from another pool, large enough for all."""
    return volumes.blobs(shape, number % POOL if number < NEW else POOL + number % JUDGED)


def person(shape: tuple[int, ...], number: int) -> Tensor:
    """Grain that is stretched along each axis as in nobody else: what views of one person have in common."""
    widths = np.exp(np.random.RandomState(number).uniform(np.log(0.5), np.log(4), size=len(shape)))
    widths[np.array(shape) == 1] = 0
    return torch.from_numpy(gaussian_filter(volumes.noise(shape, number)[0].numpy(), widths))[None]


def judged(task: Task, batches: Batches, count: int) -> tuple[Tensor, float]:
    """Train, and return the accuracy on each of some new batches, and chance."""
    run = start(task).train(batches, STEPS.get(task.bundle, 100))
    results = run.results(batches, count)
    if task.bundle in CLASSES:
        assert run.losses[0] == pytest.approx(math.log(CLASSES[task.bundle]), abs=1e-5)  # acceptance test 14
        assert results["chance"].tolist() == pytest.approx([1 / CLASSES[task.bundle]] * count)
    assert (results["chance"] == results["chance"][0]).all()  # candidates of CPC: the patches of the batch
    return results["accuracy"], float(results["chance"][0])


@pytest.mark.parametrize("bundle", JUDGEABLE)
def test_anatomy_is_learned(bundle: str) -> None:
    """Acceptance test 15."""
    task, count = small(bundle), 16
    assert count * SMALL[bundle][1] <= JUDGED  # no volume is judged twice
    accuracies, chance = judged(task, stream(task, anatomy), count)
    print(f"{bundle} anatomy: {accuracies.mean():.3f} of {chance:.3f}, {deviation(accuracies, chance):.0f} s.e.")
    assert deviation(accuracies, chance) >= 5


@pytest.mark.parametrize("bundle", JUDGEABLE)
def test_two_volumes_are_learned_by_heart(bundle: str) -> None:
    """Acceptance test 16, jitter off."""
    shape = SMALL[bundle][0]
    options = {"RandPatchIntensityd": PLAIN, "RandPatchGridd": {"jitter": False}}
    if bundle in TURNED:
        options["RandPatchBlurd"] = {"prob": 0.0}
    whole = {"crop_size": [size - 2 if size > 1 else 1 for size in shape]}
    task = small(bundle, whole, options=options)

    def inside(shape: tuple[int, ...], number: int) -> Tensor:
        return anatomy(shape, number)[tuple(slice(None, size) for size in (None, *whole["crop_size"]))]

    batches = stream(task, inside, two=1)
    run = start(task).train(batches, 300 if bundle in CPC else 200)
    accuracies = run.results(batches, 8)["accuracy"]
    print(f"{bundle} two volumes: {accuracies.mean():.3f}")
    assert accuracies.mean() > 0.95


@pytest.mark.parametrize("bundle", JUDGEABLE)
def test_nothing_is_found_in_noise(bundle: str) -> None:
    """Acceptance test 12."""
    task = small(bundle)
    accuracies, chance = judged(task, stream(task, volumes.noise), 96)
    print(f"{bundle} noise: {accuracies.mean():.4f} of {chance:.4f}, {deviation(accuracies, chance):.1f} s.e.")
    assert abs(deviation(accuracies, chance)) < 3


def one_sided(shape: tuple[int, ...], number: int, border: int) -> Tensor:
    """Noise beside zeros at the beginning of every axis: how a view is turned is seen from where they are.

    Zeros all around look the same after every turn.
    """
    volume = volumes.noise(shape, number)
    for axis, size in enumerate(shape):
        if size > 1:
            volume.narrow(1 + axis, 0, border).zero_()
    return volume


def bordered(bundle: str) -> tuple[Callable[..., Tensor], tuple[int, ...], dict[str, Any]]:
    """Volumes with a border, their shape, and patches as large as their cells, so that a border would lie in them."""
    crop, border = SMALL[bundle][2]["crop_size"], 4 if bundle == "jigsaw3d" else 3 if bundle in TURNED else 1
    wide = border if bundle in TURNED else 2 * border
    shape = tuple(size + wide if size > 1 else 1 for size in crop)  # the crop is just what the border leaves
    if bundle in TURNED:
        return partial(one_sided, border=border), shape, {}
    patches = {"patch_size": [12 if size > 1 else 1 for size in crop], "min_gap": 0}
    return partial(volumes.padded, border=border), shape, patches


@pytest.mark.parametrize("bundle", JUDGEABLE)
def test_nothing_is_found_in_padding(bundle: str) -> None:
    """Acceptance test 12: the crop leaves the border out."""
    volume, shape, patches = bordered(bundle)
    task = small(bundle, patches)
    accuracies, chance = judged(task, stream(task, volume, shape=shape), 96)
    print(f"{bundle} padded: {accuracies.mean():.4f} of {chance:.4f}, {deviation(accuracies, chance):.1f} s.e.")
    assert abs(deviation(accuracies, chance)) < 3


@pytest.mark.parametrize("bundle", JUDGEABLE)
def test_a_border_that_is_kept_is_found(bundle: str) -> None:
    """Power of the test above, on the same volumes: without the mask the crop is the volume with its border."""
    volume, shape, patches = bordered(bundle)
    options = {"RandPatchGridd": {"mask_key": None}, "EnsureTyped": {"keys": ["image"]}}
    task = small(bundle, {**patches, "crop_size": list(shape)}, without=["ForegroundMaskd"], options=options)
    accuracies, chance = judged(task, stream(task, volume, shape=shape), 16)
    print(f"{bundle} border: {accuracies.mean():.3f} of {chance:.3f}, {deviation(accuracies, chance):.0f} s.e.")
    assert accuracies.mean() > 1.5 * chance
    assert deviation(accuracies, chance) >= 5


@pytest.mark.parametrize("bundle", JUDGEABLE)
def test_shading_is_no_shortcut(bundle: str) -> None:
    """Acceptance test 12: the counter-measures hide a bias field, and without them it gives the answer away."""
    task = small(bundle)
    accuracies, chance = judged(task, stream(task, volumes.ramp), 24)
    bare = small(bundle, without=["RandPatchIntensityd", "RandPatchBlurd"])
    found, _ = judged(bare, stream(bare, volumes.ramp), 24)
    print(f"{bundle} ramp: {accuracies.mean():.3f} of {chance:.3f}, bare {found.mean():.3f}")
    assert accuracies.mean() < 2 * chance
    assert found.mean() > (3 * chance if bundle in CPC else max(2 * chance, chance + 0.15))


# Classes of relative location in a slice whose patches lie side by side: the edge of the query, and of the center.
FACING = {1: ((-1, slice(None)), (0, slice(None))), 3: ((slice(None), -1), (slice(None), 0)),
          4: ((slice(None), 0), (slice(None), -1)), 6: ((0, slice(None)), (-1, slice(None)))}  # fmt: skip


def read_off_the_edges(task: Task, count: int) -> float:
    """How often the side of the center is found whose edge is most like the facing edge of its neighbor; chance 1/4."""
    transform, pairs, right = task.transform(), task.part("pairs").tolist(), []
    for number in range(count):
        smooth = gaussian_filter(volumes.noise(SMALL[task.bundle][0], number)[0].numpy(), (1, 1, 0))
        sample = transform.set_random_state(number)({"image": torch.from_numpy(smooth)[None]})
        for (center, query), label in zip(pairs, sample["label"].tolist(), strict=True):
            if label in FACING:
                there, here = sample["image"][query, 0, ..., 0], sample["image"][center, 0, ..., 0]
                alike = {
                    side: float(torch.corrcoef(torch.stack([there[one], here[other]]))[0, 1])
                    for side, (one, other) in FACING.items()
                }
                right.append(max(alike, key=alike.get) == label)
    return sum(right) / len(right)


def test_a_gap_and_jitter_keep_edges_from_telling_the_place() -> None:
    """Texture that goes on from one patch into the next is matched without knowing any anatomy."""
    shipped = read_off_the_edges(small("rpl2d"), 100)
    touching = {"patch_size": [12, 12, 1], "min_gap": 0}
    found = read_off_the_edges(small("rpl2d", touching), 100)
    print(f"edges: {found:.3f} where patches touch, {shipped:.3f} with gap and jitter, chance 0.250")
    assert found > 0.6
    assert shipped < 0.35


@pytest.mark.parametrize("bundle", SMALL)
def test_a_seed_is_a_run(bundle: str) -> None:
    """Acceptance test 19: twelve steps have the same losses again, the same pictures and labels; others differ."""

    def twelve(first: int) -> tuple[list[float], Batches]:
        task = small(bundle)
        batches = stream(task, person)
        return start(task).train(lambda step: batches(first + step), 12).losses, batches

    (losses, one), (again, other) = twelve(0), twelve(0)
    assert losses == again
    assert losses[-1] != twelve(100)[0][-1]
    for step in (0, 11):
        (inputs, label), (same, answer) = one(step), other(step)
        assert all(torch.equal(a, b) for a, b in zip(inputs, same, strict=True))
        assert label is answer is None or torch.equal(label, answer)


def sharpness(views: Tensor) -> Tensor:
    """How much neighbors along each axis differ in each view, ``(B, V, D)``: a statistic that needs no network."""
    axes = [axis for axis in range(3, views.ndim) if views.shape[axis] > 1]
    return torch.stack([views.diff(dim=axis).square().flatten(2).mean(dim=2).log() for axis in axes], dim=2)


@pytest.mark.parametrize("bundle", VIEWED)
def test_views_find_their_volume_and_embeddings_do_not_collapse(bundle: str) -> None:
    """Acceptance tests 15, by the nearest view of the batch, and 17.

    Random weights find views already: persons differ in their grain alone, for one anatomy of all has nothing to find.
    So the same new batches are judged before training, too. This shows that the task is learned, not that it is
    learned from anatomy: sharpness along each axis, printed beside, tells persons apart, too.
    """
    task = small(bundle, options=NEAR)
    batches, count = stream(task, person), 48
    run = start(task)
    before = run.results(batches, count)["top1"]
    run.train(batches, 240 if task.part("spatial_dims") == 3 else 160, learning_rate=1e-3)
    views = 2 * SMALL[bundle][1]
    assert run.losses[0] == pytest.approx(math.log(views - 1), rel=0.15)  # acceptance test 14: nearly equal embeddings
    results = run.results(batches, count)
    crude = ViewRetrieval()
    for index in range(count):
        inputs, label = batches(NEW + index)
        crude.update(sharpness(inputs[0]), label)
    chance = float(results["chance"][0])
    found, spread = results["top1"], results["spread"]
    gain = deviation(found - before, 0)
    told = f"{found.mean():.3f} of {chance:.3f}, {deviation(found, chance):.0f} s.e., {spread.min():.2f}"
    print(f"{bundle} persons: {before.mean():.3f} before, {gain:.1f} s.e.; {told}")
    print(f"{bundle} persons by sharpness: {crude.compute()['top1']:.3f}")
    assert chance == pytest.approx(1 / (views - 1))
    assert deviation(found, chance) >= 5
    assert gain >= 5
    assert found.mean() > before.mean() + 0.05
    assert spread.min() > COLLAPSED


def attraction(embeddings: Tensor, _patients: Tensor) -> Tensor:
    """How far the views of an image are apart: a loss that forgets those of the others."""
    return (embeddings[:, 0] - embeddings[:, 1]).square().sum(dim=1).mean()


@pytest.mark.parametrize("bundle", VIEWED)
def test_embeddings_collapse_without_others_to_be_told_from(bundle: str) -> None:
    """Power of the test above: spread shows it, and embeddings were spread further before."""
    task = small(bundle, options=NEAR)
    batches, run = stream(task, person), start(task)
    run.criterion = attraction
    before = run.results(batches, 8)["spread"]
    spread = run.train(batches, 60, learning_rate=1e-3).results(batches, 8)["spread"]
    print(f"{bundle} without others: spread {before.mean():.3f}, then {spread.mean():.3f}")
    assert spread.max() < COLLAPSED / 2
    assert before.mean() > 4 * spread.mean()


@pytest.mark.parametrize("bundle", VIEWED)
def test_two_volumes_are_told_apart(bundle: str) -> None:
    """Acceptance test 16: four images of each; intensities are not drawn, places and blur are.

    If both views showed the same place, random weights would tell the volumes apart.
    """
    options = {"RandViewsd": {"scale": [0.5, 1.0]}, "RandPatchIntensityd": PLAIN}
    task = small(bundle, options=options)
    batches, run = stream(task, person, two=4), start(task)
    before = run.results(batches, 8)["top1"]
    after = run.train(batches, 200, learning_rate=1e-3).results(batches, 8)["top1"]
    print(f"{bundle} two volumes: {before.mean():.3f} before, then {after.mean():.3f}")
    assert before.mean() < 0.7
    assert after.mean() > 0.95


@pytest.mark.parametrize("bundle", SMALL)
def test_every_parameter_of_the_encoder_takes_part(bundle: str) -> None:
    """Acceptance test 18, after one step: the first one moves the last layer alone, which starts at zero.

    The bundle's own network.
    """
    task = Task(bundle, changes=SMALL[bundle][2])
    run, batches = start(task), stream(task, anatomy, two=1)
    run.train(batches, 1)
    run.network.zero_grad()
    inputs, label = batches(1)
    run.criterion(run.network(*inputs), label).backward()
    gradients = {name: p.grad for name, p in run.network.named_parameters() if ".encoder." in name}
    assert gradients
    assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
