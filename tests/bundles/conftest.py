"""A data set of five tiny cases, and the overrides that make the real bundles run on it within a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medvol import bundles

MODALITIES = ["flair", "t1", "t1ce", "t2"]


BRATS = {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 4}
HIPPOCAMPUS = {"background": 0, "anterior": 1, "posterior": 2}


def write_dataset(
    folder: Path,
    name: str = "tiny",
    seed: int = 0,
    shape: tuple[int, ...] = (28, 30, 26),
    modalities: Sequence[str] = MODALITIES,
    label_map: Mapping[str, int] = BRATS,
) -> Path:
    """Write five cases with bright nested balls, 3 training, 1 validation, 1 test; return the manifest."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    distance = np.linalg.norm(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")) - 13.0, axis=0)
    numbers = [label_map.get("enhancing", 1), list(label_map.values())[1], list(label_map.values())[2]]
    label = np.select([distance < 3, distance < 5, distance < 7], numbers, 0).astype(np.uint8)
    affine = np.diag([-1.0, 1.0, 1.0, 1.0])  # not RAS, so that the inversion has something to do
    items = []
    for k in range(5):
        files = []
        for m, modality in enumerate(modalities):
            image = (100 + 40 * (label == numbers[m % 3]) + 8 * rng.standard_normal(shape)).astype(np.float32)
            image[distance > 14] = 0
            files.append(f"c{k}/c{k}_{modality}.nii.gz")
            (folder / f"c{k}").mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(image, affine), folder / files[-1])
        nib.save(nib.Nifti1Image(label, affine), folder / f"c{k}" / f"c{k}_seg.nii.gz")
        items.append({"image": files, "label": f"c{k}/c{k}_seg.nii.gz", "patient": f"p{k}"})
    manifest = {
        "name": name,
        "modalities": list(modalities),
        "label_map": dict(label_map),
        "synthetic": True,
        "root": ".",
        "training": items[:3],
        "validation": items[3:4],
        "test": items[4:],
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest))
    return path


CPC = {
    "steps": 2, "steps_per_epoch": 2, "eval_every_examples": 4, "warmup_steps": 1, "filters": [8, 8, 8],
    "spacing": [1.0, 1.0, 1.0], "crop_size": [24, 24, 24], "grid": [3, 3, 3], "patch_size": [6, 6, 6],
    "num_workers": 0, "mlflow": False, "precision": "fp32", "device": "cpu",
}  # fmt: skip
UNET = {
    "steps": 2, "steps_per_epoch": 2, "eval_every_examples": 4, "warmup_steps": 1, "freeze_steps": 1, "filters": [8] * 3,
    "spacing": [1.0, 1.0, 1.0], "roi_size": [16, 16, 16], "num_workers": 0, "mlflow": False, "precision": "fp32",
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Path]:
    """``make_dataset(folder, name=, seed=, shape=)`` writes a data set and returns its manifest."""
    return write_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the tiny data set."""
    return write_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def one_channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a data set with one modality and the labels of the hippocampus."""
    folder = tmp_path_factory.mktemp("one")
    return write_dataset(folder, modalities=["t1"], label_map=HIPPOCAMPUS)


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
