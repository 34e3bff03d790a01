"""Jigsaw puzzles: the order against the permutation, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medvol.transforms.jigsaw import RandJigsawd
from medvol.transforms.permutations import permutation_set


def patches(count: int, empty: tuple[int, ...] = ()) -> dict:
    """A sample whose patch q is noise of its own; ``empty`` ones have no foreground."""
    foreground = torch.linspace(0.5, 1, count)
    foreground[list(empty)] = 0.0
    image = torch.randn(count, 2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    return {"image": image, "foreground": foreground, "pretext": {"grid": [count]}}


@pytest.mark.parametrize(("count", "size"), [(27, 50), (9, 72), (4, 24), (6, 10)])
def test_every_permutation_is_undone_by_its_inverse(count: int, size: int) -> None:
    rows, plain = permutation_set(count, size), patches(count)
    task = RandJigsawd("image", rows)
    seen = set()
    for seed in range(8 * size):
        sample = task.set_random_state(seed)(plain)
        pi = rows[int(sample["label"][0])]
        seen.add(int(sample["label"][0]))
        assert torch.equal(sample["image"], plain["image"][pi])
        assert torch.equal(sample["image"][np.argsort(pi)], plain["image"])
        assert torch.equal(sample["foreground"], plain["foreground"][pi])
    assert len(seen) > 0.9 * size


def test_every_puzzle_of_a_volume_is_the_order_of_its_permutation() -> None:
    rows, plain = permutation_set(27, 40), patches(27)
    sample = RandJigsawd("image", rows, puzzles=5).set_random_state(3)(plain)
    assert sample["order"].shape == (5, 27)
    assert sample["order"][0].tolist() == list(range(27))
    assert len(set(sample["label"].tolist())) == 5
    for order, label in zip(sample["order"], sample["label"], strict=True):
        assert torch.equal(sample["image"][order], plain["image"][rows[int(label)]])


def test_places_say_where_each_patch_came_from() -> None:
    plain = patches(9)
    sample = RandJigsawd("image", None, puzzles=3).set_random_state(1)(plain)
    places = sample["label"].reshape(3, 9)
    for order, place in zip(sample["order"], places, strict=True):
        assert torch.equal(sample["image"][order], plain["image"][place])
    assert sorted(places[1].tolist()) == list(range(9))
    assert not torch.equal(places[0], places[1])


def test_classes_are_drawn_uniformly() -> None:
    task, counts = RandJigsawd("image", permutation_set(4, 12), puzzles=2), np.zeros(12)
    task.set_random_state(0)
    plain = patches(4)
    for _ in range(3000):
        counts[task(plain)["label"].numpy()] += 1
    assert ((counts - 500) ** 2 / 500).sum() < 31.3  # chi-square, 11 degrees, p = 0.001


def test_a_puzzle_with_an_empty_patch_does_not_count() -> None:
    sample = RandJigsawd("image", permutation_set(9, 72), puzzles=2)(patches(9, empty=(3,)))
    assert sample["label"].tolist() == [-100, -100]


def test_the_place_of_an_empty_patch_does_not_count() -> None:
    plain = patches(9, empty=(3, 5))
    sample = RandJigsawd("image", None, puzzles=2).set_random_state(0)(plain)
    label = sample["label"].reshape(2, 9)
    for order, row in zip(sample["order"], label, strict=True):
        assert ((row == -100) == (sample["foreground"][order] < 0.1)).all()
        assert (row == -100).sum() == 2


def test_the_record() -> None:
    rows = permutation_set(9, 72)
    sample = RandJigsawd("image", rows).set_random_state(2)(patches(9))
    assert sample["pretext"]["permutation"] == rows[sample["pretext"]["class"]].tolist()
    assert sample["pretext"]["grid"] == [9]
    plain = {key: value for key, value in patches(9).items() if key != "pretext"}
    sample = RandJigsawd("image", rows, puzzles=2).set_random_state(2)(plain)
    assert sample["pretext"]["class"] == sample["label"].tolist()
    assert sample["pretext"]["orders"] == rows[sample["label"].numpy()].tolist()


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: RandJigsawd("image", [[0, 1, 1], [2, 1, 0]]), "every number from 0 to 2 once"),
        (lambda: RandJigsawd("image", [[0, 1, 2], [0, 1, 2]]), "different permutations"),
        (lambda: RandJigsawd("image", [0, 1, 2]), "permutations \\(K, N\\)"),
        (lambda: RandJigsawd("image", permutation_set(4, 12), puzzles=13), "from 1 to 12 puzzles"),
        (lambda: RandJigsawd("image", None, puzzles=0), "puzzles per volume"),
        (lambda: RandJigsawd("image", permutation_set(4, 12))(patches(9)), "expected 4 patches.*found 9"),
    ],
)
def test_refusals(build: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_images_of_other_length_are_refused() -> None:
    sample = {**patches(4), "other": torch.zeros(5, 1, 2)}
    with pytest.raises(ValueError, match="expected 4 patches under 'other'"):
        RandJigsawd(["image", "other"], permutation_set(4, 12))(sample)


def test_images_of_a_sample_are_shuffled_alike() -> None:
    plain = patches(4)
    task = RandJigsawd(["image", "other", "absent"], permutation_set(4, 12), allow_missing_keys=True)
    sample = task.set_random_state(0)({**plain, "other": 2 * plain["image"]})
    assert torch.equal(sample["other"], 2 * sample["image"])
    with pytest.raises(KeyError, match="absent"):
        RandJigsawd(["image", "absent"], permutation_set(4, 12))(plain)


def test_as_many_puzzles_as_permutations() -> None:
    rows = permutation_set(4, 12)
    sample = RandJigsawd("image", rows, puzzles=12).set_random_state(0)(patches(4))
    assert sorted(sample["label"].tolist()) == list(range(12))
    assert sample["pretext"]["class"] == sample["label"].tolist()
    assert sample["pretext"]["orders"] == rows[sample["label"].numpy()].tolist()


def test_the_threshold_is_inclusive() -> None:
    plain = patches(4)
    plain["foreground"] = torch.tensor([0.25, 1, 1, 1])
    for threshold, counted in ((0.25, True), (0.26, False)):
        label = RandJigsawd("image", permutation_set(4, 12), threshold=threshold)(plain)["label"]
        assert bool((label >= 0).all()) is counted
