from __future__ import annotations

import os
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from medvol.bundles import bundle_root, running_workflow

FOLDER = Path(__file__).parents[2] / "bundles" / "cpc3d"


@pytest.mark.parametrize("file", ["train.json", "configs/train.json"])
@pytest.mark.parametrize("here", [FOLDER.parents[1], FOLDER, FOLDER / "configs", Path("/")])
def test_the_root_is_right_from_every_folder(file: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    workflow = ConfigWorkflow(config_file=os.path.relpath(FOLDER / file), workflow_type="train", init_id="none")
    workflow.initialize()
    assert Path(workflow.bundle_root).resolve() == FOLDER.resolve()


def test_an_explicit_root_wins() -> None:
    workflow = ConfigWorkflow(config_file=str(FOLDER / "train.json"), init_id="none", bundle_root="mine")
    workflow.initialize()
    assert workflow.bundle_root == "mine"


def test_without_a_workflow_there_is_no_root() -> None:
    assert running_workflow() is None
    assert bundle_root("default") == "default"
