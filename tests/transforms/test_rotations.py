"""Rotations: every class against matrices, and the shapes that allow them."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest
import torch
from volumes import marker, noise

from medvol.transforms import RandPatchGridd
from medvol.transforms.rotations import RandRotationsd, num_rotations, rotate, rotation_classes

SHAPES = {
    (6, 1, 1): 1,
    (6, 6, 6): 10,
    (6, 6, 4): 6,
    (6, 4, 6): 6,
    (6, 5, 4): 4,
    (6, 6, 1): 4,
    (6, 5, 1): 2,
    (6, 6): 4,
    (6, 5): 2,
}


def asymmetric(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(1, *shape)


def matrix(rotation: tuple) -> np.ndarray:
    """The rotation as a matrix: where each axis of the input points afterwards, from single bright voxels."""
    columns = []
    for axis in range(3):
        cube = np.zeros((1, 3, 3, 3))
        place = [1, 1, 1]
        place[axis] = 2
        cube[(0, *place)] = 1
        found = np.argwhere(rotate(cube, rotation)[0] == 1)[0] - 1
        columns.append(found)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(("shape", "count"), SHAPES.items())
def test_classes_of_a_shape(shape: tuple[int, ...], count: int) -> None:
    image = asymmetric(shape)
    turned = [rotate(image, rotation) for rotation in rotation_classes(shape)]
    assert num_rotations(shape) == count == len({t.tobytes() for t in turned})
    assert all(t.shape == image.shape for t in turned)
    assert all((np.sort(t, axis=None) == image.ravel()).all() for t in turned)
    assert (turned[0] == image).all()


@pytest.mark.parametrize("classes", [10, 24])
def test_each_is_a_proper_rotation_with_its_inverse(classes: int) -> None:
    rotations = rotation_classes((4, 4, 4), classes)
    matrices = [matrix(rotation) for rotation in rotations]
    assert all(round(np.linalg.det(m)) == 1 for m in matrices)
    assert len({m.tobytes() for m in matrices}) == classes
    known = {m.tobytes(): rotation for m, rotation in zip(matrices, rotations, strict=True)}
    image = asymmetric((4, 4, 4))
    for m, rotation in zip(matrices, rotations, strict=True):
        inverse = known[np.ascontiguousarray(m.T).tobytes()]
        assert (rotate(rotate(image, rotation), inverse) == image).all()


def test_the_order_of_the_classes() -> None:
    """Quarter turns in the plane first, then about axis 1, then about axis 0, as torch.rot90 turns."""
    image = torch.as_tensor(asymmetric((4, 4, 4)))
    planes = itertools.product([(1, 2), (3, 1), (3, 2)], (1, 2, 3))
    expected = [image, *(torch.rot90(image, turns, plane) for plane, turns in planes)]
    for rotation, want in zip(rotation_classes((4, 4, 4)), expected, strict=True):
        assert (rotate(image.numpy(), rotation) == want.numpy()).all()
    assert rotation_classes((4, 4, 4), 24)[:10] == rotation_classes((4, 4, 4))


def test_a_slice_is_never_its_mirror_image() -> None:
    """The letter R reads as an R after every class of a slice: one can turn it back."""
    letter = marker((12, 12, 1)).numpy()
    mirrored = {np.rot90(letter[:, ::-1], turn, (1, 2)).tobytes() for turn in range(4)}
    for shape, image in (((12, 12, 1), letter), ((12, 12), letter[..., 0])):
        for rotation in rotation_classes(shape):
            assert rotate(image, rotation).tobytes() not in mirrored
            assert (
                rotate(image, rotation).reshape(letter.shape) == np.rot90(letter, sum(t for _, t in rotation), (1, 2))
            ).all()


@pytest.mark.parametrize(("shape", "classes", "count"), [((6, 6, 6), 4, 4), ((6, 6, 6), 24, 24), ((6, 6, 4), 4, 4)])
def test_a_number_of_classes_may_be_chosen(shape: tuple[int, ...], classes: int, count: int) -> None:
    assert num_rotations(shape, classes) == count
    if classes == 4:
        assert rotation_classes(shape, 4) == rotation_classes(shape)[:4]


@pytest.mark.parametrize("views", [1, 4, 10])
def test_views_carry_the_class_that_they_were_turned_by(views: int) -> None:
    image = noise((5, 5, 5), 0, channels=2)
    sample = RandRotationsd("image", views).set_random_state(0)({"image": image})
    assert sample["image"].shape == (views, 2, 5, 5, 5)
    assert len(set(sample["label"].tolist())) == views
    for view, label in zip(sample["image"], sample["label"].tolist(), strict=True):
        want = rotate(image.numpy(), rotation_classes((5, 5, 5))[label])
        assert (view.numpy() == want).all()


def test_no_two_classes_give_one_picture() -> None:
    """The reference's code left the tenth class as it was until 2021."""
    sample = RandRotationsd("image", 24, classes=24)({"image": noise((5, 5, 5), 1)})
    assert len({view.numpy().tobytes() for view in sample["image"]}) == 24


