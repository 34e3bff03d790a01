from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import tiny_plan, write_tiny_study

from medvol.study.planning.opened import evaluation_overrides, open_evaluation, open_run, run_overrides
from medvol.study.planning.plan import Plan
from medvol.study.planning.standin import write_stand_in

ROOT = Path(__file__).parents[3]


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


def test_a_folder_that_is_not_given_is_left_to_the_bundle(plan: Plan) -> None:
    assert "dataset_dir" not in run_overrides(plan, plan.runs[0])


def test_an_evaluation_takes_its_settings_from_the_training(plan: Plan, tmp_path: Path) -> None:
    run = next(run for run in plan.runs if run.kind == "finetune")
    training = open_run(plan, run)
    weights = str(write_stand_in(training, tmp_path, like_trained=True))
    given = evaluation_overrides(plan, run, run_overrides(plan, run), weights=weights)
    place = {"manifest": run.overrides["manifest"], "device": "cpu"}
    assert given == {**place, "section": "test", "save_predictions": False, "weights": weights}
    opened = open_evaluation(training, given)
    assert (opened.config["filters"], opened.config["roi_size"]) == ([8, 8, 8], [16, 16, 16])
    assert opened.file.name == "evaluate.json"


def test_an_evaluation_gets_the_network_of_the_training(plan: Plan) -> None:
    run = next(run for run in plan.runs if run.kind == "finetune")
    given = {**run.overrides, "network_def::kernel_size": [3, 3, 1], "networks": 3}
    found = evaluation_overrides(plan, run, given)
    assert (found["network_def::kernel_size"], "networks" in found) == ([3, 3, 1], False)
    known = json.loads((ROOT / "bundles" / run.bundle / "train.json").read_text(encoding="utf-8"))
    other = {key: value for key, value in given.items() if key != "manifest"}
    assert evaluation_overrides(plan, run, other)["manifest"] == known["manifest"], "of the training, not its own"


def test_a_bundle_without_evaluation(plan: Plan) -> None:
    run = next(run for run in plan.runs if run.kind == "pretrain")
    with pytest.raises(FileNotFoundError, match=r"evaluate\.json"):
        evaluation_overrides(plan, run, run.overrides)
