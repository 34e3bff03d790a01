"""Evaluations of corrupted images: every bundle that can corrupt them scores them beside the clean ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from medvol import bundles
from medvol.transforms import CORRUPTIONS, SPATIAL_CORRUPTIONS

ROOT = Path(__file__).parents[2] / "bundles"
CORRUPTIBLE = sorted(
    p.parent.name for p in ROOT.glob("*/evaluate.json") if "corruption" in json.loads(p.read_text(encoding="utf-8"))
)


@pytest.fixture
def evaluate(trained: Mapping[str, Path], overrides: Callable[..., dict], tmp_path: Path) -> Callable[..., Path]:
    """``evaluate("unet_brats", corruption="noise")``: where the results of a copy of its run lie."""

    def run(bundle: str, **given: object) -> Path:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        for name in ("model.pt", "passport.json"):
            (folder / name).write_bytes((trained[bundle] / name).read_bytes())
        weights = {"weights": str(folder / "model.pt"), "manifest": overrides(bundle)["manifest"], "device": "cpu"}
        config = json.loads((ROOT / bundle / "evaluate.json").read_text(encoding="utf-8"))
        if "save_predictions" in config:
            given["save_predictions"] = False
        bundles.run(bundle, "evaluate.json", **weights, section="validation", **given)
        return folder

    return run


def scores(file: Path) -> list[tuple[str, str, str, float]]:
    with file.open(encoding="utf-8") as stream:
        return [(r["case"], r["region"], r["metric"], float(r["value"])) for r in csv.DictReader(stream)]


def test_bundles_corrupt() -> None:
    assert {"unet_brats", "unet_hippocampus"} <= set(CORRUPTIBLE)


def test_corrupted_scores_get_a_folder_of_their_own(evaluate: Callable[..., Path]) -> None:
    folder = evaluate("unet_hippocampus", corruption="rotation", severity=2)
    assert [p.name for p in folder.iterdir() if p.is_dir()] == ["validation-rotation-2"]
    assert len(scores(folder / "validation-rotation-2/metrics.csv")) > 3
    assert not (folder / "validation-rotation-2/overlays").exists()


@pytest.mark.slow
@pytest.mark.parametrize("bundle", CORRUPTIBLE)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_every_corruption_is_scored_and_twice_alike(bundle: str, corruption: str, evaluate: Callable) -> None:
    evaluate(bundle)
    folder = evaluate(bundle, corruption=corruption, severity=4)
    results = folder / f"validation-{corruption}-4"
    first = (results / "metrics.csv").read_bytes()
    clean, corrupted = scores(folder / "validation/metrics.csv"), scores(results / "metrics.csv")
    assert [row[:3] for row in clean] == [row[:3] for row in corrupted]
    if "SaveOverlays" in (ROOT / bundle / "evaluate.json").read_text(encoding="utf-8"):
        assert clean != corrupted  # two steps of training do not tell grades apart, so that theirs may be equal
        assert (folder / "validation/overlays").is_dir()
        assert (results / "overlays").exists() == (corruption not in SPATIAL_CORRUPTIONS)
    evaluate(bundle, corruption=corruption, severity=4)
    assert (results / "metrics.csv").read_bytes() == first
