"""What prepares restoration: the distortions against transparent loops, and whole chains against the steps they feed.

Processor time on one core, since a neighbor's work is nobody's here. Each distortion is timed on its own and weighed by
its published probability, so that no seed decides what is measured.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import cache

import genesis_loops
import numpy as np
import pytest
import torch
from chains import ROOT, Task
from monai.transforms import Compose
from monai.transforms.traits import RandomizableTrait

from medvol.data.partner import with_partner
from medvol.engines.precision import as_float32, autocast_dtype, forward_precision
from medvol.transforms import RandAxisFlipsd, RandBezierIntensityd, RandForegroundCropd, RandLocalShuffled, RandPaintd

pytestmark = pytest.mark.speed


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seconds(task: Callable[[], object], rounds: int = 5) -> float:
    """Median of its processor time, after one round that warms up."""
    found = []
    for _ in range(rounds + 1):
        start = time.process_time()
        task()
        found.append(time.process_time() - start)
    return statistics.median(found[1:])


PARTS = {
    "local shuffling": (0.5, lambda: RandLocalShuffled("image", prob=1), genesis_loops.shuffle, 3),
    "intensity curve": (0.9, lambda: RandBezierIntensityd("image", prob=1), genesis_loops.intensity, 5),
    "outer cutout": (0.9 * 0.8, lambda: RandPaintd("image", prob=1, outer_prob=1), genesis_loops.outer, 1.2),
    # copies five boxes of a few percent, as the loop does; and reads the image once more, to check its range
    "inner cutout": (0.9 * 0.2, lambda: RandPaintd("image", prob=1, outer_prob=0), genesis_loops.inner, 0.4),
}
"""The share of samples that get a part, how it is built, its loop, and how many times as fast it must be at least."""

LOOP_COST = {96: 2.3, 160: 3.4}
"""Processor time of the loops in calibrations, when this was written. Loops that became cheaper or dearer would move
every ratio without a change of ours; a slower machine moves both alike."""


def calibration(size: int) -> None:
    """Fixed work of the loops' kinds: thousands of small steps in NumPy, and passes over a volume."""
    volume = np.linspace(0, 1, size**3).reshape(size, size, size)
    random = np.random.RandomState(0)
    for place in range(10_000):
        start = place % (size - 8)
        window = volume[start : start + 7, 2:6, 1:8]
        random.permutation(window.size)
        volume[start : start + 7, 2:6, 1:8] = window.reshape(-1)[::-1].reshape(7, 4, 7)
    points = np.linspace(0, 1, 1000)
    np.interp(volume, points, points)
    random.uniform(size=volume.shape)


@cache
def measured(size: int) -> dict[str, tuple[float, float]]:
    """Seconds of ours and of the loop, for each part."""
    image, random = torch.rand(1, size, size, size), np.random.RandomState(0)
    array, found = image.numpy(), {}
    for name, (_, build, loop, _) in PARTS.items():
        part = build().set_random_state(0)
        found[name] = seconds(lambda p=part: p({"image": image})), seconds(lambda f=loop: f(array, random))
    return found


@pytest.mark.parametrize("size", [96, 160])
@pytest.mark.parametrize("name", PARTS)
def test_each_part_against_its_loop(name: str, size: int, capsys: pytest.CaptureFixture) -> None:
    ours, theirs = measured(size)[name]
    with capsys.disabled():
        print(f"\n{name}, {size}^3: {ours * 1e3:.1f} ms, loop {theirs * 1e3:.1f} ms, {theirs / ours:.1f} times as fast")
    assert theirs / ours > PARTS[name][-1]


@pytest.mark.parametrize("size", [96, 160])
def test_the_chain_against_the_loops(size: int, capsys: pytest.CaptureFixture) -> None:
    """A mean sample; ours with its flips, two of five, and with the copy that becomes the label, the loops without."""
    image = torch.rand(1, size, size, size)
    flip = RandAxisFlipsd("image", prob=1, most=1).set_random_state(0)
    mirrored, copied = seconds(lambda: flip({"image": image})), seconds(lambda: image.clone())
    ours, theirs = (sum(PARTS[name][0] * pair[n] for name, pair in measured(size).items()) for n in (0, 1))
    ours += 0.4 * mirrored + copied
    cost = theirs / seconds(lambda: calibration(size))
    with capsys.disabled():
        print(
            f"\n{size}^3: a sample {ours * 1e3:.1f} ms, {theirs / ours:.1f} times as fast as the loops "
            f"({theirs * 1e3:.0f} ms, {cost:.2f} calibrations); a copy of the image {copied * 1e3:.1f} ms"
        )
    assert theirs / ours >= 3
    assert LOOP_COST[size] / 2 < cost < LOOP_COST[size] * 2


