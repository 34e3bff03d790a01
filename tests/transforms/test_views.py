import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from medvol.bundles.previews.record import read_record
from medvol.transforms import ForegroundMaskd
from medvol.transforms.boxes import bounds, overlap
from medvol.transforms.viewing import view_frame
from medvol.transforms.views import RandViewsd


def cut(volume, seed=0, mask=None, **options):
    data = {"image": volume} if mask is None else {"image": volume, "mask": mask}
    options = options if mask is None else {"mask_key": "mask", **options}
    return RandViewsd("image", **{"size": 8, **options}).set_random_state(seed)(data)


def boxes_of(sample):
    return np.array(sample["pretext"]["boxes"])


# Shape and record.


def test_views_and_record(noise):
    sample = cut(noise((20, 24, 22), 0, channels=3), size=(8, 9, 10), views=4)
    assert sample["image"].shape == (4, 3, 8, 9, 10)
    assert type(sample["image"]) is torch.Tensor
    assert torch.equal(sample["foreground"], torch.ones(4))
    record = sample["pretext"]
    assert record["names"] == ["view 0", "view 1", "view 2", "view 3"]
    boxes = boxes_of(sample)
    assert boxes.shape == (4, 2, 3)
    assert (boxes[:, 0] >= 0).all()
    assert (boxes[:, 1] <= (20, 24, 22)).all()
    assert type(record["boxes"][0][0][0]) is int
    assert type(record["degrees"][0]) is float
    assert record["mirrored"] == [[]] * 4


def test_a_view_shows_its_box():
    """The mean of a coordinate over a view is the middle of its box."""
    shape = (30, 28, 26)
    volume = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"))
    for seed in range(10):
        sample = cut(volume, seed, size=12, rotate=30.0)
        for view, (start, stop) in zip(sample["image"], boxes_of(sample), strict=True):
            middle = view.mean(dim=(1, 2, 3)).numpy()
            assert np.abs(middle - (start + stop - 1) / 2).max() < 0.6
            low, high = view.amin(dim=(1, 2, 3)).numpy(), view.amax(dim=(1, 2, 3)).numpy()
            assert (low >= start - 0.5 - 1e-4).all()
            assert (high <= stop - 0.5 + 1e-4).all()
            assert (high - low > stop - start - 4).all()


@pytest.mark.parametrize(("rotate", "quarter_turns"), [(10.0, False), (35.0, False), (0.0, True), (20.0, True)])
def test_the_record_says_how_far_a_view_is_turned(rotate, quarter_turns):
    """The first axis of a view runs in the direction in which both coordinates of the volume grow along it."""
    volume = torch.stack(torch.meshgrid(*[torch.arange(16.0, dtype=torch.float64)] * 3, indexing="ij"))
    options = {"views": 40, "quarter_turns": quarter_turns, **({} if rotate == 10 else {"rotate": rotate})}
    sample = cut(volume, **options)
    along = sample["image"].diff(dim=2)[:, :2, 0, 0, 0].numpy()
    degrees = np.array(sample["pretext"]["degrees"])
    wrong = np.degrees(np.arctan2(along[:, 1], along[:, 0])) - degrees
    assert np.abs((wrong + 180) % 360 - 180).max() < 6e-4
    assert (degrees == degrees.round(3)).all()
    turned = (degrees + 45) % 90 - 45 if quarter_turns else degrees
    assert 0.8 * rotate <= np.abs(turned).max() <= rotate
    assert len(set((((degrees - turned) / 90).round() % 4).tolist())) == (4 if quarter_turns else 1)


def test_the_preview_can_read_the_record(noise):
    for shape in ((20, 24, 22), (20, 24)):
        record = read_record(cut(noise(shape, 0), flip=0.5)["pretext"], len(shape))
        assert record.boxes.shape == (2, 2, len(shape))
        assert record.names == ("view 0", "view 1")


def test_several_images_are_cut_at_the_same_places(noise):
    image = noise((20, 20, 20), 0)
    sample = RandViewsd(["image", "again", "late"], 8, allow_missing_keys=True)({"image": image, "again": image * 2})
    torch.testing.assert_close(sample["image"] * 2, sample["again"])
    assert "pretext" not in RandViewsd("late", 8, allow_missing_keys=True)({"image": image})


