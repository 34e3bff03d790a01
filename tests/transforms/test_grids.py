import numpy as np
import pytest
import torch

from medvol.transforms.grids import cell_layout, cut_patches, per_axis, stride_layout


@pytest.mark.parametrize("shape", [(9, 8, 7), (9, 8, 1), (9, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int16, torch.bool])
def test_cut_equals_slicing(shape, dtype):
    image = (torch.randn(3, *shape) * 10).to(dtype)
    patch = tuple(min(4, size) for size in shape)
    starts = np.stack(
        [np.random.RandomState(a).randint(0, s - p + 1, 5) for a, (s, p) in enumerate(zip(shape, patch, strict=True))],
        1,
    )
    cut = cut_patches(image, starts, patch)
    expected = [image[(slice(None), *(slice(a, a + p) for a, p in zip(start, patch, strict=True)))] for start in starts]
    assert cut.dtype == dtype
    assert torch.equal(cut, torch.stack(expected))


def test_cut_of_a_permuted_image_and_fresh_memory():
    image = torch.randn(2, 6, 7, 8).permute(0, 3, 1, 2)
    cut = cut_patches(image, np.array([[1, 2, 3]]), (4, 3, 2))
    assert torch.equal(cut[0], image[:, 1:5, 2:5, 3:5])
    before = image.clone()
    cut.zero_()
    assert torch.equal(image, before)


def test_layouts():
    assert cell_layout((80, 83), (4, 4), (16, 16), (2, 2), True).step == (20, 20)
    odd = cell_layout((60,), (3,), (12,), (3,), True)
    assert (odd.low, odd.high) == ((2,), (6,))  # ceil(3 / 2) on both sides
    assert cell_layout((60,), (3,), (12,), (3,), False)[1:] == ((4,), (4,))
    assert cell_layout((40, 1), (1, 1), (16, 1), (2, 2), True)[1:] == ((0, 0), (24, 0))  # no neighbor, no gap
    centered = cell_layout((21, 16), (1, 1), (16, 16), (2, 2), False)  # a patch may fill a single cell
    assert centered == ((21, 16), (2, 0), (2, 0))
    assert stride_layout((96,), (5,), (32,), (16,)).low == (0,)
    assert stride_layout((101, 40), (5, 1), (32, 30), (16, 7)) == ((16, 7), (2, 5), (2, 5))
    assert all(isinstance(number, int) for part in centered for number in part)


def test_one_number_or_one_per_axis():
    assert per_axis("grid", 4, 3) == (4, 4, 4)
    assert per_axis("gap", [0, np.int64(2)], 2, least=0) == (0, 2)
    assert per_axis("grid", (1, 2), 2) == (1, 2)


@pytest.mark.parametrize("short", range(4))
def test_another_number_of_numbers_than_axes_is_refused(short):
    sizes = [(80, 80), (4, 4), (16, 16), (2, 2)]
    sizes[short] = sizes[short][:1]
    with pytest.raises(ValueError, match="argument"):
        cell_layout(*sizes, jitter=True)
    with pytest.raises(ValueError, match="argument"):
        stride_layout(*sizes)


def test_errors_name_the_axis_and_the_remedy():
    with pytest.raises(ValueError, match=r"axis 1: .* at least 18 voxels .* found 17 .* use a smaller patch_size"):
        cell_layout((80, 68), (4, 4), (16, 16), (2, 2), True)
    with pytest.raises(ValueError, match=r"axis 0: .* at least 18 voxels"):
        cell_layout((34,), (2,), (16,), (1,), True)  # a gap of 1 takes one voxel on each side
    cell_layout((34,), (2,), (16,), (1,), False)
    with pytest.raises(ValueError, match=r"axis 0: expected at least 96 voxels .* found 95"):
        stride_layout((95,), (5,), (32,), (16,))
    with pytest.raises(ValueError, match=r"grid with one number for each of the 3 spatial axes, found \[4, 4\]"):
        per_axis("grid", (4, 4), 3)
    with pytest.raises(ValueError, match=r"grid of at least 1, found 0 on axis 1"):
        per_axis("grid", (4, 0), 2)
