"""Which token holds which voxel, on grids and tokens of unequal axes."""

from __future__ import annotations

import itertools

import pytest
import torch
from transformer_oracles import spread

from medvol.networks.token_grid import (
    TokenGrid,
    as_slices,
    as_volumes,
    come_as_volumes,
    hidden_tokens,
    to_patches,
    to_voxels,
)


def test_tokens_lie_on_their_grid() -> None:
    tokens = TokenGrid((4, 2, 3), 24)
    maps = tokens.to_map(torch.arange(48.0).reshape(1, 24, 2), (8, 6, 12))
    assert maps.shape == (1, 2, 2, 3, 4)
    for n, place in enumerate(itertools.product(range(2), range(3), range(4))):
        assert maps[(0, slice(None), *place)].tolist() == [2 * n, 2 * n + 1]
    assert tokens.of((9, 7, 14)) == (2, 3, 4)


def test_an_image_without_positions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"24 tokens of 4 x 2 x 3 voxels.*found 2 x 3 x 5 in an image of 8 x 6 x 15"):
        TokenGrid((4, 2, 3), 24).of((8, 6, 15))
    assert TokenGrid((4, 4), 6).of((12, 8)) == (3, 2)  # the number is all that a ViT keeps
    with pytest.raises(ValueError, match=r"must have 2 x 3 tokens.*found 3 x 2"):
        TokenGrid((4, 4), 6, (2, 3)).of((12, 8))


def test_a_mask_of_voxels_is_read_token_by_token() -> None:
    hidden = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    mask, image = spread(hidden), torch.zeros(2, 5, 8, 6, 12)
    assert torch.equal(hidden_tokens(mask, image, (4, 2, 3)), hidden)
    assert torch.equal(hidden_tokens(mask.bool(), image, (4, 2, 3)), hidden)
    assert torch.equal(hidden_tokens(mask, image, (2, 1, 3)), hidden.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_masks_that_do_not_fit_are_refused() -> None:
    image, mask = torch.zeros(2, 1, 4, 6), torch.zeros(2, 1, 4, 6)
    with pytest.raises(ValueError, match=r"shape \(2, 1, 4, 6\).*found \(2, 1, 6, 4\)"):
        hidden_tokens(torch.zeros(2, 1, 6, 4), image, (2, 3))
    with pytest.raises(ValueError, match=r"whole tokens of 2 x 4 voxels; found 4 x 6"):
        hidden_tokens(mask, image, (2, 4))
    for part in ((0, 0, 1, 1), (1, 0, 0, 0), (1, 0, 3, 5)):
        cut = mask.clone()
        cut[part] = 1
        with pytest.raises(ValueError, match="hidden in part; give RandBlockMaskd blocks"):
            hidden_tokens(cut, image, (2, 3))
    with pytest.raises(ValueError, match=r"found 0\.5"):
        hidden_tokens(mask + 0.5, image, (2, 3))
    with pytest.raises(ValueError, match="visible voxel in every sample"):
        hidden_tokens(torch.stack([mask[0], mask[1] + 1]), image, (2, 3))


def test_features_become_voxels() -> None:
    size, grid = (4, 2, 3), (2, 3, 4)
    maps = torch.randn(2, 2 * 24, *grid)
    found = to_voxels(maps, size)
    assert found.shape == (2, 2, 8, 6, 12)
    for c, x, y, z in itertools.product(range(2), range(8), range(6), range(12)):
        feature = ((c * 4 + x % 4) * 2 + y % 2) * 3 + z % 3
        assert torch.equal(found[:, c, x, y, z], maps[:, feature, x // 4, y // 2, z // 3])


@pytest.mark.parametrize(("spatial", "size"), [((8, 6, 12), (4, 2, 3)), ((6, 4), (2, 4))])
def test_voxels_become_patches_and_back(spatial: tuple[int, ...], size: tuple[int, ...]) -> None:
    image = torch.randn(2, 3, *spatial)
    patches = to_patches(image, size)
    tokens = TokenGrid(size, patches.shape[1])
    assert torch.equal(to_voxels(tokens.to_map(patches, spatial), size), image)
    convolution = (torch.nn.Conv2d if len(size) == 2 else torch.nn.Conv3d)(3, 5, size, size)
    linear = torch.nn.functional.linear(patches, convolution.weight.flatten(1), convolution.bias)
    torch.testing.assert_close(tokens.to_map(linear, spatial), convolution(image))


def test_volumes_are_slices_and_back() -> None:
    volume = torch.randn(2, 3, 4, 5, 6)
    slices = as_slices(volume)
    assert torch.equal(slices[7], volume[1, ..., 1])
    assert torch.equal(as_volumes(slices, 2), volume)


@pytest.mark.parametrize(
    ("shape", "axes", "training", "expected"),
    [
        ((2, 1, 8, 6, 3), 2, False, True),
        ((2, 1, 8, 6, 3), 2, True, False),
        ((2, 1, 8, 6, 1), 2, True, True),
        ((2, 1, 8, 6, 3), 3, False, False),
        ((2, 1, 8, 6), 2, False, False),
    ],
)
def test_who_is_taken_slice_by_slice(shape: tuple[int, ...], axes: int, training: bool, expected: bool) -> None:
    assert come_as_volumes(torch.zeros(shape), axes, training) == expected
