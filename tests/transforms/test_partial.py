import re

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandCropByPosNegLabeld, RandSpatialCropd

from medvol.data.chunked import open_chunks, pack
from medvol.transforms import RandPatchGridd, RandReadCropByPosNegLabeld, RandReadCropd
from medvol.transforms.partial import is_chunked, with_whole


class Counting:
    """A chunked array that counts the voxels it gives away."""

    def __init__(self, tensor):
        self._array = open_chunks(pack(tensor, 4))
        self.shape, self.ndim, self.read = self._array.shape, self._array.ndim, 0

    def __getitem__(self, index):
        part = self._array[index]
        self.read += part.numel()
        return part

    def whole(self):
        return self[...]


def sample(shape=(9, 12, 10), channels=2):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((channels, *shape), generator=generator)
    label = (torch.rand((1, *shape), generator=generator) > 0.8).to(torch.uint8)
    return {"image": image, "label": label, "mask": image[:1] > 0.3, "patient": 3}


def packed(data, keys):
    return {key: Counting(value) if key in keys else value for key, value in data.items()}


def same(one, other):
    assert type(one) is type(other)
    if isinstance(one, list):
        assert len(one) == len(other)
        return all(map(same, one, other))
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, torch.Tensor):
            assert type(value) is type(other[key])
            assert value.dtype is other[key].dtype
            assert torch.equal(value, other[key]), key
        else:
            assert value == other[key]
    return True


CROPS = [
    {"roi_size": (4, 5, 3)},
    {"roi_size": 4, "random_center": False},
    {"roi_size": 2, "max_roi_size": (6, 7, 8), "random_size": True},
    {"roi_size": (20, 4, -1)},  # larger than the image, and all of an axis
    {"roi_size": 3, "random_size": True, "random_center": False},
]


@pytest.mark.parametrize("options", CROPS)
@pytest.mark.parametrize("chunked", [(), ("image",), ("image", "label"), ("label", "mask")])
def test_crops_are_those_of_monai(options, chunked):
    own, monai = RandReadCropd(["image", "label"], **options), RandSpatialCropd(["image", "label"], **options)
    for seed in range(3):
        own.set_random_state(seed), monai.set_random_state(seed)
        same(own(packed(sample(), chunked)), monai(sample()))


WEIGHTS = [
    {"pos": 2, "neg": 1},
    {"num_samples": 3, "image_key": "image", "image_threshold": 0.5},
    {"pos": 0, "neg": 1},
]


@pytest.mark.parametrize("options", WEIGHTS)
@pytest.mark.parametrize("chunked", [(), ("image",), ("image", "label", "mask")])
def test_crops_around_labels_are_those_of_monai(options, chunked):
    settings = {"keys": ["image", "label"], "label_key": "label", "spatial_size": (4, 5, 3), **options}
    own, monai = RandReadCropByPosNegLabeld(**settings), RandCropByPosNegLabeld(**settings)
    for seed in range(3):
        own.set_random_state(seed), monai.set_random_state(seed)
        same(own(packed(sample(), chunked)), monai(sample()))


def test_indices_found_before_and_small_images():
    settings = {"label_key": "label", "spatial_size": (20, 5, 3), "allow_smaller": True}
    settings |= {"fg_indices_key": "fg", "bg_indices_key": "bg"}
    extra = {"fg": torch.tensor([5, 99]), "bg": torch.tensor([7])}
    own, monai = RandReadCropByPosNegLabeld("image", **settings), RandCropByPosNegLabeld("image", **settings)
    for seed in range(3):
        own.set_random_state(seed), monai.set_random_state(seed)
        same(own({**packed(sample(), ("image",)), **extra}), monai({**sample(), **extra}))


def test_of_tensors_the_metadata_are_those_of_monai():
    data = sample()
    data["image"] = MetaTensor(data["image"], affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))
    for own, monai in (
        (RandReadCropd("image", 4), RandSpatialCropd("image", 4)),
        (RandReadCropByPosNegLabeld("image", "label", 4), RandCropByPosNegLabeld("image", "label", 4)),
    ):
        one, other = own.set_random_state(3)(data), monai.set_random_state(3)(data)
        one, other = (one[0], other[0]) if isinstance(one, list) else (one, other)
        assert torch.equal(one["image"].affine, other["image"].affine)
        assert one["image"].affine[:3, 3].sum() > 0
        # One names the object that made it: everything but that number.
        records = [re.sub(r"id: \d+|'id': \d+", "", str(found["image"].applied_operations)) for found in (one, other)]
        assert records[0].replace(type(own.cropper).__name__, type(monai.cropper).__name__) == records[1]