def test_the_input_is_kept_and_becomes_plain(noise):
    volume = MetaTensor(noise((20, 20), 0))
    data = {"image": volume, "mask": torch.ones(1, 20, 20), "patient": 4}
    sample = RandViewsd("image", 8, mask_key="mask")(data)
    assert type(sample["image"]) is torch.Tensor
    assert data.keys() == {"image", "mask", "patient"}
    assert data["image"] is volume
    assert sample.keys() == {"image", "patient", "foreground", "pretext"}


def test_types(noise):
    volume = noise((20, 20, 20), 0)
    assert cut((volume * 100).to(torch.int16))["image"].dtype == torch.float32
    assert cut(volume.half())["image"].dtype == torch.float32
    single, double = cut(volume)["image"], cut(volume.double())["image"]
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-5)
    strided = torch.empty(20, 20, 20, 1).permute(3, 2, 1, 0).copy_(volume)
    assert torch.equal(cut(strided)["image"], single)


# Acceptance test 5: both views are augmented, and by themselves.


def test_both_views_differ_from_the_volume_and_from_each_other(noise):
    volume = noise((16, 16, 16), 0)
    for seed in range(10):
        one, other = cut(volume, seed, size=16)["image"]
        assert not torch.equal(one, volume)
        assert not torch.equal(other, volume)
        assert not torch.equal(one, other)


# Acceptance test 6: no border, no made-up voxel.


def constant_faces(views, spatial_dims):
    found = []
    for axis, end in itertools.product(range(spatial_dims), (0, -1)):
        face = views.select(views.ndim - spatial_dims + axis, end).flatten(views.ndim - spatial_dims)
        found.append((face.amax(-1) == face.amin(-1)).float().mean())
    return float(torch.stack(found).mean())


@pytest.mark.parametrize("shape", [(24, 24, 24), (24, 24, 1), (24, 24)])
@pytest.mark.parametrize("rotate", [0.0, 45.0])
def test_the_border_of_a_padded_volume_is_not_kept(padded, shape, rotate):
    flat = len(shape) == 2 or shape[2] == 1
    transform = Compose(
        [
            ForegroundMaskd("image"),
            RandViewsd(
                "image", (16, 16, 16 if not flat else 1)[: len(shape)], rotate=rotate, scale=(0.9, 1.0), mask_key="mask"
            ),
        ]
    ).set_random_state(0)
    for seed in range(10):
        volume = padded(shape, seed, border=2)
        volume[volume != 0] += 10  # no value between voxels of the inside comes near zero
        views = transform({"image": volume})["image"]
        assert views.min() > 4
        assert constant_faces(views.squeeze(-1) if shape[-1] == 1 else views, 2 if flat else 3) == 0
    without = RandViewsd(
        "image",
        (16, 16, 16)[: len(shape)] if not flat or len(shape) == 2 else (16, 16, 1),
        rotate=rotate,
        scale=(0.9, 1.0),
    )({"image": volume})["image"]
    assert without.min() < 4  # the measure has power


def test_the_corners_of_a_turned_view_are_of_the_volume(noise):
    """Every voxel lies between the values of the volume: nothing is filled in, at no turn."""
    volume = noise((20, 20, 20), 0).abs() + 1
    for seed in range(20):
        views = cut(volume, seed, size=20, rotate=180.0, scale=(1.0, 1.0))["image"]
        assert views.min() >= 1
        assert constant_faces(views, 3) == 0


# Overlap, foreground, slices.


@pytest.mark.parametrize("share", [0.2, pytest.param(1.0, marks=pytest.mark.slow)])
def test_a_thousand_views_overlap_enough(share):
    """Acceptance test D2."""
    for shape, min_iou, draws in (((60, 50, 40), None, 700), ((60, 50, 40), 0.6, 150), ((60, 50, 1), 0.25, 150)):
        least = min_iou or 0.25
        size = np.array([20, 20, 20 if shape[2] > 1 else 1])
        transform = RandViewsd("image", 20, min_iou=min_iou).set_random_state(0)
        frame = view_frame(shape, size, np.ones(3), (0, 1), True, 0.3)
        found = []
        for _ in range(int(share * draws)):
            transform.randomize(frame, np.zeros(3))
            first, second = (bounds(frame, box)[0] for box in transform.boxes)
            found.append(overlap(first[None], second)[0])
        assert min(found) >= least - 1e-12
        assert np.mean(found) > least + 0.02


