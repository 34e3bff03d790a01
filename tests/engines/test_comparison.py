"""medvol.engines.comparison"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medvol.engines.comparison import compare, voxel_size

SHAPE = (8, 6, 10)


@pytest.fixture
def image():
    """Two channels of a volume in which no two voxels are alike, so that every turn and flip of it shows."""
    return torch.arange(2 * 480, dtype=torch.float32).reshape(2, *SHAPE) / 100 + 1


@pytest.fixture
def mask():
    hidden = torch.zeros(1, *SHAPE)
    hidden[:, :4, :3] = 1
    return hidden


def panels(*arrays, **more):
    return {panel.title: panel for panel in compare(*arrays, **more)}


def drawn(volume, index):
    """A slice along the last axis as a picture: first axis to the right, second one up."""
    return np.array([[volume[0, x, y, index].item() for x in range(8)] for y in reversed(range(6))], np.float32)


def test_a_restoration_shows_input_output_target_and_their_difference(image):
    corrupted, restored = image * 0.5, image.clone()
    restored[0, 6, 1, 4] += 2.0
    shown = panels(corrupted, image, restored)
    assert list(shown) == ["input", "output", "target", "error"]
    for title, volume in (("input", corrupted), ("output", restored), ("target", image)):
        assert np.array_equal(shown[title].values, drawn(volume, 4)), title
    error = shown["error"].values
    assert np.argwhere(error != 0).tolist() == [[4, 6]]  # the fifth row from the top is the second voxel up
    assert error[4, 6] == pytest.approx(2.0)
    assert shown["error"].words == f"mean {2 / 48:.3g}"
    assert shown["error"].colored
    assert shown["output"].window == shown["target"].window
    assert shown["input"].window == tuple(pytest.approx(end / 2) for end in shown["target"].window)  # its own units


@pytest.mark.parametrize("change", [lambda x: x.flip(1), lambda x: x.flip(2), lambda x: x.flip(3), lambda x: x.flip(0)])
def test_an_output_that_is_flipped_is_seen(image, change):
    assert (panels(image, image, image)["error"].values == 0).all()
    assert panels(image, image, change(image))["error"].values.mean() > 0.005


def test_a_transposed_mask_or_output_is_refused_or_seen(image, mask):
    with pytest.raises(
        ValueError, match=r"must have the same two or three spatial axes; found .*let the network return"
    ):
        compare(image, image, image.transpose(1, 2))
    cube = image[:, :6, :6, :6]
    assert panels(cube, cube, cube.transpose(1, 2))["error"].values.max() > 0
    kept, turned = (panels(cube, cube, cube, m)["hidden"].tint for m in (mask[:, :6, :6, :6], mask[:, :6, :6, :6].mT))
    assert not np.array_equal(kept, turned)


def test_hidden_voxels_are_zero_in_the_input_tinted_and_the_only_ones_with_an_error(image, mask):
    shown = panels(image, image, image + 1, mask)
    assert list(shown) == ["input", "hidden", "output", "composite", "target", "error"]
    hidden = drawn(mask, 4) > 0
    assert hidden.sum() == 12
    assert hidden[3:, :4].all()  # low indices: left, and below
    assert np.array_equal(shown["hidden"].tint, hidden)
    assert np.array_equal(shown["hidden"].values, drawn(image, 4))
    assert np.array_equal(shown["input"].values, np.where(hidden, 0, drawn(image, 4)))
    assert np.array_equal(shown["output"].values, drawn(image + 1, 4))
    assert np.array_equal(shown["composite"].values, drawn(image, 4) + hidden)
    assert np.array_equal(np.isnan(shown["error"].values), ~hidden)
    assert np.nanmax(np.abs(shown["error"].values - 1)) < 1e-5


def test_what_the_loss_leaves_out_has_no_error_and_spoils_no_gray_window(image, mask):
    label = image.clone()
    label[:, 2:, :, :] = torch.nan
    shown = panels(image, label, image, mask)
    counted = ~np.isnan(shown["error"].values)
    assert np.argwhere(counted).tolist() == [[y, x] for y in (3, 4, 5) for x in (0, 1)]
    assert np.isnan(shown["target"].values).sum() == 36
    assert np.isfinite(shown["target"].window).all()
    assert np.isfinite(shown["error"].window).all()
    nothing = panels(image, torch.full_like(image, torch.nan), image)
    assert nothing["error"].words == "nothing counted here"
    assert nothing["input"].window[1] > nothing["input"].window[0]


def test_an_output_without_a_number_is_the_largest_error_and_not_left_out(image):
    assert (panels(image, image, image * torch.nan)["error"].values == np.inf).all()


def test_the_activation_of_the_loss_comes_first(image):
    target = image / 20
    shown = panels(image, target, torch.logit(target), activation="sigmoid")
    assert shown["error"].values.max() < 1e-5
    with pytest.raises(ValueError, match="activation must be None or 'sigmoid'; found 'tanh'; use that of the loss"):
        compare(image, image, image, activation="tanh")


def test_classes_show_the_highest_score_and_where_it_is_wrong():
    label = torch.zeros(1, *SHAPE, dtype=torch.long)
    label[:, :3, :2, 7:] = 2
    label[:, 5:, 4:, 7] = 3
    scores = torch.nn.functional.one_hot(label[0], 4).movedim(-1, 0).float()
    scores[1, 7, 0, 7] = 5.0
    shown = panels(torch.rand(2, *SHAPE), label, scores)
    assert list(shown) == ["input", "output", "target", "wrong"]
    assert np.array_equal(shown["target"].values, drawn(label, 7))  # the slice with most voxels of a class
    assert shown["output"].window == shown["target"].window == (0.0, 3.0)
    assert np.argwhere(shown["output"].values != shown["target"].values).tolist() == [[5, 7]]
    assert np.argwhere(shown["wrong"].values == 1).tolist() == [[5, 7]]
    assert shown["wrong"].words == f"share {1 / 48:.3g}"


def test_the_slice_is_the_one_with_most_foreground():
    label = torch.zeros(1, *SHAPE)
    label[:, 2:4, 2:4, 6:] = 1
    label[:, 1:5, 1:5, 8] = torch.rand(4, 4) + 1
    assert np.array_equal(panels(label, label, label)["target"].values, drawn(label, 8))
    label[:, :, :, 8] = torch.nan
    assert np.array_equal(panels(label, label, label)["target"].values, drawn(label, 7))  # of 6, 7 and 9


def test_slices_are_drawn_whichever_axis_is_thin_and_planes_as_in_their_file(image):
    flat = image[..., 4:5]
    assert np.array_equal(panels(flat, flat, flat)["target"].values, drawn(image, 4))
    side = image[:, 3:4]
    assert panels(side, side, side)["target"].values.shape == (10, 6)
    plane = image[..., 4]
    assert np.array_equal(panels(plane, plane, plane)["target"].values, plane[0].numpy())
    assert [voxel_size((1, 2, 5), shape) for shape in (SHAPE, (8, 6, 1), (1, 6, 10), (8, 6))] == [
        (2, 1), (2, 1), (5, 2), (1, 2),
    ]  # fmt: skip


def test_half_precision_is_drawn_too(image):
    shown = panels(image.bfloat16(), image.bfloat16(), image.bfloat16(), activation="sigmoid")
    assert shown["error"].values.dtype == np.float32