def test_only_the_crop_is_read():
    data = packed(sample(), ("image", "label"))
    RandReadCropd("image", 4)(data)
    assert data["image"].read == 2 * 4**3
    assert data["label"].read == data["label"].shape.numel()  # not among the keys: the next transform needs a tensor
    data = packed(sample(), ("image", "label"))
    RandReadCropByPosNegLabeld(["image", "label"], "label", 4, num_samples=2)(data)
    assert data["image"].read == 2 * 2 * 4**3
    data = packed(sample(), ("image",))
    RandPatchGridd("image", 2, 2, crop_size=8, min_gap=0)(data)
    assert data["image"].read == 2 * 8**3


def test_a_partner_waits_for_a_crop_of_its_own():
    data = packed(
        {**sample(), "partner_image": sample()["image"], "other": sample()["image"]}, ("partner_image", "other")
    )
    partner, other = data["partner_image"], data["other"]
    both = Compose([RandReadCropd("image", 4), RandReadCropd("partner_image", 3)]).set_random_state(0)
    found = both(data)
    assert found["partner_image"].shape == (2, 3, 3, 3)
    assert partner.read == 2 * 3**3
    assert torch.equal(found["other"], sample()["image"])  # whoever comes next may be a transform that needs a tensor
    assert other.read == other.shape.numel()


def test_lazy_crops_read_all_and_stay_right():
    for lazy in (Compose([RandReadCropd("image", 4)], lazy=True), RandReadCropd("image", 4, lazy=True)):
        data = packed(sample(), ("image",))
        found = lazy.set_random_state(0)(data)["image"]
        assert data["image"].read == data["image"].shape.numel()
        assert found.peek_pending_shape() == (4, 4, 4) if found.pending_operations else found.shape == (2, 4, 4, 4)


@pytest.mark.parametrize(
    "options",
    [
        {"grid": 2, "patch_size": 2, "crop_size": 8, "min_gap": 1},
        {"grid": (2, 3, 1), "patch_size": (2, 3, 4), "min_gap": 0},
        {"grid": 2, "patch_size": 4, "stride": 2},
        {"grid": 2, "patch_size": 2, "crop_size": 8, "min_gap": 1, "mask_key": "mask"},
    ],
)
def test_patches_of_chunks_are_those_of_tensors(options):
    for keys in ("image", ["image", "mask"]):
        cut = RandPatchGridd(keys, **options)
        for seed in range(3):
            one = cut.set_random_state(seed)(packed(sample(), ("image", "mask", "label")))
            other = cut.set_random_state(seed)(sample())
            same(one, other)


def test_images_of_two_axes():
    data = {"image": torch.rand(1, 20, 30)}
    one = RandReadCropd("image", (5, 6)).set_random_state(1)(packed(data, ("image",)))
    same(one, RandSpatialCropd("image", (5, 6)).set_random_state(1)(data))


def test_who_reads_parts_says_so():
    for transform in (RandReadCropd, RandReadCropByPosNegLabeld, RandPatchGridd):
        assert transform.reads_parts is True
    assert not hasattr(RandSpatialCropd, "reads_parts")


def test_chunked_or_not():
    array = open_chunks(pack(torch.ones(1, 2, 2)))
    assert is_chunked(array)
    assert not any(map(is_chunked, (torch.ones(1), MetaTensor(torch.ones(1)), [1], "text", {"whole": 1}, None)))
    assert with_whole({"a": array, "b": array}, ["b"])["b"] is array
    assert torch.equal(with_whole({"a": array})["a"], torch.ones(1, 2, 2))


def test_monai_refuses_what_it_refused():
    with pytest.raises(ValueError, match="nonnegative"):
        RandReadCropByPosNegLabeld("image", "label", 4, pos=-1)
    with pytest.raises(ValueError, match="larger"):
        RandReadCropd("image", 9, max_roi_size=4, random_size=True)(packed(sample(), ("image",)))
    with pytest.raises(ValueError, match="larger"):
        RandReadCropByPosNegLabeld("image", "label", 50)(packed(sample(), ("image",)))
