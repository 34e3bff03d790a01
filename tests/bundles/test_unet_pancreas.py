"""What is special about unet_pancreas: Hounsfield units, the cut to the body, crops around the tumor, no mirroring."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose

from medvol import bundles
from medvol.bundles import GuardError
from medvol.bundles.opening import open_bundle

ROOT = Path(__file__).parents[2] / "bundles"
SHAPE = (40, 36, 30)
TUMOR, PANCREAS = (slice(18, 21),) * 3, (slice(14, 24),) * 3


@pytest.fixture
def scan(tmp_path: Path) -> dict:
    """A body of 50 HU in air, with a pancreas of 150 HU, a tumor of -20 HU and a bone of 1,000 HU; in RAS, 1 mm."""
    image, label = np.full(SHAPE, -1000, np.int16), np.zeros(SHAPE, np.uint8)
    image[6:34, 8:30, 2:28] = 50
    image[PANCREAS], label[PANCREAS] = 150, 1
    image[TUMOR], label[TUMOR] = -20, 2
    image[30:32, 20:22, 10:20] = 1000
    for name, array in (("image", image), ("label", label)):
        nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    return {"image": [str(tmp_path / "image.nii.gz")], "label": str(tmp_path / "label.nii.gz")}


def fixed_and_random(pancreas: Path, **more: object) -> tuple[Compose, Compose]:
    """The training's transforms up to the crop, and the crop."""
    given = {"manifest": str(pancreas), "spacing": [1.0] * 3, "roi_size": [8, 8, 8], **more}
    chain = open_bundle("unet_pancreas", overrides=given).parser.get_parsed_content("train::preprocessing").transforms
    cut = next(i for i, transform in enumerate(chain) if type(transform).__name__ == "RandCropByLabelClassesd")
    return Compose(chain[:cut]), Compose(chain[cut : cut + 1])


def test_hounsfield_units_become_the_window_and_air_is_cut_off(scan: dict, pancreas: Path) -> None:
    fixed, _ = fixed_and_random(pancreas)
    sample = fixed(scan)
    image, label = sample["image"], sample["label"]
    assert image.shape == label.shape == (1, 28, 22, 26)  # the body's box
    expected = {(hu + 87) / 286 for hu in (50, 150, -20)} | {1.0}
    assert sorted(torch.unique(image).tolist()) == pytest.approx(sorted(expected), abs=1e-6)
    assert torch.equal(label == 2, torch.isclose(image, torch.tensor(67 / 286)))
    assert torch.unique(label).tolist() == [0, 1, 2]


def test_every_second_crop_is_around_the_tumor(scan: dict, pancreas: Path) -> None:
    fixed, crop = fixed_and_random(pancreas, roi_size=[1, 1, 1])  # what remains is the center
    sample = fixed(scan)
    crop.set_random_state(0)
    crop.transforms[0].cropper.num_samples = 200  # it looks for the classes once
    centers = crop(sample)
    found = np.bincount([int(one["label"].item()) for one in centers], minlength=3) / 200
    np.testing.assert_allclose(found, [0.25, 0.25, 0.5], atol=0.11)  # three standard errors
    assert all(one["image"].item() > 0 for one in centers), "a center lies in air"


def test_no_training_image_is_a_mirror_image(pancreas: Path) -> None:
    config = open_bundle("unet_pancreas", overrides={"manifest": str(pancreas)}).config
    assert config["flip_prob"] == 0
    assert config["flip_axes"] == []
    flips = [t for t in config["train"]["preprocessing"]["transforms"] if "Flip" in t["_target_"]]
    assert {flip["prob"] for flip in flips} == {"@flip_prob"}


def test_background_is_in_no_score(trained: dict[str, Path]) -> None:
    rows = (trained["unet_pancreas"] / "metrics.csv").read_text(encoding="utf-8").splitlines()
    column = rows[0].split(",").index("region")
    assert {row.split(",")[column] for row in rows[1:]} == {"pancreas", "tumor"}


def test_a_missing_manifest_is_answered_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GuardError) as refused:
        bundles.run(ROOT / "unet_pancreas", device="cpu", num_workers=0, mlflow=False, output_dir=str(tmp_path / "out"))
    text = str(refused.value.code)
    assert "msd_task07.json" in text
    assert "manifest import msd_task07 <folder>" in " ".join(text.split())
    assert "data_manifests/README.md" in text
    page = (ROOT.parent / "data_manifests" / "README.md").read_text(encoding="utf-8")
    assert "manifest import msd_task07 Task07_Pancreas" in page
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_pre_training_on_ct_feeds_it(overrides: Callable[..., dict], tmp_path: Path) -> None:
    """The args file of cpc3d: the same window, patches out of the body alone, an encoder that fits."""
    args = json.loads((ROOT / "cpc3d/args_pancreas.json").read_text(encoding="utf-8"))
    given = overrides("unet_pancreas")
    small = overrides("cpc3d", manifest=given["manifest"])
    opened = open_bundle("cpc3d", overrides={**args, **small})
    sample = opened.parser.get_parsed_content("train::dataset")[0]
    window = opened.parser.get_parsed_content("train::preprocessing").transforms[4]
    assert (window.scaler.a_min, window.scaler.a_max, window.scaler.clip) == (-87, 199, True)
    assert sample["foreground"].any()
    run = bundles.run("cpc3d", **{**args, **small})
    folder = bundles.run("unet_pancreas", **{**given, "pretrained": str(run / "model.pt")})
    assert json.loads((folder / "passport.json").read_text(encoding="utf-8"))["pretrained"]["bundle"] == "cpc3d"


@pytest.mark.slow
@pytest.mark.parametrize("corruption", ["noise", "rotation"])
def test_corrupted_test_images_are_scored_on_the_native_grid(
    corruption: str, trained: dict[str, Path], pancreas: Path
) -> None:
    weights = trained["unet_pancreas"] / "model.pt"
    given = {"weights": str(weights), "manifest": str(pancreas), "device": "cpu", "corruption": corruption}
    bundles.run("unet_pancreas", "evaluate.json", **given, severity=2)
    rows = (weights.parent / f"test-{corruption}-2" / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 2 * 4  # regions x metrics of the one case


@pytest.mark.slow
def test_a_scan_of_nothing_but_air_holds_no_pancreas(trained: dict[str, Path], pancreas: Path, tmp_path: Path) -> None:
    shutil.copytree(pancreas.parent / "c4", tmp_path / "scans" / "c4")
    (tmp_path / "scans/c4/c4_seg.nii.gz").unlink()
    file = tmp_path / "scans/c4/c4_ct.nii.gz"
    image = nib.load(file)
    nib.save(nib.Nifti1Image(np.full(image.shape, -1000, np.int16), image.affine), file)
    given = {"weights": str(trained["unet_pancreas"] / "model.pt"), "device": "cpu", "manifest": str(pancreas)}
    out = tmp_path / "out"
    bundles.run("unet_pancreas", "inference.json", **given, input_dir=str(tmp_path / "scans"), results_dir=str(out))
    (written,) = out.glob("*.nii.gz")
    assert nib.load(written).shape == image.shape
    assert not np.asarray(nib.load(written).dataobj).any()
