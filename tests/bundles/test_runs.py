from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from medvol.bundles.refusal import GuardError
from medvol.bundles.runs import identify, passport


def parser(folder: Path, **more: object) -> ConfigParser:
    fixed = {
        "bundle_root": "bundles/cpc3d",
        "output_dir": str(folder),
        "run_name": None,
        "run_dir": None,
        "restart": False,
    }
    return ConfigParser({**fixed, "seed": 0, "arm": None, **more})


def test_a_run_is_named_by_its_hash_and_noted(tmp_path: Path) -> None:
    config = parser(tmp_path)
    run = identify(config)
    assert run.name == run.hash[:8] == config.config["run_name"]
    assert config.config["run_dir"] == str(tmp_path / run.name)
    assert passport(config.config["run_dir"])["hash"] == run.hash
    assert passport(config.config["run_dir"])["arm"] == config.config["arm"] == "scratch"
    assert not run.finished


def test_finished_is_weights_and_passport(tmp_path: Path) -> None:
    folder = identify(parser(tmp_path)).folder
    (folder / "model.pt").touch()
    assert not identify(parser(tmp_path)).finished
    (folder / "passport.json").write_text("{}")
    assert identify(parser(tmp_path)).finished


def test_a_taken_name_is_refused_and_nothing_is_overwritten(tmp_path: Path) -> None:
    note = identify(parser(tmp_path, run_name="mine")).folder / "run.json"
    before = note.read_bytes()
    with pytest.raises(GuardError, match="another run under that name"):
        identify(parser(tmp_path, run_name="mine", seed=1))
    assert note.read_bytes() == before
    identify(parser(tmp_path, run_name="mine", seed=1, restart=True))
    assert json.loads(note.read_text())["seed"] == 1


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert not identify(parser(tmp_path)).folder.exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GuardError, match="--output_dir"):
        identify(parser(tmp_path / "file"))


def test_without_the_guard_there_is_no_passport(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="guard"):
        passport(str(tmp_path))
