"""The bundles on real images: they must read them, respect their label numbers, and write back on their grids."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser

from medvol import bundles

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("MEDVOL_TEST_DATA" not in os.environ, reason="MEDVOL_TEST_DATA names no folder with real data"),
]
ROOT = Path(__file__).parents[2]
SHORT = {"steps": 4, "steps_per_epoch": 2, "num_workers": 0, "mlflow": False, "device": "cpu", "freeze_steps": 1}


def test_brats_2013_is_trained_evaluated_and_inferred(tmp_path: Path) -> None:
    """Two modalities by name out of a 4D file, and the label map of 2013, where 3 is non-enhancing and 4 enhancing."""
    data = Path(os.environ["MEDVOL_TEST_DATA"]) / "brats2013_2mm"
    same = {"manifest": "brats2013_2mm", "dataset_dir": str(data)}
    folder = bundles.run(
        "unet_brats", **SHORT, **same, modalities=["t1ce", "flair"], output_dir=str(tmp_path),
        cache_dir=str(tmp_path / "c"), filters=[8, 8, 8], eval_every_examples=None,
    )  # fmt: skip
    weights = str(folder / "model.pt")
    bundles.run("unet_brats", "evaluate.json", weights=weights, section="validation", **same)
    scores = pd.read_csv(folder / "validation" / "metrics.csv")
    assert len(scores) == 2 * 3 * 4, "two cases, three regions, four metrics"
    assert scores.value.notna().all()
    (tmp_path / "in").mkdir()
    source = next((data / "imagesTr").glob("*pat0003*"))
    pair = nib.load(source)
    two = nib.Nifti1Image(np.asarray(pair.dataobj)[..., ::-1], pair.affine)  # the folder's file: t1ce, then flair
    nib.save(two, tmp_path / "in" / "case.nii.gz")
    bundles.run(
        "unet_brats",
        "inference.json",
        weights=weights,
        input_dir=str(tmp_path / "in"),
        results_dir=str(tmp_path / "out"),
    )
    predicted = nib.load(tmp_path / "out" / "case.nii.gz")
    evaluated = nib.load(next((folder / "validation").glob("*pat0003*.nii.gz")))
    assert predicted.shape == pair.shape[:3]
    np.testing.assert_allclose(predicted.affine, pair.affine, atol=1e-5)
    assert set(np.unique(predicted.dataobj)) <= {0, 1, 2, 3, 4}
    assert np.array_equal(predicted.dataobj, evaluated.dataobj), "inference sees what the evaluation saw"


def test_hippocampus_is_pretrained_and_finetuned(tmp_path: Path) -> None:
    data = str(Path(os.environ["MEDVOL_TEST_DATA"]) / "hippocampus")
    sizes = ConfigParser.load_config_file(ROOT / "bundles" / "cpc3d" / "args_hippocampus.json")
    short = {k: v for k, v in SHORT.items() if k != "freeze_steps"}
    places = {"dataset_dir": data, "cache_dir": str(tmp_path / "c")}
    encoder = bundles.run(
        "cpc3d", **{**sizes, **short, "warmup_steps": 1}, **places, num_patients=4, output_dir=str(tmp_path / "cpc")
    )
    start = str(encoder / "model.pt")
    folder = bundles.run(
        "unet_hippocampus", **SHORT, **places, pretrained=start, num_patients=4, output_dir=str(tmp_path / "u")
    )
    before, after = torch.load(start, weights_only=True), torch.load(folder / "model.pt", weights_only=True)
    assert before.keys() < after.keys()
    scores = pd.read_csv(folder / "metrics.csv")
    assert scores.patient.nunique() == 20
    assert set(scores.region) == {"anterior", "posterior", "whole"}


PRETEXT = sorted(
    (file.parent.name, file.stem.removeprefix("args_"))
    for data in ("hippocampus", "kermany")
    for file in (ROOT / "bundles").glob(f"*/args_{data}.json")
)


@pytest.mark.parametrize(("bundle", "data"), PRETEXT)
def test_every_pretext_task_takes_real_images(tmp_path: Path, bundle: str, data: str) -> None:
    """Two steps with the shipped sizes: crops fit the volumes, and nearly all samples count."""
    sizes = ConfigParser.load_config_file(ROOT / "bundles" / bundle / f"args_{data}.json")
    short = {k: v for k, v in SHORT.items() if k != "freeze_steps"} | {"steps": 2, "warmup_steps": 1}
    folder = {"hippocampus": "hippocampus", "kermany": "cxr"}[data]
    places = {"dataset_dir": str(Path(os.environ["MEDVOL_TEST_DATA"]) / folder), "cache_dir": str(tmp_path / "c")}
    few = {"eval_every_examples": None, "batch_size": 4, "filters": [8, 16, 16], "num_patients": 8}
    run = bundles.run(bundle, **{**sizes, **short, **few}, **places, output_dir=str(tmp_path / "runs"))
    metrics = json.loads((run / "passport.json").read_text(encoding="utf-8"))["metrics"]
    assert metrics["loss"] > 0
    assert metrics.get("counted", 1) > 0.9
