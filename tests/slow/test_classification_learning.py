"""classify2d learns the grade of drawn photographs, and learns nothing where the grades were dealt out anew."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from fundus import write_fundus

from medvol import bundles
from medvol.data.cards import import_card
from medvol.data.manifest import write_manifest
from medvol.data.manifest_splits import split_manifest
from medvol.engines.tracking import read_log
from medvol.networks import find_weights, read_weights

pytestmark = pytest.mark.slow

SMALL = {
    "image_size": [48, 48], "filters": [8, 16, 32, 32], "steps": 120, "eval_every_examples": 1920, "num_workers": 0,
    "warmup_steps": 10, "learning_rate": 0.003, "mlflow": False, "precision": "fp32", "device": "cpu",
}  # fmt: skip


def dealt(folder: Path, shuffled: bool = False) -> Path:
    manifest, _ = import_card("aptos", write_fundus(folder / "aptos", cases=330, size=60, seed=1, shuffled=shuffled))
    split = split_manifest(manifest, validation=120, test=10, stratify="retinopathy")
    return write_manifest(folder / "aptos.json", split)


def kappa(folder: Path, manifest: Path, **more: object) -> float:
    places = {"manifest": str(manifest), "output_dir": str(folder / "runs"), "cache_dir": str(folder / "cache")}
    run = bundles.run("classify2d", **{**SMALL, **places, **more})
    values = [row.value for row in read_log(run / "log.csv") if row.name == "val_retinopathy_kappa"]
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        pseudo = [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "kappa"]
    assert len(pseudo) == 120
    assert sum(pseudo) / 120 == pytest.approx(values[-1], abs=0.02)
    return values[-1]


def test_it_learns_the_grade(tmp_path: Path) -> None:
    assert kappa(tmp_path, dealt(tmp_path)) > 0.6


def test_shuffled_grades_teach_nothing(tmp_path: Path) -> None:
    assert abs(kappa(tmp_path, dealt(tmp_path, shuffled=True))) < 0.2


def test_a_pretext_encoder_of_the_same_network_comes_in_and_stays_frozen(tmp_path: Path) -> None:
    """cpc2d on the photographs, then a linear probe on its encoder."""
    manifest = dealt(tmp_path)
    root = Path(__file__).parents[2] / "bundles"
    args = json.loads((root / "cpc2d/args_fundus.json").read_text(encoding="utf-8"))
    design = Path(__file__).parents[2] / "medvol/study/designs/retinopathy.json"
    downstream = json.loads(design.read_text(encoding="utf-8"))["downstream"]["overrides"]
    assert args["filters"] == downstream["filters"], "else nothing loads"
    places = {"manifest": str(manifest), "output_dir": str(tmp_path / "runs"), "cache_dir": str(tmp_path / "cache")}
    tiny = {"filters": [8, 16, 16], "steps": 4, "steps_per_epoch": 4, "eval_every_examples": 16, "batch_size": 4}
    tiny |= {"num_workers": 0, "warmup_steps": 1, "mlflow": False, "precision": "fp32", "device": "cpu", **places}
    size = {
        "crop_size": [48, 48],
        "patch_size": [10, 10],
        "train::preprocessing::transforms::2::spatial_size": [56, 56],
    }
    pretext = bundles.run("cpc2d", **{**args, **tiny, **size})
    weights = pretext / "model.pt"
    more = {"backbone": downstream["backbone"], "image_size": [48, 48], "pretrained": str(weights)}
    probe = bundles.run("classify2d", **{**tiny, **more, "freeze_steps": 4})
    before, after = read_weights(find_weights(str(weights))), read_weights(find_weights(str(probe / "model.pt")))
    assert set(after) - set(before) == {"head.weight", "head.bias"}
    assert all((after[key] == value).all() for key, value in before.items())
    tuned = bundles.run("classify2d", **{**tiny, **more, "freeze_steps": 0})
    assert any((value != before[key]).any() for key, value in read_weights(tuned / "model.pt").items() if key in before)
