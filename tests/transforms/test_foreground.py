import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medvol.transforms.foreground import ForegroundMaskd, crop_range


def test_mask_is_any_channel_of_any_image():
    a, b = torch.zeros(2, 3, 3), torch.zeros(1, 3, 3)
    a[1, 0, 0], b[0, 2, 1] = -1.0, 5.0
    mask = ForegroundMaskd(["a", "b"], "mask")({"a": a, "b": MetaTensor(b)})["mask"]
    assert type(mask) is torch.Tensor
    assert mask.dtype == torch.bool
    assert mask.shape == (1, 3, 3)
    assert mask.nonzero().tolist() == [[0, 0, 0], [0, 2, 1]]


def test_mask_of_a_padded_volume_is_its_inside(padded):
    mask = ForegroundMaskd("image")({"image": padded((8, 9, 10), 0, border=2)})["mask"]
    assert mask.sum() == 4 * 5 * 6


def test_mask_errors():
    with pytest.raises(ValueError, match="new_key that is no image, found 'image'"):
        ForegroundMaskd("image", "image")
    with pytest.raises(ValueError, match=r"spatial shape \(3, 3\), found \(3, 4\) under 'b'"):
        ForegroundMaskd(["a", "b"])({"a": torch.zeros(1, 3, 3), "b": torch.zeros(1, 3, 4)})
    with pytest.raises(KeyError):
        ForegroundMaskd("image")({"other": torch.zeros(1, 2, 2)})
    assert "mask" not in ForegroundMaskd("image", allow_missing_keys=True)({})


def test_crop_range_inside_or_covering():
    mask = np.zeros((10, 10, 10), bool)
    mask[2:9, 4:6, 0:10] = True
    assert crop_range(mask, (5, 5, 5)) == ((2, 1, 0), (4, 4, 5))  # inside; covering 4:6; anywhere
    assert crop_range(mask, (7, 10, 10)) == ((2, 0, 0), (2, 0, 0))
    mask = np.zeros((10,), bool)
    mask[9] = True
    assert crop_range(mask, (5,)) == ((5,), (5,))  # covering, but never outside the volume


def test_empty_mask_is_refused():
    with pytest.raises(ValueError, match=r"expected foreground in the mask of shape \(4, 4\), found none; drop"):
        crop_range(np.zeros((4, 4), bool), (2, 2))
