"""The files args_defaced.json: what a mask of the face covers is cut with the image, and left out of the loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

ROOT = Path(__file__).parents[2] / "bundles"
BUNDLES = sorted(path.parent.name for path in ROOT.glob("*/args_defaced.json"))


def settings(bundle: str) -> dict[str, Any]:
    return json.loads((ROOT / bundle / "args_defaced.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_what_the_mask_covers_is_nan_in_the_label(bundle: str, tmp_path: Path) -> None:
    shape, draw = (26, 22, 24), np.random.RandomState(0)
    face = np.zeros(shape, np.uint8)
    face[5:20, 12:, :14] = 1
    image = (draw.rand(*shape) + 1).astype(np.float32)
    image[face == 1] = 50  # tells where it is, in whatever turn the image is cut
    for name, array in (("image", image), ("label", face)):
        nib.save(nib.Nifti1Image(array, np.diag([-2.0, 2, 2, 1])), tmp_path / f"{name}.nii.gz")
    parser = ConfigParser(json.loads((ROOT / bundle / "train.json").read_text(encoding="utf-8")))
    size = 32 if bundle == "simmim3d" else 16
    changes = {**settings(bundle), "modalities": ["t1"], "crop_size": [size] * 3, "mask_block": [8] * 3}
    for key, value in changes.items():
        parser[key] = value
    chain = parser.get_parsed_content("train::preprocessing")
    for seed in range(4):
        chain.set_random_state(seed)
        names = {name: str(tmp_path / f"{name}.nii.gz") for name in ("image", "label")}
        sample = chain({**names, "channels": [0]})
        left_out = sample["label"].isnan()
        assert torch.equal(left_out, sample["image"] > 2)
        assert left_out.any()
        assert not left_out.all()
        assert torch.equal(sample["label"][~left_out], sample["image"][~left_out])


def test_masks_are_asked_for() -> None:
    assert BUNDLES == ["mae3d", "simmim3d", "spark3d"]
    assert all(settings(bundle)["exclude_key"] == "label" for bundle in BUNDLES)  # the guard asks for labels then
