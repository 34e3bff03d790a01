from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, LoadImage, Orientation, Spacing

from medvol.bundles.checks.volume_rules import resampled_size, sizes_rule
from medvol.bundles.opening import open_bundle


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 0.7)])
def test_the_size_is_never_smaller_than_what_the_transforms_make(axes: tuple, spacing: tuple, tmp_path: Path) -> None:
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, (row, zoom) in enumerate(zip(axes, (1.0, -2.0, 0.5), strict=True)):
        affine[row, column] = zoom
    nib.save(nib.Nifti1Image(np.zeros((10, 12, 30), np.float32), affine), tmp_path / "a.nii.gz")
    chain = Compose([
        LoadImage(image_only=True, ensure_channel_first=True),
        Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))), Spacing(spacing),
    ])  # fmt: skip
    made = torch.tensor(chain(tmp_path / "a.nii.gz").shape[1:])
    told = torch.tensor(resampled_size({"image": [str(tmp_path / "a.nii.gz")]}, spacing))
    assert (told - made).min() >= 0, "never smaller: a volume that fits is never refused"
    assert (told - made).max() <= 3, "of 7 to 35 voxels"


def test_a_header_that_cannot_tell(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"damaged")
    assert resampled_size({"image": str(tmp_path / "a.nii.gz")}, (1, 1, 1)) is None
    assert resampled_size({"image": "chest.png"}, (1, 1)) is None


def test_only_a_crop_that_is_too_large_is_a_problem(dataset: Path) -> None:
    given = {"manifest": str(dataset), "spacing": [1.0, 1.0, 1.0]}
    assert list(sizes_rule(open_bundle("cpc3d", overrides={**given, "crop_size": [28, 30, 26]}))) == []
    (problem,) = sizes_rule(open_bundle("cpc3d", overrides={**given, "crop_size": [28, 30, 28]}))
    assert "29 x 31 x 27 voxels in c0" in problem.found
    assert "too few along axis 2 (z) above all" in problem.found
    assert "one patch along that axis, --grid '[4,4,1]' with a --crop_size that fits" in problem.remedy
    grid = {"grid": [3, 3, 1], "crop_size": [28, 30, 28]}
    (problem,) = sizes_rule(open_bundle("cpc3d", overrides={**given, **grid}))
    assert problem.remedy.endswith("or a finer --spacing"), "there is one patch already"
    assert list(sizes_rule(open_bundle("unet_brats", overrides=given))) == [], "it pads, and has no crop_size"
