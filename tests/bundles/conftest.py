"""A data set of five tiny cases, and the overrides that make the real bundles run on it within a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fundus import write_fundus

from medvol import bundles
from medvol.data.cards import import_card
from medvol.data.manifest import write_manifest
from medvol.data.manifest_splits import split_manifest

ROOT = Path(__file__).parents[2] / "bundles"
BUNDLES = sorted(p.parent.name for p in ROOT.glob("*/train.json"))
FIRST = "cpc3d"  # where the others start from, if they know its modalities

SMALL = {
    "steps": 2, "steps_per_epoch": 2, "eval_every_examples": 4, "warmup_steps": 1, "freeze_steps": 1,
    "filters": [8, 8, 8], "spacing": [1.0, 1.0, 1.0],
    "crop_size": [24, 24, 24], "grid": [3, 3, 3], "patch_size": [6, 6, 6], "mask_block": [8, 8, 8],
    "roi_size": [16, 16, 16], "image_size": [32, 32],
    "num_workers": 0, "mlflow": False, "precision": "fp32", "device": "cpu",
}  # fmt: skip
"""What makes a bundle small; each takes the keys that it has."""


@pytest.fixture(scope="session")
def dataset(write_tiny_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of the tiny data set."""
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def one_channel(write_tiny_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a data set with one modality and the labels of the hippocampus."""
    labels = {"background": 0, "anterior": 1, "posterior": 2}
    return write_tiny_dataset(tmp_path_factory.mktemp("one"), modalities=["t1"], label_map=labels)


@pytest.fixture(scope="session")
def pancreas(write_tiny_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a data set in Hounsfield units, a body in air, with the labels of the pancreas."""
    labels = {"background": 0, "pancreas": 1, "tumor": 2}
    return write_tiny_dataset(tmp_path_factory.mktemp("ct"), modalities=["ct"], label_map=labels, outside=-1000)


@pytest.fixture(scope="session")
def several(write_tiny_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a data set with two patients for validation, for what needs two of them."""
    return write_tiny_dataset(tmp_path_factory.mktemp("several"), cases=6)


@pytest.fixture(scope="session")
def graded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of a data set of colored photographs with a grade each."""
    folder = tmp_path_factory.mktemp("graded")
    manifest, _ = import_card("aptos", write_fundus(folder, cases=10, size=40))
    split = split_manifest(manifest, validation=2, test=4, stratify="retinopathy")
    return write_manifest(folder / "manifest.json", split)


@pytest.fixture(scope="session")
def own_data(pancreas: Path, graded: Path, several: Path) -> dict[str, Path]:
    """The manifests of the bundles that neither ``dataset`` nor ``one_channel`` suits, by name."""
    return {
        "unet_pancreas": pancreas,
        "classify2d": graded,
        "exemplar2d": several,
        "exemplar3d": several,
        "volumefusion3d": several,
    }


def config(bundle: str) -> dict:
    return json.loads((ROOT / bundle / "train.json").read_text(encoding="utf-8"))


def small(
    bundle: str, folder: Path, dataset: Path, one_channel: Path, own_data: dict[str, Path], **more: object
) -> dict:
    """Everything that a bundle needs to run small, into ``folder``."""
    keys = config(bundle)
    sizes = {key: _as_flat(value, keys[key]) for key, value in SMALL.items() if key in keys}
    if "backbone" in keys:  # a residual network has four widths
        sizes["filters"] = [8] * len(keys["filters"])
    if "feature_size" in keys:  # a Swin transformer halves its input five times
        sizes["crop_size"] = [32, 32, 32]
    places = {"output_dir": str(folder / bundle), "cache_dir": str(folder / "cache")}
    manifest = str(own_data.get(bundle, one_channel if len(keys["modalities"]) == 1 else dataset))
    return {**sizes, **places, "manifest": manifest, **more}


def _as_flat(value: object, shipped: object) -> object:
    """A size of a slice where the shipped one is."""
    flat = isinstance(shipped, list) and len(shipped) == 3 and shipped[2] == 1
    return [*value[:2], 1] if flat else value


class Trained(dict[str, Path]):
    """The finished two-step run of every bundle by name, trained when it is first asked for."""

    def __init__(self, folder: Path, dataset: Path, one_channel: Path, own_data: dict[str, Path]) -> None:
        super().__init__()
        self.given = (folder, dataset, one_channel, own_data)

    def __missing__(self, bundle: str) -> Path:
        keys, more = config(bundle), {}
        if "pretrained" in keys and keys["modalities"] == config(FIRST)["modalities"]:
            more["pretrained"] = str(self[FIRST] / "model.pt")
        self[bundle] = bundles.run(bundle, **small(bundle, *self.given, **more))
        return self[bundle]


@pytest.fixture
def overrides(dataset: Path, one_channel: Path, own_data: dict[str, Path], tmp_path: Path) -> Callable[..., dict]:
    """``overrides("cpc3d", **more)``: everything that a bundle needs to run small, into ``tmp_path``."""

    def build(bundle: str, **more: object) -> dict:
        return small(bundle, tmp_path, dataset, one_channel, own_data, **more)

    return build


@pytest.fixture(scope="session")
def trained(
    dataset: Path, one_channel: Path, own_data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A finished two-step run of every bundle on disk, made when it is asked for."""
    return Trained(tmp_path_factory.mktemp("trained"), dataset, one_channel, own_data)