def test_in_the_plane_views_may_share_nothing():
    transform = RandViewsd("image", 20, scale=(0.3, 0.3)).set_random_state(0)
    frame = view_frame((60, 60, 1), (20, 20, 1), np.ones(3), (0, 1), True, 0.3)
    found = []
    for _ in range(100):
        transform.randomize(frame, np.zeros(3))
        first, second = (bounds(frame, box)[0] for box in transform.boxes)
        found.append(overlap(first[None], second)[0])
    assert min(found) == 0
    frame = view_frame((60, 60, 60), (20, 20, 2), np.ones(3), (0, 1), True, 0.9)
    transform = RandViewsd("image", (20, 20, 2), scale=(0.9, 0.9))  # two voxels are three axes
    for _ in range(50):
        transform.randomize(frame, np.zeros(3))
        first, second = (bounds(frame, box)[0] for box in transform.boxes)
        assert overlap(first[None], second)[0] >= 0.25 - 1e-12


def test_views_hold_enough_foreground_and_say_how_much(noise):
    mask = torch.zeros(1, 40, 40)
    mask[:, :20, :20] = 1
    mask[:, 39, 39] = 1  # the bounding box is the whole image
    image, fractions = noise((40, 40), 0), {}
    for least in (0.0, 0.5):
        found = []
        for seed in range(40):
            sample = cut(image, seed, mask, min_foreground=least, scale=(0.3, 0.4))
            for value, (start, stop) in zip(sample["foreground"], boxes_of(sample), strict=True):
                window = mask[0, start[0] : stop[0], start[1] : stop[1]]
                assert float(value) == pytest.approx(float(window.mean()))
                found.append(float(value) >= 0.5)
        fractions[least] = np.mean(found)
    assert fractions[0.0] < 0.5
    assert fractions[0.5] > 0.9
    assert sample["foreground"].dtype == torch.float32
    for seed in range(5):  # where nothing is asked for, the first box is taken
        asked = cut(image, seed, mask, min_foreground=0.0, scale=(0.3, 0.3))
        assert np.array_equal(boxes_of(asked), boxes_of(cut(image, seed, scale=(0.3, 0.3))))


def test_views_of_a_slice_show_the_same_slice(noise):
    mask = torch.zeros(1, 20, 20, 20)
    mask[..., 5:12] = 1
    mask[:, 10, 10, 15] = 1  # too little
    volume = torch.arange(20.0).expand(1, 20, 20, 20) + 1
    seen = set()
    for seed in range(40):
        sample = cut(volume, seed, mask, size=(8, 8, 1))
        assert sample["image"].shape == (2, 1, 8, 8, 1)
        assert sample["image"].amax() - sample["image"].amin() < 1e-4
        number = round(float(sample["image"].mean()))
        assert (boxes_of(sample)[:, :, 2] == [number - 1, number]).all()
        seen.add(number - 1)
    assert seen == set(range(5, 12))
    transform = RandViewsd("image", (8, 8, 1)).set_random_state(0)
    places = [transform._draw_slices((20, 20, 20), (8, 8, 1), None)[2] for _ in range(1000)]
    assert np.bincount(places, minlength=20).min() > 20


def test_slices_of_two_and_lines_through_the_foreground():
    volume = torch.arange(2.0).expand(1, 20, 20, 2)
    seen = {tuple(cut(volume, seed, size=(8, 8, 1))["image"].round(decimals=5).unique().tolist()) for seed in range(20)}
    assert seen == {(0.0,), (1.0,)}
    mask, places = torch.zeros(1, 20, 20, 20), {(3, 5), (10, 12)}
    for y, z in places:
        mask[:, :, y, z] = 1
    found = [boxes_of(cut(mask, seed, mask, size=(8, 1, 1), rotate=0.0)) for seed in range(20)]
    assert {tuple(box[0, 1:]) for boxes in found for box in boxes} == places


