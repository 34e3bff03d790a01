"""Cutting a grid of patches against copying as many bytes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from medvol.transforms import RandPatchGridd, RandPatchIntensityd
from medvol.transforms.grids import cut_patches

pytestmark = pytest.mark.speed


def test_cutting_against_a_copy(in_turns: Callable, benchmark: Callable, capsys: pytest.CaptureFixture) -> None:
    image = torch.rand(4, 88, 105, 90)
    origins = np.stack(np.meshgrid(*[np.arange(4) * 20 + 3] * 3, indexing="ij"), -1).reshape(-1, 3)
    patches = cut_patches(image, origins, (16, 16, 16))
    copy, cut = in_turns(
        lambda: [patches.clone() for _ in range(50)],
        lambda: [cut_patches(image, origins, (16, 16, 16)) for _ in range(50)],
        rounds=15,
    )
    with capsys.disabled():
        print(f"\ncutting 64 patches of 4 x 16^3: {cut / copy:.2f} x a copy of the output ({copy * 20:.3f} ms)")
    benchmark(cut_patches, image, origins, (16, 16, 16))
    assert cut / copy <= 3


def test_the_whole_view(benchmark: Callable) -> None:
    """Cut and change the intensity of one sample of the preset."""
    cut = RandPatchGridd("image", grid=(4, 4, 4), patch_size=(16, 16, 16), crop_size=(80, 80, 80), mask_key="mask")
    change = RandPatchIntensityd("image")
    sample = {"image": torch.rand(4, 88, 105, 90), "mask": torch.ones(1, 88, 105, 90)}
    benchmark(lambda: change(cut(sample)))
