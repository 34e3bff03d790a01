from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import tiny_plan, write_tiny_study

from medvol.study.planning.opened import evaluation_overrides, open_evaluation, open_run, run_overrides
from medvol.study.planning.plan import Plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> Plan:
    return tiny_plan(write_tiny_study(tmp_path_factory.mktemp("opened"), write_tiny_dataset))


def test_a_run_has_the_plans_overrides_and_the_machines(plan: Plan) -> None:
    run = next(run for run in plan.runs if run.kind == "tune")
    given = run_overrides(replace(plan, dataset_dir="/data"), run, precision="bf16")
    assert {
        **run.overrides,
        "dataset_dir": "/data",
        "mlflow": False,
        "learning_rate": 0.001,
        "precision": "bf16",
    } == given
    assert open_run(plan, run).config["learning_rate"] == 0.001


def test_an_evaluation_takes_its_settings_from_the_training(plan: Plan, tmp_path: Path) -> None:
    run = next(run for run in plan.runs if run.kind == "finetune")
    training = open_run(plan, run)
    given = evaluation_overrides(plan, training, tmp_path)
    assert (given["section"], given["save_predictions"]) == ("test", False)
    assert given["manifest"] == run.overrides["manifest"]
    opened = open_evaluation(training, given)
    assert (opened.config["filters"], opened.config["roi_size"]) == ([8, 8, 8], [16, 16, 16])
    assert opened.file.name == "evaluate.json"
    before = (tmp_path / "model.pt").stat().st_mtime_ns
    evaluation_overrides(plan, training, tmp_path)
    assert (tmp_path / "model.pt").stat().st_mtime_ns == before, "the stand-in is written once"


def test_a_bundle_without_evaluation(plan: Plan, tmp_path: Path) -> None:
    run = next(run for run in plan.runs if run.kind == "pretrain")
    with pytest.raises(FileNotFoundError, match=r"evaluate\.json"):
        evaluation_overrides(plan, open_run(plan, run), tmp_path)
