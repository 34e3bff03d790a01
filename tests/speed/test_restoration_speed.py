"""The distortions of Models Genesis against the transparent loops and the bytes that must move, on one core."""

from __future__ import annotations

import time
from collections.abc import Callable

import genesis_loops
import numpy as np
import pytest
import torch
from monai.transforms import Compose, CopyItemsd

from medvol.transforms import RandAxisFlipsd, RandBezierIntensityd, RandLocalShuffled, RandPaintd

pytestmark = pytest.mark.speed
LOOP_COST = (20e-9, 600e-9)
"""Seconds that the loop form may take for a voxel: 123 ns at 160^3 and 193 ns at 96^3 when this was written. A cheaper
or dearer one would move the ratio without a change of ours."""


@pytest.fixture(autouse=True)
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def published() -> Compose:
    """The chain as a bundle puts it together, with the published probabilities."""
    parts = [
        RandAxisFlipsd("image"),
        CopyItemsd("image", names="label"),
        RandLocalShuffled("image"),
        RandBezierIntensityd("image"),
        RandPaintd("image"),
    ]
    return Compose(parts)


@pytest.mark.parametrize("size", [96, 160])
def test_the_chain_against_the_loops(size: int, capsys: pytest.CaptureFixture) -> None:
    """Both draw their own samples; processor time, since a neighbor's work is not theirs."""
    image, distort, random = torch.rand(1, size, size, size), published(), np.random.RandomState(0)
    array, rounds = image.numpy(), 12
    distort.set_random_state(0)
    distort({"image": image})
    seconds = {"chain": 0.0, "loops": 0.0, "copy": 0.0}
    tasks: dict[str, Callable[[], object]] = {
        "chain": lambda: distort({"image": image}),
        "loops": lambda: genesis_loops.chain(array, random),
        "copy": lambda: image.clone(),
    }
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            seconds[name] += (time.process_time() - start) / rounds
    ratio, voxel = seconds["loops"] / seconds["chain"], seconds["loops"] / size**3
    with capsys.disabled():
        print(
            f"\n{size}^3: a sample {seconds['chain'] * 1e3:.1f} ms, {ratio:.1f} times as fast as the loops "
            f"({seconds['loops'] * 1e3:.0f} ms, {voxel * 1e9:.0f} ns a voxel); a copy of the image "
            f"{seconds['copy'] * 1e3:.1f} ms"
        )
    assert LOOP_COST[0] < voxel < LOOP_COST[1]
    assert ratio >= 3


PARTS = {
    "local shuffling": (lambda: RandLocalShuffled("image", prob=1), genesis_loops.shuffle, 3),
    "intensity curve": (lambda: RandBezierIntensityd("image", prob=1), genesis_loops.intensity, 5),
    "outer cutout": (lambda: RandPaintd("image", prob=1, outer_prob=1), genesis_loops.outer, 1.2),
    # copies five boxes of a few percent, as the loop does; and reads the image once more, to check its range
    "inner cutout": (lambda: RandPaintd("image", prob=1, outer_prob=0), genesis_loops.inner, 0.4),
}
"""How a part is built, its loop, and how many times as fast it must be at the least."""


@pytest.mark.parametrize("size", [96, 160])
@pytest.mark.parametrize("name", PARTS)
def test_each_part_against_its_loop(name: str, size: int, in_turns: Callable, capsys: pytest.CaptureFixture) -> None:
    build, loop, least = PARTS[name]
    image, part, random = torch.rand(1, size, size, size), build(), np.random.RandomState(0)
    array = image.numpy()
    ours, theirs = in_turns(lambda: part({"image": image}), lambda: loop(array, random), rounds=3)
    copy, _ = in_turns(lambda: image.clone(), lambda: None, rounds=3)
    with capsys.disabled():
        print(
            f"\n{name}, {size}^3: {ours * 1e3:.1f} ms, loop {theirs * 1e3:.1f} ms, {theirs / ours:.1f} times as fast; "
            f"{ours / copy:.1f} copies"
        )
    assert theirs / ours > least