# Axes, orientation.


def test_two_axes_and_depth_one_are_equal_to_the_bit(noise):
    """Acceptance tests 20 and D1."""
    flat, mask = noise((30, 27), 0, channels=2), torch.rand(1, 30, 27) > 0.3
    options = {"flip": (0.5, 0.5), "rotate": 20.0, "quarter_turns": True, "min_foreground": 0.6, "spacing": [1.0, 1.1]}
    deep = {**options, "flip": (0.5, 0.5, 0.5), "spacing": [1.0, 1.1, 3.0]}
    for seed in range(10):
        a = cut(flat, seed, mask, size=(12, 10), **options)
        b = cut(flat[..., None], seed, mask[..., None], size=(12, 10, 1), **deep)
        assert torch.equal(a["image"], b["image"][..., 0])
        assert torch.equal(a["foreground"], b["foreground"])
        assert np.array_equal(boxes_of(a), boxes_of(b)[..., :2])
        assert a["pretext"]["degrees"] == b["pretext"]["degrees"]
        assert a["pretext"]["mirrored"] == b["pretext"]["mirrored"]


def test_the_marker_stands_upright_and_on_its_side(marker):
    volume = marker((24, 24, 5))
    still = {"size": (24, 24, 5), "scale": (1.0, 1.0), "ratio": 1.0, "rotate": 0.0}
    assert torch.equal(cut(volume, **still)["image"][0], volume)
    # one number mirrors every axis but that from left to right
    found = cut(volume, flip=1.0, **still)
    assert torch.equal(found["image"][0], volume.flip(2, 3))
    assert found["pretext"]["mirrored"] == [[1, 2], [1, 2]]
    assert torch.equal(cut(volume, flip=1.0, lateral_axis=1, **still)["image"][1], volume.flip(1, 3))
    assert torch.equal(cut(volume, flip=1.0, lateral_axis=None, **still)["image"][1], volume.flip(1, 2, 3))
    assert torch.equal(cut(volume, flip=(1.0, 0.0, 0.0), **still)["image"][0], volume.flip(1))  # asked for
    unlike = volume[..., :2] * torch.tensor([1.0, 2.0])  # two slices are mirrored, too
    thin = cut(unlike, flip=(0.0, 0.0, 1.0), **{**still, "size": (24, 24, 2)})["image"]
    assert torch.equal(thin[0], unlike.flip(3))
    uneven = cut(volume, size=(5, 5, 1), spacing=[1.0, 2.0, 1.0], rotate=0.0)  # may be, where nothing is turned
    assert uneven["pretext"]["degrees"] == [0, 0]
    # an axis without a choice takes no random number
    assert np.array_equal(
        boxes_of(cut(volume, flip=(1.0, 0.0, 0.0), size=(5, 5, 1))), boxes_of(cut(volume, size=(5, 5, 1)))
    )


def test_flips_happen_as_often_as_asked():
    transform = RandViewsd("image", 8).set_random_state(0)
    frame = view_frame((20, 20, 20), (8, 8, 8), np.ones(3), (0, 1), True, 0.3)
    mirrored = []
    for _ in range(150):
        transform.randomize(frame, np.array([0.0, 0.2, 1.0]))
        mirrored.append(transform.mirrored)
    share = np.concatenate(mirrored).mean(axis=0)
    assert share[0] == 0
    assert abs(share[1] - 0.2) < 0.115  # five standard deviations
    assert share[2] == 1


def test_spacing_keeps_the_proportions_of_the_body():
    """A ball stays a ball: 3 mm slices are not squeezed into the cube."""
    x, y, z = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), torch.arange(20.0) * 3, indexing="ij")
    ball = (((x - 29.5) ** 2 + (y - 29.5) ** 2 + (z - 28.5) ** 2) < 20**2).float()[None]
    options = {"size": 30, "scale": (1.0, 1.0), "ratio": 1.0, "rotate": 0.0}
    widths = []
    for spacing in ([1.0, 1.0, 3.0], None):
        view = cut(ball, spacing=spacing, **options)["image"][0, 0]
        widths.append(
            [float((view > 0.5).any(dim=0).any(dim=0).sum()), float((view > 0.5).any(dim=1).any(dim=1).sum())]
        )
    assert abs(widths[0][0] - widths[0][1]) <= 2
    assert widths[1][1] - widths[1][0] > 8  # without it the ball is a lens


