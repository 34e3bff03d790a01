"""Channels by the data item's own index list."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medvol.transforms.modalities import SelectChannelsd


def image():
    return torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 3, 2).clone()


def test_channels_are_kept_in_the_order_asked_for():
    sample = SelectChannelsd("image")({"image": image(), "channels": [3, 0], "case": "a"})
    assert sample["image"][:, 0, 0, 0].tolist() == [3.0, 0.0]
    assert sample["image"].shape == (2, 2, 3, 2)
    assert set(sample) == {"image", "case"}


def test_identity_without_a_list_and_when_applied_twice():
    select = SelectChannelsd("image")
    assert torch.equal(select({"image": image()})["image"], image())
    once = select({"image": image(), "channels": [1, 2]})
    assert torch.equal(select(once)["image"], once["image"])


def test_metadata_survive_and_input_is_untouched():
    meta = MetaTensor(image(), affine=torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0])))
    sample = {"image": meta, "channels": torch.tensor([1])}
    out = SelectChannelsd("image")(sample)["image"]
    assert isinstance(out, MetaTensor)
    assert torch.equal(out.affine, meta.affine)
    assert "channels" in sample
    assert sample["image"].shape[0] == 4


def test_arrays_and_planes_work():
    out = SelectChannelsd("image")({"image": np.arange(6.0).reshape(3, 1, 2), "channels": [2]})["image"]
    assert out.tolist() == [[[4.0, 5.0]]]


@pytest.mark.parametrize("channels", [[4], [-1], [1, 1], []])
def test_wrong_lists_are_refused(channels):
    with pytest.raises(ValueError, match=r"distinct channel indices in 0..3 .*check the modalities"):
        SelectChannelsd("image")({"image": image(), "channels": channels})
