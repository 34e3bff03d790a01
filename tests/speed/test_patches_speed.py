"""Cutting a grid of patches against copying as many bytes, on one core."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from medvol.transforms import RandPatchGridd, RandPatchIntensityd
from medvol.transforms.grids import cut_patches

pytestmark = pytest.mark.speed
PRESET = (88, 105, 90)  # a brain at 2 mm
LAYOUTS = {"preset": (PRESET, 4, 20, 16), "128": ((128, 128, 128), 3, 42, 32)}
"""Shape of a volume, patches per axis, voxels from patch to patch, and of a patch."""


@pytest.fixture(autouse=True)
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cutting_against_a_copy(
    layout: str, in_turns: Callable, benchmark: Callable, capsys: pytest.CaptureFixture
) -> None:
    shape, grid, step, size = LAYOUTS[layout]
    image, repeats = torch.rand(4, *shape), 50 if layout == "preset" else 5
    origins = np.stack(np.meshgrid(*[np.arange(grid) * step + 3] * 3, indexing="ij"), -1).reshape(-1, 3)
    patches = cut_patches(image, origins, (size,) * 3)
    copy, cut = in_turns(
        lambda: [patches.clone() for _ in range(repeats)],
        lambda: [cut_patches(image, origins, (size,) * 3) for _ in range(repeats)],
        rounds=15,
    )
    with capsys.disabled():
        each = f"{copy / repeats * 1e3:.3f} ms"
        print(f"\ncutting {grid**3} patches of 4 x {size}^3: {cut / copy:.2f} x a copy of the output ({each})")
    benchmark(cut_patches, image, origins, (size,) * 3)
    assert cut / copy <= 3


def test_the_whole_view(benchmark: Callable) -> None:
    """Cut and change the intensity of one sample of the preset."""
    cut = RandPatchGridd("image", grid=(4, 4, 4), patch_size=(16, 16, 16), crop_size=(80, 80, 80), mask_key="mask")
    change = RandPatchIntensityd("image")
    sample = {"image": torch.rand(4, *PRESET), "mask": torch.ones(1, *PRESET)}
    benchmark(lambda: change(cut(sample)))
