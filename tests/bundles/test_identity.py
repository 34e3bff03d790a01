from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medvol.bundles import identity
from medvol.bundles.identity import LEFT_OUT, run_hash


@pytest.fixture
def config(dataset: Path, tmp_path: Path) -> dict:
    torch.save({"w": torch.zeros(2)}, tmp_path / "a.pt")
    torch.save({"w": torch.ones(2)}, tmp_path / "b.pt")
    return {
        "steps": 3,
        "manifest": str(dataset),
        "dataset_dir": None,
        "pretrained": str(tmp_path / "a.pt"),
        "run": ["$1"],
    }


def test_five_hashes(
    config: dict, write_tiny_dataset: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two weight files, null, another manifest under the same name and an edited source file differ."""
    hashes = [run_hash(config)]
    hashes.append(run_hash({**config, "pretrained": str(tmp_path / "b.pt")}))
    hashes.append(run_hash({**config, "pretrained": None}))
    hashes.append(run_hash({**config, "manifest": str(write_tiny_dataset(tmp_path / "tiny", shape=(28, 30, 27)))}))
    monkeypatch.setattr(identity, "code_hash", lambda: "edited")
    hashes.append(run_hash(config))
    assert len(set(hashes)) == 5


def test_an_edited_source_file_changes_the_code_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(identity.medvol, "__file__", str(tmp_path / "__init__.py"))
    before = identity.code_hash.__wrapped__()
    (tmp_path / "a.py").write_text("x = 2\n")
    assert identity.code_hash.__wrapped__() != before


def test_where_things_lie_does_not_matter(config: dict, dataset: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(dataset.parent, moved)
    shutil.copy(tmp_path / "a.pt", moved / "renamed.pt")
    other = {**config, "manifest": str(moved / "manifest.json"), "pretrained": str(moved / "renamed.pt")}
    assert run_hash(other) == run_hash(config)
    assert run_hash({**config, "dataset_dir": str(moved)}) == run_hash(config)


def test_keys_left_out_change_nothing_and_are_exactly_these(config: dict) -> None:
    assert set(LEFT_OUT) == {
        "run_name", "restart", "mlflow", "tracking", "reconstructions", "num_workers", "device", "bundle_root",
        "cache_dir", "output_dir",
    }  # fmt: skip
    assert run_hash({**config, **dict.fromkeys(LEFT_OUT, "x")}) == run_hash(config)
    assert run_hash({**config, "steps": 4}) != run_hash(config)


def test_tracking_changes_nothing(config: dict) -> None:
    suite = {"_target_": "medvol.engines.TrainingSuite"}
    plain = {**config, "train": {"handlers": [suite]}}
    tracked = {**config, "train": {"handlers": [suite, {"_target_": "MLFlowHandler"}]}, "tracking_uri": "x"}
    assert run_hash(plain) == run_hash(tracked)
    assert run_hash({**config, "train": {"handlers": [{**suite, "log_every_steps": 3}]}}) != run_hash(plain)


def test_values_from_the_command_line_equal_those_of_the_file(config: dict) -> None:
    assert run_hash({**config, "grid": (4, 4, 4)}) == run_hash({**config, "grid": [4, 4, 4]})
