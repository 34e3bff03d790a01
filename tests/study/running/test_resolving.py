"""From a planned run to overrides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import FakeBundles, tiny_plan, write_tiny_study

from medvol.study.planning.plan import Plan
from medvol.study.running.resolving import Resolver


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> Plan:
    robust = {"corruptions": ["noise", "motion"], "severities": [1, 3], "counts": [2]}
    return tiny_plan(write_tiny_study(tmp_path_factory.mktemp("study"), write_tiny_dataset, robustness=robust))


def test_a_pre_training_gets_a_place_and_no_start(plan: Plan, tmp_path: Path) -> None:
    run, resolver = plan.runs[0], Resolver(plan, tmp_path / "out")
    overrides = resolver.overrides(run)
    added = {k: v for k, v in overrides.items() if k not in run.overrides}
    assert added == {"run_name": "cpc3d-seed0", "output_dir": str(tmp_path / "out/runs/cpc3d"), "mlflow": False}
    assert resolver.relative(resolver.run_dir(overrides)) == "runs/cpc3d/cpc3d-seed0"
    assert resolver.scorings(run, overrides) == {}


def test_a_fine_tuning_gets_rate_start_and_name(plan: Plan, tmp_path: Path) -> None:
    resolver, fake = Resolver(plan, tmp_path / "out"), FakeBundles({0.001: 0.7, 0.01: 0.2})
    runs = {run.key: run for run in plan.runs}
    last = runs["finetune-cpc3d-2-seed1"]
    with pytest.raises(ValueError, match="at least one learning rate must reach a score"):
        resolver.overrides(last)
    for key in ("pretrain-cpc3d-seed0", *last.tuned_by):
        fake.run(runs[key].bundle, **resolver.overrides(runs[key]))
    overrides = resolver.overrides(last)
    assert overrides["learning_rate"] == 0.001
    assert overrides["run_name"] == "cpc3d-2-seed1-lr0.001"
    assert overrides["pretrained"] == str(tmp_path / "out/runs/cpc3d/cpc3d-seed1/model.pt")
    assert overrides["subset_seed"] == overrides["seed"] == 1
    assert resolver.scorings(runs[last.tuned_by[0]], overrides) == {}
    scorings = resolver.scorings(last, overrides)
    assert list(scorings) == ["test", "test-noise-1", "test-noise-3", "test-motion-1", "test-motion-3"]
    place = {"manifest": overrides["manifest"], "device": "cpu"}
    assert scorings["test"] == {**place, "section": "test", "save_predictions": False}
    assert scorings["test-motion-3"] == {**scorings["test"], "corruption": "motion", "severity": 3}
    assert list(resolver.scorings(replace(last, count="all"), overrides)) == ["test"]


def test_given_weights_and_scratch(plan: Plan, tmp_path: Path) -> None:
    resolver = Resolver(plan, tmp_path)
    run = next(run for run in plan.runs if run.kind == "tune" and run.start is None)
    assert resolver.overrides(run)["pretrained"] is None
    assert resolver.overrides(replace(run, weights="unet_brats"))["pretrained"] == "unet_brats"
    assert resolver.overrides(run)["learning_rate"] == 0.001
    assert "learning_rate" not in resolver.overrides(replace(run, learning_rate=None))


def test_the_folder_of_the_command_line_goes_to_the_images_of_the_downstream_task(plan: Plan, tmp_path: Path) -> None:
    resolver = Resolver(replace(plan, dataset_dir="there"), tmp_path)
    first = plan.runs[0]
    assert resolver.overrides(first)["dataset_dir"] == "there"
    own = replace(first, overrides={**first.overrides, "dataset_dir": "own"})
    assert resolver.overrides(own)["dataset_dir"] == "own"
    other = replace(first, overrides={**first.overrides, "manifest": "phantom"})
    assert "dataset_dir" not in resolver.overrides(other)
