"""Relative patch location: labels against places, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from volumes import noise

from medvol.transforms import RandPatchGridd
from medvol.transforms.location import RandRelativeLocationd, center_of, center_pairs, location_names

GRIDS = [(3, 3, 3), (1, 3, 3), (1, 3, 5), (3, 3, 1), (3, 3), (5, 3, 3)]


def patches(grid: tuple[int, ...], empty: tuple[int, ...] = ()) -> dict:
    """A sample whose patch q holds the number q; ``empty`` ones have no foreground."""
    count = int(np.prod(grid))
    image = torch.arange(float(count)).reshape(count, 1, *[1] * len(grid)).expand(-1, -1, *[2] * len(grid)).clone()
    foreground = torch.ones(count)
    foreground[list(empty)] = 0.0
    return {"image": image, "foreground": foreground}


@pytest.mark.parametrize("grid", GRIDS)
def test_label_and_place_undo_each_other(grid: tuple[int, ...]) -> None:
    count, center = int(np.prod(grid)), center_of(grid)
    label = RandRelativeLocationd("image", grid)(patches(grid))["label"]
    pairs = center_pairs(grid)
    assert label.tolist() == list(range(count - 1))
    assert pairs.shape == (count - 1, 2)
    for y, (first, query) in zip(label.tolist(), pairs.tolist(), strict=True):
        assert first == center
        assert y == query - (query > center)
        assert query == y + (y >= center)
    # the middle in space, not only of the list
    middle = np.unravel_index(center, grid)
    assert middle == tuple(cells // 2 for cells in grid)


def test_the_numbers_of_classes() -> None:
    assert [len(center_pairs(grid)) for grid in ((3, 3, 3), (1, 3, 3), (1, 3, 5))] == [26, 8, 14]


@pytest.mark.parametrize("grid", [(3, 3, 3), (3, 3), (1, 3, 5)])
def test_names_are_the_steps_from_the_center(grid: tuple[int, ...]) -> None:
    center, names = center_of(grid), location_names(grid)
    for (_, query), name in zip(center_pairs(grid).tolist(), names, strict=True):
        steps = np.subtract(np.unravel_index(query, grid), np.unravel_index(center, grid))
        assert [int(step) for step in name.split(",")] == steps.tolist()
    assert location_names((3, 3))[:4] == ["-1,-1", "-1,0", "-1,+1", "0,-1"]


def test_the_smallest_grid_and_the_limits_of_queries() -> None:
    assert center_of((3,)) == 1
    for queries in (1, 2):
        label = RandRelativeLocationd("image", (3,), queries=queries)(patches((3,)))["label"]
        assert (label >= 0).sum() == queries


def test_an_absent_image_is_missed_unless_told_otherwise() -> None:
    sample = patches((3, 3))
    with pytest.raises(KeyError, match="other"):
        RandRelativeLocationd(["image", "other"], (3, 3))(sample)
    RandRelativeLocationd(["image", "other"], (3, 3), allow_missing_keys=True)(sample)


def test_the_label_belongs_to_the_patch_that_was_cut_there() -> None:
    volume = noise((30, 30, 30), 0)
    cut = RandPatchGridd("image", grid=3, patch_size=6).set_random_state(1)
    sample = RandRelativeLocationd("image", (3, 3, 3))(cut({"image": volume}))
    middle = np.asarray(sample["pretext"]["boxes"]).mean(axis=1)
    for (center, query), name in zip(center_pairs((3, 3, 3)).tolist(), location_names((3, 3, 3)), strict=True):
        expected = [int(step) for step in name.split(",")]
        # a cell has 10 voxels, and a patch moves by less than half of one
        assert np.round((middle[query] - middle[center]) / 10).tolist() == expected
        start, stop = np.asarray(sample["pretext"]["boxes"][query])
        window = volume[(slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))]
        torch.testing.assert_close(sample["image"][query], window, rtol=0, atol=0)


def test_empty_patches_are_not_asked_for() -> None:
    label = RandRelativeLocationd("image", (3, 3))(patches((3, 3), empty=(0, 8)))["label"]
    assert label.tolist() == [-100, 1, 2, 3, 4, 5, 6, -100]


def test_nothing_is_asked_without_a_center() -> None:
    label = RandRelativeLocationd("image", (3, 3))(patches((3, 3), empty=(4,)))["label"]
    assert set(label.tolist()) == {-100}


def test_the_threshold_is_inclusive() -> None:
    sample = patches((3, 3))
    sample["foreground"][0] = 0.25
    assert RandRelativeLocationd("image", (3, 3), threshold=0.25)(sample)["label"][0] == 0
    assert RandRelativeLocationd("image", (3, 3), threshold=0.26)(sample)["label"][0] == -100


def test_a_few_queries_are_drawn_uniformly_among_the_valid_ones() -> None:
    task = RandRelativeLocationd("image", (3, 3), queries=2)
    task.set_random_state(0)
    counts = np.zeros(8)
    for _ in range(2000):
        label = task(patches((3, 3), empty=(0,)))["label"]
        asked = label[label >= 0]
        assert asked.tolist() == torch.nonzero(label >= 0)[:, 0].tolist()
        assert len(asked) == 2
        counts[asked.numpy()] += 1
    assert counts[0] == 0
    expected = 4000 / 7
    assert ((counts[1:] - expected) ** 2 / expected).sum() < 22.5  # chi-square, 6 degrees, p = 0.001


def test_fewer_valid_than_asked_for() -> None:
    sample = RandRelativeLocationd("image", (3, 3), queries=5)(patches((3, 3), empty=(0, 1, 2, 3, 5)))
    assert (sample["label"] >= 0).sum() == 3


def test_the_record_says_what_is_asked() -> None:
    record = RandRelativeLocationd("image", (3, 3))(patches((3, 3), empty=(0,)))["pretext"]
    assert record["roles"][4] == record["names"][4] == "center"
    assert record["roles"][0] == "not asked"
    assert record["roles"][5] == "query"
    assert record["names"] == ["0", "1", "2", "3", "center", "4", "5", "6", "7"]


@pytest.mark.parametrize(("grid", "axis"), [((2, 3, 3), 0), ((3, 4, 3), 1), ((3, 3, 2), 2), ((3, 4), 1)])
def test_an_even_grid_is_refused_by_its_axis(grid: tuple[int, ...], axis: int) -> None:
    for build in (center_of, center_pairs, lambda g: RandRelativeLocationd("image", g)):
        with pytest.raises(ValueError, match=f"axis {axis}: expected an odd number of patches.*found {grid[axis]}"):
            build(grid)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: RandRelativeLocationd("image", (1, 1, 1)), "more than one patch"),
        (lambda: RandRelativeLocationd("image", (3, 3), queries=9), "queries from 1 to 8"),
        (lambda: RandRelativeLocationd("image", (3, 3), queries=0), "queries from 1 to 8"),
        (lambda: RandRelativeLocationd("image", (3, 3))(patches((3, 3, 3))), "9 patches under 'image'.*found 27"),
    ],
)
def test_refusals(build: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()
