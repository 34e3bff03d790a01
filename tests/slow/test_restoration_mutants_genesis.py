"""Defects put into the distortions of Models Genesis, one at a time: each oracle passes without, and fails with it.

An oracle compares with the transparent loops of genesis_loops.py: exactly where an answer is exact, else by the
Kolmogorov-Smirnov test with fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import genesis_loops
import numpy as np
import pytest
import torch
from defects import put
from monai.transforms import Compose, CopyItemsd, DeleteItemsd
from scipy.stats import ks_2samp

from medvol.transforms import axis_flips, bezier, painting, shuffling

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mutant:
    """A defect: what is wrong, which oracle must say what about it, and the edits, each found exactly once."""

    name: str
    oracle: Callable[[], None]
    words: str
    owner: Any
    function: str
    edits: tuple[tuple[str, str], ...]

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put(monkeypatch, self.owner, self.function, self.edits)


@pytest.fixture(autouse=True)
def fresh_loops() -> Iterator[None]:
    """Compile anew, so that a defect in a loop is in what runs, and not in what runs afterwards."""
    for part in (shuffling, bezier):
        part._loop.cache_clear()
    yield
    for part in (shuffling, bezier):
        part._loop.cache_clear()


def alike(what: str, ours: Any, theirs: Any) -> None:
    found = ks_2samp(np.ravel(ours), np.ravel(theirs)).pvalue
    assert found > 1e-3, f"{what}: other than in the loop, p = {found:.1e}"


def image_of(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def chain(windows: int = 200) -> Compose:
    parts = [
        axis_flips.RandAxisFlipsd("image"),
        DeleteItemsd("label"),
        CopyItemsd("image", names="label"),
        shuffling.RandLocalShuffled("image", windows=windows),
        bezier.RandBezierIntensityd("image"),
        painting.RandPaintd("image"),
    ]
    return Compose(parts)


def target() -> None:
    """Label and input are the clean image, mirrored or not."""
    image, distort = image_of(2, 20, 18, 16), chain()
    before = image.clone()
    for seed in range(30):
        distort.set_random_state(seed)
        sample = distort({"image": image, "label": "a/seg.nii.gz", "patient": 3})  # as a manifest has them
        axes = [axis + 1 for axis in distort.transforms[0].axes]
        assert torch.equal(sample["label"], before.flip(axes)), "target: is not the clean crop"
        assert torch.equal(image, before), "input: changed in place"


def in_place() -> None:
    """What goes into each distortion is as it was when it comes out."""
    parts = {
        "shuffling": shuffling.RandLocalShuffled("image", prob=1, windows=50),
        "intensity": bezier.RandBezierIntensityd("image", prob=1),
        "in-painting": painting.RandPaintd("image", prob=1, outer_prob=0),
        "out-painting": painting.RandPaintd("image", prob=1, outer_prob=1),
    }
    for name, part in parts.items():
        image = image_of(1, 30, 20, 16)
        for seed in range(3):
            part.set_random_state(seed)({"image": image})
            assert torch.equal(image, image_of(1, 30, 20, 16)), f"input: changed in place by {name}"


def flips() -> None:
    """Channels never change places, and every axis of space is mirrored as often as by the loop."""
    image = torch.arange(3.0).reshape(3, 1, 1, 1) + torch.arange(8.0).reshape(1, 2, 2, 2) / 8
    flip, random = axis_flips.RandAxisFlipsd("image").set_random_state(0), np.random.RandomState(1)
    small, ours, theirs = np.arange(8).reshape(1, 2, 2, 2), [], []
    for _ in range(1500):
        flipped = flip({"image": image})["image"]
        assert torch.equal(flipped.floor()[:, 0, 0, 0], torch.arange(3.0)), "flip: of the channels"
        ours.append(int(flipped[0, 0, 0, 0] * 8))
        theirs.append(int(genesis_loops.flip(small, small, random)[0][0, 0, 0, 0]))
    for axis, bit in enumerate((4, 2, 1)):
        shares = [np.mean([bool(corner & bit) for corner in found]) for found in (ours, theirs)]
        assert abs(shares[0] - shares[1]) < 0.06, f"flip: axis {axis} in {shares} of the samples"


def curves() -> None:
    """Values at fixed intensities are spread as in the loop, and lie within the declared range."""
    change, random = bezier.RandBezierIntensityd("image", prob=1, value_range=(-1000, 400)), np.random.RandomState(1)
    change.set_random_state(0)
    at = np.array([[[0.0], [0.2], [0.5], [0.8], [1.0]]])
    ours = []
    for _ in range(500):
        mapped = change({"image": at * 1400 - 1000})["image"].numpy().ravel()
        assert mapped.min() >= -1000, f"intensity: outside its range, {mapped.min()}"
        assert mapped.max() <= 400, f"intensity: outside its range, {mapped.max()}"
        assert sorted(mapped[[0, -1]]) == [-1000, 400], f"intensity: ends at {mapped[[0, -1]]}"
        ours.append((mapped + 1000) / 1400)
    theirs = [genesis_loops.intensity(at, random).ravel() for _ in range(500)]
    for value, mine, loop in zip(at.ravel(), np.stack(ours).T, np.stack(theirs).T, strict=True):
        alike(f"intensity: {value}", mine, loop)


def refused_range() -> None:
    """Z-scores do not go into a curve of [0, 1]."""
    try:
        bezier.RandBezierIntensityd("image")({"image": torch.randn(1, 20, 20)})
    except ValueError:
        return
    raise AssertionError("intensity: z-scores were taken")


def shuffled() -> None:
    """Voxels come from no farther than a window reaches, and as often as in the loop."""
    shape = (40, 30, 20)
    image = np.arange(np.prod(shape), dtype=np.float64).reshape(1, *shape)
    shuffle, found = shuffling.RandLocalShuffled("image", prob=1, windows=400), {"ours": [], "loop": []}
    for seed in range(20):
        random = np.random.RandomState(seed + 999)
        found["ours"].append(shuffle.set_random_state(seed)({"image": image})["image"].numpy()[0])
        found["loop"].append(genesis_loops.shuffle(image, random, 400)[0])
    moves = {}
    for name, results in found.items():
        steps = [np.stack(np.unravel_index(r.astype(int), shape)) - np.indices(shape) for r in results]
        for axis, size in enumerate(shape):
            far = max(int(np.abs(step[axis]).max()) for step in steps)
            assert far < size // 10, f"shuffle: {far} voxels along axis {axis}"
        moved = [step.any(axis=0) for step in steps]
        moves[name] = [np.array([m.mean() for m in moved])]
        moves[name] += [np.concatenate([s[a][m][::5] for s, m in zip(steps, moved, strict=True)]) for a in range(3)]
        # where windows overlap a value may stand twice, and another nowhere; read from the shuffled image, more so
        moves[name].append(np.array([len(np.unique(result)) / result.size for result in results]))
    names = ["share moved", "steps along 0", "steps along 1", "steps along 2", "share of values left"]
    for what, ours, theirs in zip(names, moves["ours"], moves["loop"], strict=True):
        alike(f"shuffle: {what}", ours, theirs)


def paintings() -> None:
    """Noise lies where the boxes say, in the declared range, in as much of the image as in the loop."""
    shape = (30, 28, 20)
    image, random = image_of(2, *shape), np.random.RandomState(1)
    place = ("in", "around")
    for outer in (0, 1):
        paint = painting.RandPaintd("image", prob=1, outer_prob=outer, value_range=(2, 6), outside="allow")
        paint.set_random_state(0)
        shares: dict[str, list[float]] = {"ours": [], "loop": []}
        counts: dict[str, list[int]] = {"ours": [], "loop": []}
        for _ in range(250):
            sample = paint({"image": image})
            changed, boxes = (sample["image"] != image).all(dim=0).numpy(), sample["pretext"].get("boxes", [])
            union = np.zeros(shape, dtype=bool)
            for start, stop in boxes:
                union[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
            noise = sample["image"][:, changed]
            assert ((noise >= 2) & (noise <= 6)).all(), "noise: outside its range"
            assert not noise.numel() or noise.max() > 5.5, "noise: not in all of its range"
            assert (changed == (union != bool(outer))).all(), f"painting: noise is not {place[outer]} the boxes"
            shares["ours"].append(changed.mean())
            loop, drawn = (genesis_loops.outer if outer else genesis_loops.inner)(np.full((1, *shape), 9.0), random)
            shares["loop"].append((loop[0] != 9).mean())
            counts["ours"].append(len(boxes))
            counts["loop"].append(len(drawn))
        alike(f"painting: number of boxes, outer={outer}", counts["ours"], counts["loop"])
        alike(f"painting: share of noise, outer={outer}", shares["ours"], shares["loop"])


ORACLES = [target, in_place, flips, curves, refused_range, shuffled, paintings]
PAINT, CURVE, SHUFFLE = painting.RandPaintd, bezier.RandBezierIntensityd, shuffling.RandLocalShuffled
MUTANTS = [
    Mutant("target corrupted too", target, "target: is not the clean crop", CURVE, "__call__",
           (("d[key] = like(", 'd[key] = d["label"] = like('),)),
    Mutant("target corrupted by the shuffle", target, "target: is not the clean crop", SHUFFLE, "__call__",
           (("d[key] = like(", 'd[key] = d["label"] = like('),)),
    Mutant("flip on the channel axis", flips, "flip: of the channels", axis_flips.RandAxisFlipsd, "_mirrored",
           (("[axis + 1 for axis in axes]", "list(axes)"),)),
    Mutant("last axis never flipped", flips, "flip: axis 2", axis_flips.RandAxisFlipsd, "_mirrored",
           (("if axis < image.ndim - 1", "if axis < image.ndim - 2"),)),
    Mutant("intensity map outside its range", curves, "intensity: outside its range", bezier, "_interpolate",
           (("low + (high - low) * found", "high * (2 * found)"),)),
    Mutant("curve of another range", curves, "intensity: ends at", CURVE, "_mapped",
           (("*self.value_range", "0.0, 1.0"),)),
    Mutant("z-scores taken", refused_range, "intensity: z-scores were taken", CURVE, "__call__",
           (('self.outside == "clamp"', "True"),)),
    Mutant("decreasing map never drawn", curves, "intensity: 0.0: other than in the loop", CURVE, "randomize",
           (("self.R.uniform() < 0.5", "self.R.uniform() < 0"),)),
    Mutant("control points from half of the square", curves, "intensity: .*: other than in the loop", CURVE,
           "randomize", (("self.R.uniform(size=(2, 2))", "self.R.uniform(0, 0.5, size=(2, 2))"),)),
    Mutant("shuffle reads the shuffled image", shuffled, "shuffle: ", shuffling, "_shuffle_windows",
           (("window[count] = first + z", "window[count] = sources[first + z]"),)),
    Mutant("shuffle leaves its window", shuffled, "shuffle: .* voxels along axis", shuffling, "_shuffle_windows",
           (("sources[first + z] = window[drawn]", "sources[first + z] = (window[drawn] + 3) % len(sources)"),)),
    Mutant("windows too large", shuffled, "shuffle: .* voxels along axis", SHUFFLE, "randomize",
           (("size // 10) + 1", "size // 10) + 2"),)),
    Mutant("windows never of full size", shuffled, "shuffle: share moved: other", SHUFFLE, "randomize",
           (("np.maximum(1, size // 10) + 1", "np.maximum(1, size // 10 - 1) + 1"),)),
    Mutant("voxels seldom move", shuffled, "shuffle: ", shuffling, "_shuffle_windows",
           (("np.uint64(count - done)", "np.uint64((count - done + 1) // 2)"),)),
    Mutant("in- and out-painting both", paintings, "painting: noise is not around", PAINT, "_painted",
           (("    return result.reshape", "    result[box] = noise.draw(volume[box].shape, volume)\n"
             "    return result.reshape"),)),
    Mutant("out-painting keeps the complement", paintings, "painting: noise is not around", PAINT, "_painted",
           (("noise.draw(volume.shape, volume) if self.outer else volume.clone()", "volume.clone()"),
            ("volume[box] if self.outer else noise.draw", "noise.draw"))),
    Mutant("kept boxes of lost size", paintings, "painting: share of noise, outer=1", PAINT, "randomize",
           (("(size - 4 * size // 7, size - 3 * size // 7)", "(3 * size // 7 - 2, 4 * size // 7 - 2)"),)),
    Mutant("always five boxes", paintings, "painting: number of boxes, outer=0", PAINT, "randomize",
           (("< self.again", "< 3"),)),
    Mutant("noise in the wrong range", paintings, "noise: outside its range", painting.Noise, "_filled",
           (("!= (0.0, 1.0)", "== (0.0, 1.0)"),)),
    Mutant("painting in place", in_place, "input: changed in place by in-painting", PAINT, "_painted",
           (("else volume.clone()", "else volume"),)),
    Mutant("curve in place", in_place, "input: changed in place by intensity", CURVE, "_mapped",
           (("torch.empty_like(work)", "work"),)),
    Mutant("shuffle in place", in_place, "input: changed in place by shuffling", shuffling, "_gather",
           (("return result", "return image.copy_(result)"),)),
]  # fmt: skip


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_oracle_passes(oracle: Callable[[], None]) -> None:
    oracle()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_oracle_finds_the_defect(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    with pytest.raises(AssertionError, match=mutant.words):
        mutant.oracle()
