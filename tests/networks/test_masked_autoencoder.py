"""Masked autoencoding: what is hidden stays hidden, and the mask that comes back is the mask that was used."""

import pytest
import torch
from unet_oracles import build, check_blanked, example

from medvol.networks import MaskedAutoencoder


def test_the_network_sees_the_fill_and_the_visible_voxels():
    check_blanked()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.uint8, torch.bool])
def test_nothing_under_the_mask_counts_whatever_type_the_mask_has(dtype):
    image, mask = example("dynunet")
    network = MaskedAutoencoder(build("dynunet"))
    other = torch.where(mask == 1, torch.full_like(image, float("nan")), image)
    given = mask.to(dtype)
    restored, same = network(image, given)
    assert same is given
    assert torch.equal(network(other, given)[0], restored)
    assert torch.equal(image, example("dynunet")[0])  # left as it was


def test_every_parameter_is_trained_and_no_sample_knows_of_another():
    image, mask = example("dynunet")
    network = MaskedAutoencoder(build("dynunet"))
    (network(image, mask)[0] - image).square().mul(mask).sum().backward()
    assert all((p.grad != 0).any() for p in network.parameters())
    network.eval()
    torch.testing.assert_close(network(image[:1], mask[:1])[0], network(image, mask)[0][:1], rtol=0, atol=1e-12)


def test_a_slice_of_depth_one_gives_the_same():
    image, mask = example("dynunet", 2)
    network = MaskedAutoencoder(build("dynunet", 2))
    assert torch.equal(network(image[..., None], mask[..., None])[0][..., 0], network(image, mask)[0])


def test_images_and_fills_that_do_not_fit_are_refused_in_a_sentence():
    network = MaskedAutoencoder(build("dynunet"))
    with pytest.raises(ValueError, match="axis Y must be a multiple of 4"):
        network(torch.zeros(1, 2, 8, 9, 8), torch.zeros(1, 1, 8, 9, 8))
    with pytest.raises(ValueError, match="fill must be a finite number; found nan"):
        MaskedAutoencoder(build("dynunet"), fill=float("nan"))
