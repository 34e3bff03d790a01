import inspect
import itertools

import numpy as np
import pytest
import torch
from map_transforms import check_missing_keys
from monai.data import MetaTensor
from monai.transforms import Compose
from scipy.stats import chisquare

from medvol.transforms import ForegroundMaskd, RandPatchGridd


def boxes_of(sample):
    return np.array(sample["pretext"]["boxes"])  # (P, 2, D)


def cut(volume, seed=0, **options):
    return RandPatchGridd("image", **options).set_random_state(seed)({"image": volume})


# Acceptance test 1: geometry.


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((40, 44, 37), {"grid": 4, "patch_size": 6}),
        ((40, 44, 37), {"grid": (2, 3, 1), "patch_size": (7, 9, 30), "crop_size": (30, 40, 36)}),
        ((40, 44, 1), {"grid": (3, 3, 1), "patch_size": (8, 8, 1), "crop_size": (36, 40, 1)}),
        ((40, 44), {"grid": 3, "patch_size": 8}),
        ((40, 44, 37), {"grid": 3, "patch_size": 8, "stride": 4}),
        ((40, 44, 37), {"grid": 3, "patch_size": 8, "jitter": False}),
    ],
)
def test_every_patch_is_the_slice_at_its_box(noise, shape, options):
    volume = noise(shape, 1, channels=2)
    sample = cut(volume, **options)
    record = sample["pretext"]
    boxes = boxes_of(sample)
    assert sample["image"].shape[0] == np.prod(record["grid"]) == len(boxes)
    for patch, (start, stop) in zip(sample["image"], boxes, strict=True):
        assert torch.equal(patch, volume[(slice(None), *map(slice, start, stop))])
    assert (boxes[:, 0] >= record["crop"][0]).all()
    assert (boxes[:, 1] <= record["crop"][1]).all()
    assert torch.equal(sample["foreground"], torch.ones(len(boxes)))


def test_raster_order_last_axis_fastest(noise):
    boxes = boxes_of(cut(noise((30, 30, 30), 0), grid=(2, 2, 3), patch_size=6, jitter=False))
    assert boxes[0, 0].tolist() == [4, 4, 2]
    assert boxes[1, 0].tolist() == [4, 4, 12]
    assert boxes[3, 0].tolist() == [4, 19, 2]
    assert boxes[6, 0].tolist() == [19, 4, 2]


