from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import tiny_plan, write_tiny_study

from medvol.study import load_study, make_plan
from medvol.study.planning.plan import Plan, read_plan


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory, write_tiny_dataset: Callable[..., Path]) -> Path:
    return write_tiny_study(tmp_path_factory.mktemp("plan"), write_tiny_dataset)


def test_a_plan_is_checked_and_writes_nothing(study_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Plan] = []
    monkeypatch.setattr("medvol.study.planning.preflight.check_plan", asked.append)
    before = set(study_file.parent.rglob("*"))
    plan = make_plan(load_study(study_file), study_file.parent / "data", {"steps": 4})
    assert asked == [plan]
    assert set(study_file.parent.rglob("*")) == before
    assert plan.dataset_dir == str(study_file.parent / "data")
    assert plan.study.overrides["steps"] == 4
    assert {run.steps for run in plan.runs if run.kind == "finetune"} == {4}


def test_a_folder_that_there_is_not(study_file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dataset_dir must be the folder .* found no folder .*none"):
        make_plan(load_study(study_file), tmp_path / "none")


def test_a_plan_comes_back_from_its_file(study_file: Path, tmp_path: Path) -> None:
    plan = replace(tiny_plan(study_file), dataset_dir="/data")
    (tmp_path / "study.json").write_text(json.dumps(plan.study.raw), encoding="utf-8")
    (tmp_path / "plan.json").write_text(json.dumps(plan.as_dict()), encoding="utf-8")
    assert read_plan(tmp_path) == plan


@pytest.mark.parametrize("content", ['{"runs": [{"key": "a"}]}', '{"runs": 3}', "{}", '{"runs": [3]}'])
def test_a_damaged_plan_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"plan\.json must hold the runs of a study"):
        read_plan(tmp_path)


def test_no_plan(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"plan\.json"):
        read_plan(tmp_path)


def test_whose_images_the_folder_holds(study_file: Path) -> None:
    plan = tiny_plan(study_file)
    first = {run.kind: run for run in reversed(plan.runs)}
    assert [plan.dataset_dir_of(run) for run in first.values()] == [None] * 3
    plan = replace(plan, dataset_dir="/data")
    assert [plan.dataset_dir_of(run) for run in first.values()] == ["/data"] * 3, "all are on the same manifest"
    other = replace(first["pretrain"], overrides={"manifest": "phantom"})
    assert plan.dataset_dir_of(other) is None
    assert plan.dataset_dir_of(replace(other, overrides={})) is None, "the bundle's own manifest is another one"
    assert plan.dataset_dir_of(replace(other, overrides={"dataset_dir": "/own"})) == "/own"
