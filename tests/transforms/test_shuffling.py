"""Local shuffling: voxels stay near, move together, and are spread as by the loop."""

from __future__ import annotations

import itertools

import genesis_loops
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.stats import ks_2samp

from medvol.transforms import shuffling
from medvol.transforms.shuffling import RandLocalShuffled, sorted_sources


def places(*shape: int) -> torch.Tensor:
    """An image (1, *shape) of which every voxel holds its own place."""
    return torch.arange(float(np.prod(shape))).reshape(1, *shape)


def distances(shuffled: np.ndarray) -> np.ndarray:
    """How far along each axis the value of each voxel of ``places`` has come: (3, X, Y, Z)."""
    shape = shuffled.shape[1:]
    return np.stack(np.unravel_index(shuffled[0].astype(int), shape)) - np.indices(shape)


def always(windows: int = 300, keys: tuple[str, ...] = ("image",), **options: object) -> RandLocalShuffled:
    return RandLocalShuffled(keys, prob=1, windows=windows, **options)


@pytest.mark.parametrize("shape", [(40, 30, 25), (64, 50, 1), (60, 40, 5), (19, 9, 3)])
def test_no_voxel_comes_from_farther_than_a_window(shape: tuple[int, ...]) -> None:
    shuffled = always(2000).set_random_state(0)({"image": places(*shape)})["image"].numpy()
    far = np.abs(distances(shuffled)).reshape(3, -1).max(axis=1)
    reach = [max(1, size // 10) - 1 for size in shape]
    assert far.tolist() == reach  # and as far as that


def test_one_window_is_a_permutation_of_its_voxels() -> None:
    shuffle, image = always(1), places(40, 40, 40)
    for seed in range(20):
        shuffled = shuffle.set_random_state(seed)({"image": image})["image"]
        window = (0, *(slice(a, a + n) for a, n in zip(shuffle.starts[0], shuffle.sides[0], strict=True)))
        assert sorted(shuffled[window].flatten().tolist()) == image[window].flatten().tolist()
        outside = torch.ones(40, 40, 40, dtype=torch.bool)
        outside[window[1:]] = False
        assert torch.equal(shuffled[0][outside], image[0][outside])


def test_windows_read_the_original_and_later_ones_replace_earlier() -> None:
    image = places(30, 30, 30)
    shuffle = always(3000).set_random_state(1)
    shuffled = shuffle({"image": image})["image"].numpy()[0]
    last = np.full((30, 30, 30), -1)
    for number, (start, side) in enumerate(zip(shuffle.starts, shuffle.sides, strict=True)):
        last[tuple(slice(a, a + n) for a, n in zip(start, side, strict=True))] = number
    source = np.stack(np.unravel_index(shuffled.astype(int), shuffled.shape))
    for axis in range(3):  # every value lies in the window that was put there last
        inside = source[axis] - np.append(shuffle.starts[:, axis], 0)[last]
        assert ((inside >= 0) & (inside < np.append(shuffle.sides[:, axis], 0)[last]))[last >= 0].all()
    assert (shuffled[last < 0] == image.numpy()[0][last < 0]).all()


def test_all_permutations_of_a_window_are_equally_likely() -> None:
    starts, sides = np.zeros((1, 3), dtype=np.int64), np.array([[2, 2, 1]])
    shuffle = always(1)
    shuffle.starts, shuffle.sides = starts, sides
    for draw in (
        lambda seed: shuffle._sources((2, 2, 1), torch.device("cpu")),
        lambda seed: sorted_sources(starts, sides, (2, 2, 1), seed, "cpu"),
    ):
        counts: dict[tuple[int, ...], int] = {}
        for seed in range(600):
            shuffle.seed = seed
            order = tuple(draw(seed).tolist())
            counts[order] = counts.get(order, 0) + 1
        assert len(counts) == 24
        assert sum((count - 25) ** 2 / 25 for count in counts.values()) < 49.7  # 23 degrees, p = 0.001


def by_loop(image: np.ndarray, seed: int) -> np.ndarray:
    return genesis_loops.shuffle(image, np.random.RandomState(seed), 300)


def by_transform(image: np.ndarray, seed: int) -> np.ndarray:
    return always().set_random_state(seed)({"image": image})["image"].numpy()


def by_sorting(image: np.ndarray, seed: int) -> np.ndarray:
    shuffle = always().set_random_state(seed)
    shuffle.randomize(image.shape[1:])
    sources = sorted_sources(shuffle.starts, shuffle.sides, image.shape[1:], seed, "cpu")
    return image.reshape(-1)[sources.numpy()].reshape(image.shape)


@pytest.mark.parametrize("form", [by_transform, by_sorting])
def test_voxels_move_as_in_the_loop(form: object) -> None:
    """The share that moved, and the distances along each axis, are spread alike."""
    image, found = places(40, 30, 20).numpy(), {}
    for name, shuffled in (("loop", by_loop), ("form", form)):
        moved = [distances(shuffled(image, seed + (1000 if name == "loop" else 0))) for seed in range(10)]
        found[name] = [np.array([m.any(axis=0).mean() for m in moved])]
        found[name] += [np.concatenate([m[axis][m.any(axis=0)][::7] for m in moved]) for axis in range(3)]
    for ours, theirs in zip(found["form"], found["loop"], strict=True):
        assert ks_2samp(ours, theirs).pvalue > 0.01


def test_chunks_of_windows_are_one_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of the second chunk replace those of the first, and read the original."""
    monkeypatch.setattr(shuffling, "_CHUNK", 2)
    starts, sides = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0]]), np.array([[4, 1, 1], [2, 1, 1], [2, 1, 1]])
    for seed in range(30):
        found = sorted_sources(starts, sides, (5, 1, 1), seed, "cpu").tolist()
        assert sorted(found[1:3]) == [1, 2]  # the third window
        assert found[0] in (0, 1)  # the second
        assert found[3] in (0, 1, 2, 3)  # the first
        assert found[4] == 4


def splitmix(state: int, count: int) -> list[int]:
    """Numbers of splitmix64, as published: those of Java's SplittableRandom, in whole numbers of any size."""
    drawn, last = [], 2**64 - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & last
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & last
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & last
        drawn.append(z ^ (z >> 31))
    return drawn


def test_the_random_numbers_are_those_of_splitmix() -> None:
    assert splitmix(1234567, 2) == [6457827717110365317, 3203168211198807973]  # published for this seed
    shuffle, shape = always(5).set_random_state(3), (40, 30, 20)
    shuffled = shuffle({"image": places(*shape)})["image"].flatten().long().tolist()
    expected = list(range(int(np.prod(shape))))
    numbers = iter(splitmix(shuffle.seed, 10**4))
    for start, side in zip(shuffle.starts, shuffle.sides, strict=True):
        axes = (range(first, first + length) for first, length in zip(start, side, strict=True))
        window = [int(np.ravel_multi_index(place, shape)) for place in itertools.product(*axes)]
        left = list(window)
        for done, place in enumerate(window):
            chosen = done + ((next(numbers) >> 32) * (len(window) - done) >> 32)
            expected[place], left[chosen] = left[chosen], left[done]
    assert shuffled == expected


def test_large_windows_are_mixed_when_sorted_too() -> None:
    sides = np.array([[20, 20, 20]])
    mixed = sorted_sources(np.zeros((1, 3), np.int64), sides, (20, 20, 20), 0, "cpu").long()
    rising = (mixed.diff() > 0).double().mean()
    assert abs(rising - 0.5) < 0.03  # equal random numbers would keep their order


def test_ten_thousand_windows_by_default() -> None:
    shuffle = RandLocalShuffled("image", prob=1).set_random_state(0)
    shuffle({"image": places(12, 11, 10)})
    assert shuffle.starts.shape == shuffle.sides.shape == (10_000, 3)


def test_each_sample_has_permutations_of_its_own() -> None:
    shuffle, seeds = always(1).set_random_state(0), set()
    for _ in range(200):
        shuffle.randomize((12, 11, 10))
        seeds.add(shuffle.seed)
    assert len(seeds) == 200


def test_channels_and_images_move_together() -> None:
    image = places(30, 20, 10)
    sample = {"image": torch.cat([image, -image]), "other": 2 * image, "small": image.to(torch.int16)}
    shuffled = always(keys=("image", "other", "small")).set_random_state(0)(sample)
    assert torch.equal(shuffled["image"][0], -shuffled["image"][1])
    assert torch.equal(shuffled["other"][0], 2 * shuffled["image"][0])
    assert shuffled["small"].dtype == torch.int16
    assert torch.equal(shuffled["small"][0].float(), shuffled["image"][0])


def test_a_slice_is_a_volume_of_depth_one() -> None:
    image = places(60, 50)
    flat = always().set_random_state(3)({"image": image})["image"]
    deep = always().set_random_state(3)({"image": image[..., None]})["image"]
    assert torch.equal(flat, deep[..., 0])
    assert not torch.equal(flat, image)


def test_the_rate_and_the_seed() -> None:
    shuffle, image = RandLocalShuffled("image", windows=5), places(30, 30)
    shuffle.set_random_state(0)
    words = [shuffle({"image": image})["pretext"]["class"] for _ in range(300)]
    assert 122 <= words.count(["local shuffling"]) <= 178
    assert words.count([]) == 300 - words.count(["local shuffling"])
    first, again, other = (always().set_random_state(seed)({"image": image})["image"] for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_global_generator_is_touched() -> None:
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    always().set_random_state(0)({"image": places(30, 30)})
    by_sorting(places(30, 30, 1).numpy(), 0)
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


def test_probability_zero_leaves_the_image() -> None:
    image = places(30, 30)
    sample = RandLocalShuffled("image", prob=0)({"image": image, "pretext": {"grid": [1]}})
    assert sample["image"] is image
    assert sample["pretext"] == {"grid": [1], "class": []}


def test_inputs_are_left_alone() -> None:
    values = places(30, 30, 10)
    image = MetaTensor(values.clone(), affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))
    shuffled = always().set_random_state(0)({"image": image})["image"]
    assert torch.equal(image.as_tensor(), values)
    assert isinstance(shuffled, MetaTensor)
    assert torch.equal(shuffled.affine, image.affine)
    assert not torch.equal(shuffled.as_tensor(), values)
    frozen = values.numpy().copy()
    frozen.setflags(write=False)
    assert torch.equal(always().set_random_state(0)({"image": frozen})["image"], shuffled.as_tensor())
    mirrored = always().set_random_state(0)({"image": values.numpy()[:, ::-1]})["image"]
    assert torch.equal(mirrored, always().set_random_state(0)({"image": values.flip(1)})["image"])


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: RandLocalShuffled("image", prob="often"), "prob must be a probability from 0 to 1; found 'often'"),
        (lambda: RandLocalShuffled("image", windows=0), "windows must be a whole number of 1 or more; found 0"),
        (lambda: RandLocalShuffled("image", windows=2.5), "windows must be a whole number.*found 2.5"),
        (lambda: always()({"image": torch.zeros(4, 4)}), r"'image' must be an image.*found the shape \(4, 4\)"),
        (lambda: always()({"image": torch.zeros(1, 0, 4)}), r"'image' must be an image.*found the shape \(1, 0, 4\)"),
        (
            lambda: always(keys=("image", "other"))({"image": torch.zeros(1, 9, 9), "other": torch.zeros(1, 9, 8)}),
            r"'other' must have the spatial shape of 'image', \(9, 9\); found \(9, 8\)",
        ),
    ],
)
def test_refusals(build: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_too_many_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffling, "_MOST_VOXELS", 99)
    with pytest.raises(ValueError, match="less than 2\\^31 voxels; found the shape \\(10, 10, 1\\)"):
        always()({"image": places(10, 10)})
    assert always()({"image": places(11, 9)})["image"].shape == (1, 11, 9)  # as many as may be


def test_absent_images() -> None:
    shuffle = RandLocalShuffled(["image", "label"], prob=1, windows=9, allow_missing_keys=True)
    assert shuffle({"patient": 1}) == {"patient": 1}
    with pytest.raises(KeyError, match="label"):
        always(keys=("image", "label"))({"image": places(9, 9)})