# Acceptance test 19: determinism.


def test_the_same_seed_draws_the_same(noise):
    volume = noise((20, 20, 20), 0)

    def stream(seed):
        pipeline = Compose([RandViewsd("image", 8, flip=0.5)]).set_random_state(seed)
        return torch.stack([pipeline({"image": volume})["image"] for _ in range(5)])

    torch.manual_seed(1)
    first = stream(3)
    torch.manual_seed(2)
    assert torch.equal(first, stream(3))
    assert not torch.equal(first, stream(4))
    assert len({float(views.sum()) for views in first.flatten(0, 1)}) == 10


def test_a_copy_draws_the_same(noise):
    transform = RandViewsd("image", 8).set_random_state(0)
    data = {"image": noise((20, 20, 20), 0)}
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        expected = RandViewsd("image", 8).set_random_state(0)(data)["image"]
        assert torch.equal(other(data)["image"], expected)


# Errors.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (8, 8)}, r"size with one number for each of the 3 spatial axes, found \[8, 8\]"),
        ({"size": 0}, "size of at least 1"),
        ({"spacing": [1.0, 1.0]}, "spacing must have one number for each of the 3 spatial axes"),
        ({"spacing": [1.0, 0.0, 1.0]}, "spacing must be a positive number on every axis; found 0.0 on axis 1"),
        ({"flip": (0.5, 0.5)}, "flip must have one number for each of the 3"),
        ({"flip": 2.0}, "flip must be between 0 and 1"),
        ({"spacing": [1.0, 2.0, 2.0]}, "nearly equal spacing only; found 1 and 2 mm on axes 0 and 1"),
        ({"scale": (0.05, 0.1)}, "axis 0: a view of 8 voxels must span at least 2 voxels of the volume; found 1"),
        ({"spacing": [1.0, 2.0, 2.0], "rotate": 0.5}, "nearly equal spacing only"),
        ({"lateral_axis": 3}, "lateral_axis must be 0, 1, 2 or None; found 3"),
        ({"min_iou": 1.0}, r"min_iou must be in \[0, 1\); found 1"),
        ({"views": 0}, "views must be at least 1"),
        ({"mask_key": "image"}, "keys must be images; found the mask 'image' among them"),
    ],
)
def test_errors(noise, options, message):
    with pytest.raises(ValueError, match=message):
        cut(noise((20, 20, 20), 0), **options)


def test_more_errors(noise):
    volume = noise((20, 20, 20), 0)
    with pytest.raises(ValueError, match=r"axis 2: a view of 8 voxels must span at least 2 .* give size 1 on axis 2"):
        cut(volume[..., :1])
    with pytest.raises(ValueError, match=r"\(20, 20, 20\) under every key; found \(20, 20, 19\) under 'the mask'"):
        cut(volume, mask=torch.ones(1, 20, 20, 19))
    with pytest.raises(ValueError, match="must hold foreground; found none"):
        cut(volume, mask=torch.zeros(1, 20, 20, 20))
    with pytest.raises(ValueError, match="must hold foreground; found none"):
        cut(volume, mask=torch.zeros(1, 20, 20, 20), size=(8, 8, 1))
    with pytest.raises(ValueError, match=r"\(C, X, Y\) or \(C, X, Y, Z\); found 1 spatial axes"):
        cut(volume[:, 0, 0])
    with pytest.raises(ValueError, match=r"'mask' .*found .*image; "):
        RandViewsd("image", 8, mask_key="mask")({"image": volume})
    with pytest.raises(ValueError, match=r"plane_axes must be axes of the image, 0 to 1; found \(0, 2\); \(0, 1\) is"):
        cut(volume[..., 0], plane_axes=(0, 2))
    with pytest.raises(KeyError):
        RandViewsd("image", 8)({"other": volume})
