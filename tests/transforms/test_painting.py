"""Painting: noise in boxes or around them, never both, in the declared range, spread as by the loop."""

from __future__ import annotations

import genesis_loops
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.stats import ks_2samp, kstest

from medvol.transforms.painting import Noise, RandPaintd

FAR = {"value_range": (2, 3), "outside": "allow"}  # noise that cannot be taken for the image


def painter(outer: float, keys: tuple[str, ...] = ("image",), **options: object) -> RandPaintd:
    return RandPaintd(keys, prob=1, outer_prob=outer, **{**FAR, **options})


def clean(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def inside(boxes: list, shape: tuple[int, ...]) -> np.ndarray:
    """The union of boxes."""
    union = np.zeros(shape, dtype=bool)
    for start, stop in boxes:
        union[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return union


@pytest.mark.parametrize("shape", [(40, 36, 20), (40, 30, 5), (30, 40, 1), (30, 40), (14, 13, 14)])
@pytest.mark.parametrize("outer", [0, 1])
def test_noise_is_exactly_where_the_record_says(outer: int, shape: tuple[int, ...]) -> None:
    image, paint = clean(2, *shape), painter(outer)
    for seed in range(6):
        sample = paint.set_random_state(seed)({"image": image})
        painted, record = sample["image"], sample["pretext"]
        boxes = record.get("boxes", [])
        noisy = inside(boxes, shape) != bool(outer)
        assert np.array_equal((painted >= 2).numpy(), np.stack([noisy, noisy]))
        assert torch.equal(painted[painted < 2], image[painted < 2])
        assert painted.max() <= 3
        assert record["class"] == ((["outer cutout"] if outer else ["inner cutout"]) if boxes else [])
        assert record.get("names", []) == ["kept" if outer else "inner cutout"] * len(boxes)
        for start, stop in boxes:
            for a, b, size in zip(start, stop, shape, strict=True):
                low, high = (size - 4 * size // 7, size - 3 * size // 7) if outer else (size // 6, size // 3)
                assert (a, b) == (0, size) if size < 14 else (a >= 3 and b <= size - 3 and low <= b - a <= high)


def test_the_shares_of_the_card() -> None:
    """At 64 x 64 x 32: 5.6 % lost inside on average, at most 20 %; outside 8 to 65 % kept, on average 32 %."""
    shape, shares = (64, 64, 32), {}
    for outer in (0, 1):
        paint = painter(outer).set_random_state(0)
        found = []
        for _ in range(300):
            paint.randomize(shape)
            found.append(inside(paint._drawn(3)[1], shape).mean())
        shares[outer] = np.array(found)
    assert shares[0].max() < 0.2
    assert 0.053 < shares[0].mean() < 0.059
    least, lone = 28 * 28 * 14, painter(1, again=0).set_random_state(0)  # three sevenths of each axis; a single box
    assert min(lone.randomize(shape) or lone.sides.prod() for _ in range(3000)) == least
    assert shares[1].min() >= least / (64 * 64 * 32) > 0.08
    assert shares[1].max() < 0.65
    assert 0.305 < shares[1].mean() < 0.327
    assert 0.058 < shares[1].std() < 0.074


@pytest.mark.parametrize("outer", [0, 1])
def test_boxes_are_spread_as_in_the_loop(outer: int) -> None:
    shape, random, paint = (30, 22, 16), np.random.RandomState(1), painter(outer).set_random_state(0)
    image, found = np.zeros((1, *shape), dtype=np.float32), {}
    loop = genesis_loops.outer if outer else genesis_loops.inner
    for name, draw in (
        ("ours", lambda: paint.randomize(shape) or paint._drawn(3)[1]),
        ("loop", lambda: loop(image, random)[1]),
    ):
        drawn = [draw() for _ in range(250)]
        boxes = np.array([box for some in drawn for box in some])
        shares = [inside(some, shape).mean() for some in drawn]
        found[name] = [[len(some) for some in drawn], shares, *boxes[:, 0].T, *(boxes[:, 1] - boxes[:, 0]).T]
    for ours, theirs in zip(found["ours"], found["loop"], strict=True):
        assert ks_2samp(ours, theirs).pvalue > 0.01


@pytest.mark.parametrize(("low", "high"), [(-5, 3), (0, 1), (0, 2)])
def test_noise_is_uniform_in_the_range_and_independent(low: int, high: int) -> None:
    paint, image = painter(1, value_range=(low, high)), torch.full((2, 30, 30, 16), 9.0)
    painted = paint.set_random_state(0)({"image": image})["image"]
    noise = painted[:, painted[0] < 9].double().numpy()
    assert kstest(noise.ravel()[::3], "uniform", args=(low, high - low)).pvalue > 0.01
    assert abs(np.corrcoef(noise)[0, 1]) < 0.03  # of two channels
    assert abs(np.corrcoef(noise[0, 1:], noise[0, :-1])[0, 1]) < 0.03


def test_never_both_in_one_image() -> None:
    """Five boxes are at most 17 % of an image, and what lies around boxes a third or more, for they have margins."""
    shape, paint, counts = (64, 64, 32), RandPaintd("image", **FAR).set_random_state(0), [0, 0, 0]
    voxels = 64 * 64 * 32
    inner, outer = 5 * (21 * 21 * 10) / voxels, (1 - 58 * 58 * 26 / voxels, 1 - 28 * 28 * 14 / voxels)
    for _ in range(150):
        sample = paint({"image": torch.zeros(1, *shape)})
        changed = (sample["image"][0] != 0).numpy()
        share = changed.mean()
        assert share <= inner or outer[0] <= share <= outer[1]
        around = bool(share > inner)
        boxes = inside(sample["pretext"].get("boxes", []), shape)
        assert np.array_equal(changed, ~boxes if around else boxes)  # nothing in the boxes that are kept, or beside
        counts[0 if share == 0 else 1 + around] += 1
    assert min(counts) > 5


def test_painted_at_the_published_rates() -> None:
    paint = RandPaintd("image").set_random_state(0)
    counts = {"outer cutout": 0, "inner cutout": 0, "": 0}
    for _ in range(2000):
        paint.randomize((14, 14, 1))
        words, _boxes, _names = paint._drawn(3)
        counts[words[0] if words else ""] += 1
    assert 0.69 < counts["outer cutout"] / 2000 < 0.75  # 0.9 * 0.8
    assert 0.15 < counts["inner cutout"] / 2000 < 0.19  # 0.9 * 0.2 * 0.95


def test_a_slice_is_a_volume_of_depth_one() -> None:
    image = clean(2, 30, 40)
    for outer in (0, 1):
        flat = painter(outer).set_random_state(1)({"image": image})
        deep = painter(outer).set_random_state(1)({"image": image[..., None]})
        assert torch.equal(flat["image"], deep["image"][..., 0])
        assert [[start[:2], stop[:2]] for start, stop in deep["pretext"]["boxes"]] == flat["pretext"]["boxes"]


def test_images_share_their_boxes_but_not_their_noise() -> None:
    image = clean(1, 30, 30)
    for outer in (0, 1):
        sample = painter(outer, ("image", "other")).set_random_state(0)({"image": image, "other": image})
        assert torch.equal(sample["image"] >= 2, sample["other"] >= 2)
        assert not torch.equal(sample["image"], sample["other"])


def test_the_record_is_extended() -> None:
    earlier = {"class": ["local shuffling"], "boxes": [[[0, 0], [1, 1]]]}
    record = painter(1).set_random_state(0)({"image": clean(1, 30, 30), "pretext": earlier})["pretext"]
    assert record["class"] == ["local shuffling", "outer cutout"]
    assert record["names"] == ["0", *["kept"] * (len(record["boxes"]) - 1)]
    assert earlier == {"class": ["local shuffling"], "boxes": [[[0, 0], [1, 1]]]}


def test_options_of_the_boxes() -> None:
    inner = painter(0, boxes=2, again=1).set_random_state(0)({"image": clean(1, 30, 30)})["pretext"]
    outer = painter(1, boxes=3, again=0).set_random_state(0)({"image": clean(1, 30, 30)})["pretext"]
    nothing = painter(0, again=0)({"image": clean(1, 30, 30)})
    assert (len(inner["boxes"]), len(outer["boxes"])) == (2, 1)
    assert nothing["pretext"] == {"class": []}
    assert torch.equal(nothing["image"], clean(1, 30, 30))


def test_probability_zero_leaves_the_image() -> None:
    image = clean(1, 30, 30)
    assert RandPaintd("image", prob=0)({"image": image})["image"] is image


def test_inputs_are_left_alone() -> None:
    for outer in (0, 1):
        image = MetaTensor(clean(1, 30, 30), affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))
        painted = painter(outer).set_random_state(0)({"image": image})["image"]
        assert torch.equal(image.as_tensor(), clean(1, 30, 30))
        assert isinstance(painted, MetaTensor)
        assert torch.equal(painted.affine, image.affine)
        frozen = clean(1, 30, 30).numpy().copy()
        frozen.setflags(write=False)
        assert torch.equal(painter(outer).set_random_state(0)({"image": frozen})["image"], painted.as_tensor())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_are_kept(dtype: torch.dtype) -> None:
    for outer in (0, 1):
        painted = painter(outer).set_random_state(0)({"image": clean(1, 30, 30).to(dtype)})["image"]
        assert painted.dtype == dtype
        assert painted.max() <= 3
        rounded = painted[painted >= 2].float().double() == painted[painted >= 2].double()
        assert rounded.all() == (dtype != torch.float64)  # noise is as fine as the image


def test_noise_of_an_accelerator_is_uniform() -> None:
    """Drawn by torch on the CPU, where NumPy would draw it otherwise."""
    values = Noise(0, (2.0, 4.0))._filled(torch.empty(5000), torch.Generator().manual_seed(0))
    assert kstest(values.numpy(), "uniform", args=(2, 2)).pvalue > 0.01
    again = Noise(0, (2.0, 4.0))._filled(torch.empty(5000), torch.Generator().manual_seed(0))
    assert torch.equal(values, again)


def test_noise_never_rounds_beyond_the_range() -> None:
    class Largest:
        def random(self, dtype: object, out: np.ndarray) -> None:
            out[:] = np.nextafter(np.ones(1, dtype), np.zeros(1, dtype))

    for low, high in ((-2.6, -2.2), (1.2, 1.4)):
        assert Noise(0, (low, high))._filled(torch.empty(2), Largest()).max() <= torch.tensor(high)


def test_every_sample_has_noise_of_its_own() -> None:
    paint = painter(1).set_random_state(0)
    assert len({paint.randomize((14, 14, 1)) or paint.seed for _ in range(200)}) == 200


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: RandPaintd("image", prob=2), "prob must be a probability"),
        (lambda: RandPaintd("image", outer_prob=True), "outer_prob must be a probability"),
        (lambda: RandPaintd("image", again=-1), "again must be a probability"),
        (lambda: RandPaintd("image", boxes=0), "boxes must be a whole number of 1 or more"),
        (lambda: RandPaintd("image", value_range=(1, 1)), "value_range must be"),
        (lambda: RandPaintd("image", outside="clamp"), "outside must be 'error' or 'allow'; found 'clamp'"),
        (lambda: painter(1)({"image": clean(1, 13, 13, 5)}), r"an axis of 14 voxels or more; found.*\(13, 13, 5\)"),
        (lambda: painter(1)({"image": torch.zeros(1, 20, 20, dtype=torch.uint8)}), "'image' must hold floating-point"),
        (
            lambda: RandPaintd("image")({"image": clean(1, 20, 20) - 3}),
            "'image' must.*values from -2.*, or choose outside='allow'",
        ),
        (lambda: painter(1)({"image": clean(1, 20, 20) * torch.nan}), "finite"),
        (
            lambda: painter(1, ("a", "b"))({"a": clean(1, 20, 20), "b": clean(1, 20, 21)}),
            "'b' must have the spatial shape of 'a'",
        ),
    ],
)
def test_refusals(build: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_absent_images() -> None:
    paint = RandPaintd(["image", "label"], prob=1, allow_missing_keys=True)
    assert paint({"patient": 1}) == {"patient": 1}
    with pytest.raises(KeyError, match="label"):
        painter(1, ("image", "label"))({"image": clean(1, 20, 20)})