def head(shape: tuple[int, ...], channels: int) -> torch.Tensor:
    """Noise in an ellipsoid, zero around it."""
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, size, dtype=np.float32) for size in shape), indexing="ij", sparse=True)
    inside = sum(axis**2 for axis in axes) < 1
    return (torch.rand(channels, *shape) + 0.1) * torch.from_numpy(inside)


def test_a_crop_around_the_foreground_lists_no_voxels(capsys: pytest.CaptureFixture) -> None:
    """Against finding the places of all voxels of the foreground, once: what drawing from them would cost at least."""
    image = head((240, 240, 155), 1)
    data = {"image": image, "foreground": image != 0, "partner_image": image}
    crop = RandForegroundCropd(["image", "foreground"], "foreground", (64, 64, 32)).set_random_state(0)
    ours, theirs = seconds(lambda: crop(data)), seconds(lambda: torch.nonzero(data["foreground"].flatten()))
    with capsys.disabled():
        print(f"\na crop from 240 x 240 x 155: {ours * 1e3:.1f} ms; a list of the foreground {theirs * 1e3:.1f} ms")
    assert ours < theirs / 2


PRESETS = {  # the volumes of the data set, and examples of a step
    None: ((88, 105, 90), 4, 2),
    "hippocampus": ((35, 51, 35), 1, 4),
    "brats2018": ((240, 240, 155), 4, 1),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("bundle", ["genesis3d", "mae3d", "spark3d", "volumefusion3d"])
def test_a_sample_against_its_share_of_a_step(bundle: str, preset: str | None, capsys: pytest.CaptureFixture) -> None:
    """All that a bundle does to a sample on the way from the cache to the batch, in the bundle's own precision."""
    shape, channels, size = PRESETS[preset]
    path = ROOT / bundle / f"args_{preset}.json"
    changes = json.loads(path.read_text(encoding="utf-8")) if preset else {}
    if preset == "brats2018" and bundle != "genesis3d":
        changes["crop_size"] = [64, 64, 64]  # of 128: an eighth of the step's work, and no less of the volume's
    task = Task(bundle, channels=channels, changes=changes)
    parts = task.transform().transforms
    cut = next(n for n, part in enumerate(parts) if isinstance(part, RandomizableTrait))
    cached = Compose(parts[:cut])({"image": head(shape, channels), "label": "a/seg.nii.gz", "patient": 1})
    chain = Compose(parts[cut:])
    if bundle == "volumefusion3d":
        cached = with_partner(cached, {**cached, "patient": 2})

    samples, prepared = [], []
    for seed in range(17):  # the first warms up
        chain.set_random_state(seed)
        start = time.process_time()
        samples.append(chain(cached))
        prepared.append(time.process_time() - start)
    inputs, label = task.batch(samples[:size])
    network, loss, optimizer = (task.part(key) for key in ("network", "loss", "optimizer"))
    device = torch.device("cpu")
    precision = autocast_dtype(task.part("precision"), device)

    def step() -> None:
        optimizer.zero_grad()
        with forward_precision(device, precision):
            output = network(*inputs)
        loss(as_float32(output), label).backward()
        optimizer.step()

    one, each = seconds(step, rounds=1 if preset == "brats2018" else 3) / size, statistics.mean(prepared[1:])
    with capsys.disabled():
        kind = precision or "float32"
        print(
            f"\n{bundle}, {preset or 'phantom'}, {tuple(inputs[0].shape)}: {each * 1e3:.1f} ms, {each / one:.1%} of a "
            f"step of {one * 1e3:.0f} ms a sample in {kind}"
        )
    assert each / one <= 0.1
