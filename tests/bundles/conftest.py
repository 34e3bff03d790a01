"""A data set of five tiny cases, and the overrides that make the real bundles run on it within a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medvol import bundles

CPC = {
    "steps": 2, "steps_per_epoch": 2, "eval_every_examples": 4, "warmup_steps": 1, "filters": [8, 8, 8],
    "spacing": [1.0, 1.0, 1.0], "crop_size": [24, 24, 24], "grid": [3, 3, 3], "patch_size": [6, 6, 6],
    "num_workers": 0, "mlflow": False, "precision": "fp32", "device": "cpu",
}  # fmt: skip
UNET = {
    "steps": 2, "steps_per_epoch": 2, "eval_every_examples": 4, "warmup_steps": 1, "freeze_steps": 1,
    "filters": [8, 8, 8],
    "spacing": [1.0, 1.0, 1.0], "roi_size": [16, 16, 16], "num_workers": 0, "mlflow": False, "precision": "fp32",
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="session")
def dataset(write_tiny_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the tiny data set."""
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def one_channel(write_tiny_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a data set with one modality and the labels of the hippocampus."""
    labels = {"background": 0, "anterior": 1, "posterior": 2}
    return write_tiny_dataset(tmp_path_factory.mktemp("one"), modalities=["t1"], label_map=labels)


def small(bundle: str, folder: Path, dataset: Path, one_channel: Path, **more: object) -> dict:
    """Everything that a bundle needs to run small, into ``folder``."""
    sizes = CPC if bundle == "cpc3d" else UNET
    places = {"output_dir": str(folder / bundle), "cache_dir": str(folder / "cache")}
    manifest = str(one_channel if bundle == "unet_hippocampus" else dataset)
    return {**sizes, **places, "manifest": manifest, **more}


@pytest.fixture
def overrides(dataset: Path, one_channel: Path, tmp_path: Path) -> Callable[..., dict]:
    """``overrides("cpc3d", **more)``: everything that a bundle needs to run small, into ``tmp_path``."""

    def build(bundle: str, **more: object) -> dict:
        return small(bundle, tmp_path, dataset, one_channel, **more)

    return build


@pytest.fixture(scope="session")
def trained(dataset: Path, one_channel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished two-step run of every bundle; ``unet_brats`` starts from the weights of ``cpc3d``."""
    folder = tmp_path_factory.mktemp("trained")
    runs = {"cpc3d": bundles.run("cpc3d", **small("cpc3d", folder, dataset, one_channel))}
    for bundle, start in (("unet_brats", str(runs["cpc3d"] / "model.pt")), ("unet_hippocampus", None)):
        runs[bundle] = bundles.run(bundle, **small(bundle, folder, dataset, one_channel, pretrained=start))
    return runs
