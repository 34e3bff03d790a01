"""A trained network is given what it was trained on, or its user is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from medvol.bundles.checks.intensities import intensity_problems
from medvol.bundles.opening import OpenBundle
from medvol.passport import passport_path

LOAD = {"_target_": "monai.transforms.LoadImaged", "keys": ["image"]}
Z_SCORE = {"_target_": "monai.transforms.NormalizeIntensityd", "keys": ["image"], "nonzero": True}
WINDOW = {"_target_": "monai.transforms.ScaleIntensityRanged", "keys": "image", "a_min": -87, "a_max": 199}
PAD = {"_target_": "monai.transforms.SpatialPadd", "keys": ["image"], "spatial_size": [8, 8, 8]}
NOISE = {"_target_": "monai.transforms.RandGaussianNoised", "keys": ["image"]}


def problems(folder: Path, trained: Any, given: list[dict], original: list[dict] | None = None) -> list:
    torch.save({}, folder / "model.pt")
    record = {} if trained is None else {"preprocessing": trained}
    passport_path(folder / "model.pt").write_text(json.dumps(record), encoding="utf-8")
    config, file = (
        {"weights": str(folder / "model.pt"), "preprocessing": chain} for chain in (given, original or given)
    )
    return list(intensity_problems(OpenBundle(folder, Path("inference.json"), file, ConfigParser(config))))


def test_the_same_is_let_through_however_it_is_written(tmp_path: Path) -> None:
    explicit = {**Z_SCORE, "keys": ["image", "label"], "channel_wise": False, "allow_missing_keys": True}
    assert problems(tmp_path, [LOAD, Z_SCORE, PAD], [LOAD, explicit]) == []
    nested = {"_target_": "monai.transforms.Compose", "transforms": [Z_SCORE, NOISE]}
    assert problems(tmp_path, [LOAD, Z_SCORE], [LOAD, nested]) == []
    assert problems(tmp_path, [LOAD], [LOAD, {**Z_SCORE, "_disabled_": True}]) == []


@pytest.mark.parametrize(
    ("trained", "given", "found"),
    [
        ([LOAD, WINDOW], [LOAD, Z_SCORE], "NormalizeIntensityd(nonzero=True)"),
        ([Z_SCORE], [{**Z_SCORE, "nonzero": False}], "nonzero=False"),
        ([Z_SCORE], [LOAD], "as in the files"),
        ([WINDOW, Z_SCORE], [Z_SCORE, WINDOW], "a_max=199"),
        ([WINDOW], [{**WINDOW, "a_min": -1000}], "a_min=-1000"),
    ],
)
def test_another_is_an_error(tmp_path: Path, trained: list, given: list, found: str) -> None:
    (problem,) = problems(tmp_path, trained, given)
    assert problem.state == "error"
    assert problem.expected.startswith("intensities scaled as in the training of the weights: ")
    assert found in problem.found
    assert "put the transforms of the passport's 'preprocessing' into that of inference.json" in problem.remedy


def test_files_that_may_fit_are_named(tmp_path: Path) -> None:
    (tmp_path / "inference_args_pancreas.json").write_text("{}", encoding="utf-8")
    (problem,) = problems(tmp_path, [WINDOW], [Z_SCORE])
    assert f"{tmp_path.name}/inference_args_pancreas.json), or put" in problem.remedy


def test_who_changed_the_chain_is_warned_only(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, [WINDOW], [LOAD, Z_SCORE], original=[Z_SCORE])
    assert problem.state == "warning"


def test_without_a_record_nothing_is_known(tmp_path: Path) -> None:
    assert problems(tmp_path, None, [Z_SCORE]) == []
    config = {"weights": None, "preprocessing": [Z_SCORE]}
    assert list(intensity_problems(OpenBundle(tmp_path, Path("inference.json"), config, ConfigParser(config)))) == []
    config = {"pretrained": "x", "steps": 3}
    assert list(intensity_problems(OpenBundle(tmp_path, Path("train.json"), config, ConfigParser(config)))) == []