def test_classes_are_drawn_uniformly() -> None:
    task, counts = RandRotationsd("image", 3), np.zeros(10)
    task.set_random_state(0)
    image = noise((2, 2, 2), 0)
    for _ in range(2000):
        counts[task({"image": image})["label"].numpy()] += 1
    assert ((counts - 600) ** 2 / 600).sum() < 27.9  # chi-square, 9 degrees, p = 0.001


def test_after_the_patch_cutter() -> None:
    cut = RandPatchGridd("image", grid=1, patch_size=6, crop_size=6).set_random_state(0)
    sample = RandRotationsd("image", 4).set_random_state(0)(cut({"image": noise((9, 9, 9), 0)}))
    assert sample["image"].shape == (4, 1, 6, 6, 6)
    assert sample["foreground"].tolist() == [1.0] * 4
    assert np.subtract(*sample["pretext"]["crop"][::-1]).tolist() == [6, 6, 6]
    assert len(sample["pretext"]["class"]) == 4


def test_an_almost_empty_crop_does_not_count() -> None:
    for foreground, counted in ((0.09, False), (0.11, True)):
        sample = {"image": torch.zeros(1, 1, 3, 3, 3), "foreground": torch.tensor([foreground])}
        label = RandRotationsd("image", 2)(sample)["label"]
        assert bool((label >= 0).all()) is counted
        assert bool((label == -100).all()) is not counted


def test_a_slice_and_two_axes_agree() -> None:
    image = noise((6, 6, 1), 0)
    deep, flat = (RandRotationsd("image", 4).set_random_state(5)({"image": i}) for i in (image, image[..., 0]))
    assert torch.equal(deep["image"][..., 0], flat["image"])
    assert torch.equal(deep["label"], flat["label"])


@pytest.mark.parametrize(
    ("shape", "classes", "words"),
    [
        ((6, 6, 5), 10, "axis 2: expected a cube for 10 rotations, found a crop of \\(6, 6, 5\\)"),
        ((6, 5, 5), 10, "axis 1: expected a cube"),
        ((6, 6, 1), 24, "axis 2: expected a cube"),
        ((6, 5), 4, "axis 1: .* allows \\[2\\]"),
        ((6, 6, 6), 7, "^expected another shape for 7 rotations"),
        ((6,), None, "two or three axes"),
    ],
)
def test_shapes_that_do_not_allow_the_classes(shape: tuple[int, ...], classes: int | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rotation_classes(shape, classes)


def test_more_views_than_classes() -> None:
    with pytest.raises(ValueError, match=r"at most 2 views.*found 4; lower views"):
        RandRotationsd("image", 4)({"image": noise((6, 5, 1), 0)})
    with pytest.raises(ValueError, match=r"at most 2 views.*found 3"):
        num_rotations((6, 5, 1), None, views=3)
    with pytest.raises(ValueError, match="at least 1 view"):
        RandRotationsd("image", 0)


def test_the_record_names_the_turns() -> None:
    sample = RandRotationsd("image", 24, classes=24).set_random_state(0)({"image": noise((3, 3, 3), 0)})
    names = dict(zip(sample["label"].tolist(), sample["pretext"]["names"], strict=True))
    assert sample["pretext"]["class"] == sample["label"].tolist()
    assert [names[label] for label in (0, 1, 3, 5, 7)] == [
        "not turned",
        "90° axis 2",
        "270° axis 2",
        "180° axis 1",
        "90° axis 0",
    ]
    assert names[10] == "90° axis 2, 90° axis 1"
    assert len(set(names.values())) == 24
    assert "crop" not in sample["pretext"]


def test_images_of_a_sample_are_turned_alike() -> None:
    image = noise((4, 4, 4), 0)
    task = RandRotationsd(["image", "other", "absent"], 3, allow_missing_keys=True).set_random_state(0)
    sample = task({"image": image, "other": 2 * image})
    assert torch.equal(sample["other"], 2 * sample["image"])
    with pytest.raises(KeyError, match="absent"):
        RandRotationsd(["image", "absent"], 3)({"image": image})
    assert RandRotationsd("image")({"image": image})["image"].shape == (4, 1, 4, 4, 4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16, torch.float32, torch.float64])
def test_the_type_of_the_image_is_kept(dtype: torch.dtype) -> None:
    sample = RandRotationsd("image", 3)({"image": torch.arange(54).reshape(2, 3, 3, 3).to(dtype)})
    assert sample["image"].dtype is dtype
    assert sample["label"].dtype is torch.int64


def test_defaults() -> None:
    defaults = {name: p.default for name, p in inspect.signature(RandRotationsd).parameters.items()}
    assert defaults == {
        "keys": inspect.Parameter.empty,
        "views": 4,
        "classes": None,
        "foreground_key": "foreground",
        "threshold": 0.1,
        "label_key": "label",
        "allow_missing_keys": False,
    }


def test_the_threshold_is_inclusive() -> None:
    for foreground, counted in ((0.25, True), (0.24, False)):
        sample = {"image": noise((1, 3, 3, 3), 0)[0][None], "foreground": torch.tensor([foreground])}
        sample = RandRotationsd("image", 2, threshold=0.25)(sample)
        assert bool((sample["label"] >= 0).all()) is counted
        assert sample["foreground"].tolist() == pytest.approx([foreground] * 2)
