import numpy as np
import pytest
import torch

from medvol.bundles.audit.questions import find_question, question_rows


def grid_sample(cells=(3, 3), **more):
    """Patches whose mean is the number of their cell, plus a pattern that the statistics need."""
    count = int(np.prod(cells))
    pattern = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
    image = torch.arange(float(count)).reshape(-1, 1, 1, 1) + pattern
    boxes = [[[0, 2 * q], [2, 2 * q + 2]] for q in range(count)]
    return {"image": image, "foreground": torch.ones(count), "pretext": {"boxes": boxes, "grid": list(cells)}, **more}


def test_the_question_is_read_from_the_sample():
    assert find_question(grid_sample()) == "cell"
    assert find_question(grid_sample(label=torch.arange(8))) == "relation"
    jigsaw = grid_sample(label=torch.zeros(8, dtype=torch.int64))  # eight puzzles of nine tiles
    jigsaw["pretext"]["permutation"] = [*range(9)]
    assert find_question(jigsaw) == "cell"
    turned = {"image": torch.zeros(4, 1, 8, 8, 8), "label": torch.arange(4), "pretext": {"class": ["a"] * 4}}
    assert find_question(turned) == "class"
    one = {**turned, "pretext": {"boxes": [[[0] * 3, [8] * 3]], "grid": [1, 1, 1]}}
    assert find_question(one) == "class"
    views = {"image": torch.zeros(2, 1, 8, 8), "pretext": {"boxes": [[[0, 0], [8, 8]]] * 2, "names": ["a", "b"]}}
    assert find_question(views) == "match"
    for patient in (7, torch.tensor(7), torch.tensor([7])):
        assert find_question({**views, "label": patient}) == "match"


@pytest.mark.parametrize(
    "given",
    [
        {"label": torch.zeros(2, 8, 8, 8), "pretext": {}},  # a clean image
        {"label": torch.zeros(1, 8, 8, 8, dtype=torch.int64), "pretext": {}},  # a class for every voxel
        {"mask": torch.zeros(1, 8, 8, 8)},  # no record
    ],
)
def test_a_restoration_asks_for_no_class(given):
    with pytest.raises(ValueError, match=r"a class to guess.*found a restoration.*nothing to guess: look at"):
        find_question({"image": torch.zeros(2, 8, 8, 8), **given})


def test_a_patch_is_asked_for_its_own_cell():
    rows = question_rows(grid_sample(), "cell", 0.1)
    assert rows.labels.tolist() == [*range(9)]
    assert rows.features[:, 0].round().tolist() == [*range(9)]  # the first statistic is the mean
    assert len(rows.columns) == rows.features.shape[1]


def test_a_shuffled_patch_is_asked_for_the_cell_it_came_from():
    sample = grid_sample()
    permutation = [4, 0, 8, 1, 7, 2, 6, 3, 5]
    sample["image"] = sample["image"][permutation]
    sample["pretext"]["permutation"] = permutation
    rows = question_rows(sample, "cell", 0.1)
    assert rows.labels.tolist() == permutation
    assert rows.features[:, 0].round().tolist() == permutation


def test_a_pair_is_asked_for_its_direction():
    rows = question_rows(grid_sample(label=torch.arange(8)), "relation", 0.1)
    half = rows.features.shape[1] // 2
    assert rows.labels.tolist() == [*range(8)]
    assert rows.features[:, 0].round().tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    assert rows.features[:, half].round().tolist() == [-4, -3, -2, -1, 1, 2, 3, 4]
    assert len(rows.columns) == rows.features.shape[1]


def test_background_is_left_out_as_in_training():
    foreground = torch.ones(9)
    foreground[[0, 5]] = 0.05
    rows = question_rows(grid_sample(foreground=foreground), "cell", 0.1)
    assert rows.labels.tolist() == [1, 2, 3, 4, 6, 7, 8]
    label = torch.tensor([0, -100, 2, 3, -100, 5, 6, 7])
    rows = question_rows(grid_sample(label=label), "relation", 0.1)
    assert rows.labels.tolist() == [0, 2, 3, 5, 6, 7]
    assert rows.features[:, 0].round().tolist() == [0, 2, 3, 6, 7, 8]
    unsolved = grid_sample(label=torch.tensor([-100]))
    unsolved["pretext"]["permutation"] = [*range(9)]
    assert not len(question_rows(unsolved, "cell", 0.1).labels)


def test_a_view_is_asked_for_its_class():
    sample = {"image": torch.randn(3, 1, 4, 4), "label": torch.tensor([2, -100, 0]), "pretext": {}}
    rows = question_rows(sample, "class", 0.1)
    assert rows.labels.tolist() == [2, 0]
    np.testing.assert_array_equal(rows.features, question_rows(sample, "match", 0.1).features[[0, 2]])


def test_values_are_divided_by_the_scale():
    assert question_rows(grid_sample(), "cell", 0.1, scale=2.0).features[8, 0] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("sample", "found"),
    [
        ({"image": torch.zeros(1, 8, 8)}, "no record"),
        ({"image": torch.zeros(8, 8), "pretext": {}}, r"shape \(8, 8\)"),
        ({"pretext": {}}, r"shape \(\)"),
        ({"image": torch.zeros(2, 1, 8, 8), "pretext": {"boxes": "all"}}, "'boxes'"),
        ({"image": torch.zeros(1, 1, 8, 8), "pretext": {}}, "1 views, 0 boxes, a grid of 1 and labels"),
        ({"image": torch.zeros(1, 8, 8), "label": torch.zeros(1, 8, 8), "pretext": {}}, "found a restoration"),
        (grid_sample(image=torch.zeros(4, 1, 2, 2), label=torch.arange(3)), "4 views, 9 boxes, a grid of 9"),
    ],
)
def test_a_sample_that_asks_nothing_is_refused(sample, found):
    with pytest.raises(ValueError, match=found):
        find_question(sample)