def test_ten_thousand_draws_keep_the_gap_and_are_uniform():
    shape, patch, gap = (60, 63), (12, 10), (3, 2)
    transform = RandPatchGridd("image", grid=3, patch_size=patch, min_gap=gap).set_random_state(5)
    grid, _, crop, layout = transform._layout(shape)
    starts = []
    for _ in range(10_000):
        transform.randomize(shape, grid, crop, layout)
        starts.append(transform.starts)
    starts = np.stack(starts).reshape(-1, 3, 3, 2)  # draws, grid, axis
    for axis in range(2):
        gaps = np.diff(starts[..., axis], axis=1 + axis) - patch[axis]
        assert gaps.min() >= gap[axis]
        half = -(-gap[axis] // 2)
        cell = shape[axis] // 3
        offsets = starts[..., axis] % cell
        assert offsets.min() == half
        assert offsets.max() == cell - patch[axis] - half
        for place in itertools.product(range(3), range(3)):
            counts = np.bincount(offsets[:, place[0], place[1]])[half:]
            assert chisquare(counts).pvalue > 0.001
    assert abs(np.corrcoef(starts[:, 0, 0, 0], starts[:, 0, 1, 0])[0, 1]) < 0.04  # every patch draws for itself


def test_no_two_patches_share_a_voxel(noise):
    volume = noise((40, 40, 40), 0)
    for seed in range(20):
        seen = torch.zeros(40, 40, 40)
        for start, stop in boxes_of(cut(volume, seed, grid=4, patch_size=6)):
            seen[tuple(map(slice, start, stop))] += 1
        assert seen.max() == 1
        assert seen.sum() == 64 * 6**3


def test_overlapping_grid_is_fixed_within_the_crop(noise):
    sample = cut(noise((40, 40, 40), 0), grid=(5, 4, 1), patch_size=8, stride=4)
    boxes = boxes_of(sample)
    assert np.diff(np.array(sample["pretext"]["crop"]), axis=0).tolist() == [[24, 20, 8]]  # the extent of the grid
    assert (boxes[4, 0] - boxes[0, 0]).tolist() == [4, 0, 0]
    crops = {
        tuple(cut(noise((40, 40, 40), 0), s, grid=5, patch_size=8, stride=4)["pretext"]["crop"][0]) for s in range(9)
    }
    assert len(crops) > 5


# Acceptance test 6: no constant border.


def constant_faces(patches, spatial_dims):
    """Fraction of faces of the patches on which all voxels are equal."""
    found = []
    for axis, end in itertools.product(range(spatial_dims), (0, -1)):
        face = patches.select(patches.ndim - spatial_dims + axis, end).flatten(patches.ndim - spatial_dims)
        found.append((face.amax(-1) == face.amin(-1)).float().mean())
    return float(torch.stack(found).mean())


@pytest.mark.parametrize(("shape", "patch"), [((40, 40, 40), 6), ((40, 40, 1), (6, 6, 1)), ((40, 40), 6)])
def test_the_border_of_a_padded_volume_is_not_kept(padded, shape, patch):
    crop = tuple(min(36, size) for size in shape)
    grid = tuple(3 if size > 1 else 1 for size in shape)
    mask = ForegroundMaskd("image")
    transform = RandPatchGridd("image", grid, patch, crop, min_gap=0, mask_key="mask").set_random_state(0)
    in_plane = 2 if len(shape) == 2 or shape[2] == 1 else 3
    for seed in range(10):
        volume = padded(shape, seed)
        sample = transform(mask({"image": volume}))
        patches = sample["image"].squeeze(-1) if shape[-1] == 1 else sample["image"]
        assert constant_faces(patches, in_plane) == 0.0
        assert (sample["image"] != 0).all()
        assert torch.equal(sample["foreground"], torch.ones(len(patches)))
    without = RandPatchGridd("image", 4, 10, min_gap=0)({"image": padded((40, 40, 40), 0)})["image"]
    assert constant_faces(without, 3) > 0.2  # the measure has power


# Foreground.


def test_foreground_is_the_fraction_of_mask_voxels(noise):
    mask = torch.rand(1, 30, 30, 30) > 0.6
    sample = RandPatchGridd("image", 3, 5, mask_key="mask")({"image": noise((30, 30, 30), 0), "mask": mask})
    for fraction, (start, stop) in zip(sample["foreground"], boxes_of(sample), strict=True):
        assert float(fraction) == pytest.approx(float(mask[(0, *map(slice, start, stop))].float().mean()))
    assert sample["foreground"].dtype == torch.float32
    assert "mask" not in sample


def test_a_mask_among_the_keys_is_cut_and_stays(noise):
    data = {"image": noise((30, 30), 0), "mask": torch.ones(1, 30, 30)}
    sample = RandPatchGridd(["image", "mask"], 3, 5, mask_key="mask")(data)
    assert sample["mask"].shape == (9, 1, 5, 5)


def test_crops_lie_inside_the_mask(noise):
    mask = torch.zeros(1, 60, 60, 60)
    mask[:, 10:40, 12:50, 20:30] = 1
    transform = RandPatchGridd("image", 2, 5, (20, 20, 20), mask_key="mask").set_random_state(0)
    starts = []
    for _ in range(60):
        start, stop = transform({"image": noise((60, 60, 60), 0), "mask": mask})["pretext"]["crop"]
        assert (start[0] >= 10) & (stop[0] <= 40)
        assert (start[1] >= 12) & (stop[1] <= 50)
        assert (start[2] <= 20) & (stop[2] >= 30)  # the mask is thinner than the crop: covered
        starts.append(start)
    assert np.array(starts).min(0).tolist()[:2] == [10, 12]
    assert np.array(starts).max(0).tolist()[:2] == [20, 30]


def test_crops_hold_enough_foreground_if_there_is_such_a_place(noise):
    mask = torch.zeros(1, 60, 60)
    mask[:, :30, :30] = 1
    mask[:, 59, 59] = 1  # the bounding box is the whole image
    image = noise((60, 60), 0)
    fraction = {}
    for least in (0.0, 0.5):
        transform = RandPatchGridd("image", 2, 5, 20, mask_key="mask", min_foreground=least).set_random_state(0)
        crops = [transform({"image": image, "mask": mask})["pretext"]["crop"] for _ in range(100)]
        fraction[least] = np.mean([float(mask[(0, *map(slice, a, b))].mean()) >= 0.5 for a, b in crops])
    assert fraction[0.0] < 0.5
    assert fraction[0.5] > 0.8


@pytest.mark.parametrize("least", [0.0, 0.4, 0.5, 1.0])
def test_the_crop_is_the_first_good_one_of_ten_or_the_best(noise, least):
    """Against a loop over the same random numbers; 0.5 and 1.0 can be reached exactly."""
    mask = torch.zeros(1, 20, 10)
    mask[:, :6] = mask[:, 14:] = 1  # crops at both ends hold the most, and as much as each other
    image, fractions = noise((20, 10), 0), []
    for seed in range(40):
        draw, tries = np.random.RandomState(seed), []
        while not tries or (max(tries)[0] < least and len(tries) < 10):
            start = int(draw.randint(0, 15, size=1)[0])
            tries.append((float(mask[0, start : start + 6].mean()), -len(tries), start))
        fraction, _, start = max(tries)
        transform = RandPatchGridd("image", 2, 2, (6, 10), 0, mask_key="mask", min_foreground=least)
        sample = transform.set_random_state(seed)({"image": image, "mask": mask})
        assert sample["pretext"]["crop"][0] == [start, 0]
        fractions.append(fraction)
    assert len(set(fractions)) > 1


class Noting:
    """An image in chunks that notes what is read of it."""

    def __init__(self, tensor):
        self.tensor, self.shape, self.read = tensor, tensor.shape, []

    def __getitem__(self, index):
        self.read.append(index)
        return self.tensor[index]

    def whole(self):
        self.read.append("whole")
        return self.tensor


def test_only_the_crop_is_read_of_an_image_in_chunks(noise):
    """What is cut is the same; the mask and what is not cut are read whole."""
    image = noise((20, 24, 17), 0, channels=2)
    data = {"image": image, "mask": image[:1] > 0.5, "label": image[1:], "plain": image + 1}
    for keys in (["image", "plain"], ["image", "mask", "plain"]):
        packed = {key: Noting(data[key]) if key != "plain" else data[key] for key in data}
        transform = RandPatchGridd(keys, (2, 3, 1), (4, 3, 6), (12, 16, 9), mask_key="mask")
        want, found = (transform.set_random_state(4)(sample) for sample in (data, packed))
        assert found.keys() == want.keys()
        for key in found:
            assert torch.equal(found[key], want[key]) if key != "pretext" else found[key] == want[key]
        window = tuple(slice(a, b) for a, b in zip(*want["pretext"]["crop"], strict=True))
        assert packed["image"].read == [(slice(None), *window)]
        assert packed["mask"].read == packed["label"].read == ["whole"]


# Acceptance tests 19 and 20: determinism, depth one.


def test_the_same_seed_draws_the_same(noise):
    def stream(seed):
        pipeline = Compose([RandPatchGridd("image", 3, 5, 27)]).set_random_state(seed)
        return torch.stack([pipeline({"image": noise((30, 30, 30), 0)})["image"] for _ in range(10)])

    first = stream(3)
    assert torch.equal(first, stream(3))
    assert not torch.equal(first, stream(4))
    assert len({float(patches[0].sum()) for patches in first}) == 10


def test_two_axes_and_depth_one_draw_the_same(noise):
    flat = noise((40, 37), 0)
    mask = torch.rand(1, 40, 37) > 0.5
    options = {"crop_size": (36, 33), "mask_key": "mask"}
    a = RandPatchGridd("image", (4, 3), (6, 8), **options).set_random_state(1)({"image": flat, "mask": mask})
    options = {"crop_size": (36, 33, 1), "mask_key": "mask"}
    deep = {"image": flat[..., None], "mask": mask[..., None]}
    b = RandPatchGridd("image", (4, 3, 1), (6, 8, 1), **options).set_random_state(1)(deep)
    assert torch.equal(a["image"], b["image"][..., 0])
    assert torch.equal(a["foreground"], b["foreground"])


def test_the_marker_lands_in_the_patches_at_its_place(marker):
    volume = marker((24, 24, 5))
    sample = cut(volume, grid=(2, 2, 1), patch_size=(12, 12, 5), min_gap=0)
    found = [float(patch.sum()) for patch in sample["image"]]
    assert found[:3] == [0, 0, 0]
    assert found[3] == float(volume.sum())  # right and front are the high ends of axes 0 and 1
    assert torch.equal(sample["image"][3, 0], volume[0, 12:, 12:])


# Form.


def test_input_is_kept_and_output_is_plain(noise):
    volume = MetaTensor(noise((20, 20), 0))
    data = {"image": volume, "patient": 4}
    sample = RandPatchGridd("image", 2, 5)(data)
    assert type(sample["image"]) is torch.Tensor
    assert data.keys() == {"image", "patient"}
    assert data["image"] is volume
    assert sample["patient"] == 4
    assert all(isinstance(n, int) for n in np.ravel(sample["pretext"]["boxes"]).tolist())
    assert type(sample["pretext"]["boxes"][0][0][0]) is int


def test_numpy_is_taken(noise):
    volume = noise((20, 21), 0)
    assert torch.equal(cut(volume.numpy(), grid=2, patch_size=5)["image"], cut(volume, grid=2, patch_size=5)["image"])


def test_missing_keys(noise):
    check_missing_keys(lambda keys, **options: RandPatchGridd(keys, 2, 5, **options), {"image": noise((20, 20), 0)})


def test_defaults():
    defaults = {name: p.default for name, p in inspect.signature(RandPatchGridd).parameters.items()}
    needed = dict.fromkeys(("keys", "grid", "patch_size"), inspect.Parameter.empty)
    assert defaults == {
        **needed,
        "crop_size": None,
        "min_gap": 2,
        "jitter": True,
        "stride": None,
        "foreground_key": "foreground",
        "mask_key": None,
        "min_foreground": 0.1,
        "allow_missing_keys": False,
    }


def test_several_images_are_cut_at_the_same_places(noise):
    image = noise((20, 20), 0)
    sample = RandPatchGridd(["image", "again"], 2, 5)({"image": image, "again": image * 2})
    assert torch.equal(sample["image"] * 2, sample["again"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"grid": 3, "patch_size": 10},
            r"axis 0: expected a cell of at least 12 voxels .* found 10 .* smaller patch_size",
        ),
        ({"grid": (3, 3), "patch_size": 5}, r"grid with one number for each of the 3 spatial axes, found \[3, 3\]"),
        ({"grid": 3, "patch_size": (5, 5)}, r"patch_size with one number"),
        ({"grid": 3, "patch_size": 5, "crop_size": 0}, r"expected crop_size of at least 1, found 0"),
        ({"grid": 3, "patch_size": 5, "stride": (5, 5)}, r"expected stride with one number"),
        (
            {"grid": 3, "patch_size": 5, "crop_size": (30, 30, 31)},
            r"axis 2: .* at least 31 .* found 30; .* never padding",
        ),
        ({"grid": 3, "patch_size": 16, "stride": 8}, r"axis 0: expected a volume of at least 32"),
        ({"grid": 3, "patch_size": 16, "stride": 8, "crop_size": 30}, r"axis 0: expected at least 32 voxels for 3"),
        ({"grid": 3, "patch_size": 5, "min_gap": -1}, r"min_gap of at least 0, found -1"),
    ],
)
def test_errors(noise, options, message):
    with pytest.raises(ValueError, match=message):
        cut(noise((30, 30, 30), 0), **options)


def test_more_errors(noise):
    with pytest.raises(ValueError, match="axis 2: expected a cell of at least 5 voxels"):
        cut(noise((30, 30, 1), 0), grid=(3, 3, 1), patch_size=5)
    with pytest.raises(
        ValueError, match=r"spatial shape \(30, 30\) under every key, found \(30, 29\) under 'the mask'"
    ):
        RandPatchGridd("image", 2, 5, mask_key="mask")({"image": noise((30, 30), 0), "mask": torch.ones(1, 30, 29)})
    with pytest.raises(ValueError, match="expected foreground in the mask"):
        RandPatchGridd("image", 2, 5, mask_key="mask")({"image": noise((30, 30), 0), "mask": torch.zeros(1, 30, 30)})
    with pytest.raises(ValueError, match="min_foreground between 0 and 1, found 2"):
        RandPatchGridd("image", 2, 5, min_foreground=2)


def test_sizes_that_fit_no_volume_are_refused_before_one_is_read():
    with pytest.raises(ValueError, match="axis 2: expected a cell of at least 8 voxels"):
        RandPatchGridd("image", grid=3, patch_size=6, crop_size=(24, 24, 20), min_gap=2)
