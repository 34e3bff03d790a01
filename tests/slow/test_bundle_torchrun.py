"""One train.json for one process and for two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SIZES = {
    "steps": 3, "steps_per_epoch": 3, "warmup_steps": 1, "eval_every_examples": 100, "filters": [8, 8, 8],
    "spacing": [1.0, 1.0, 1.0], "crop_size": [24, 24, 24], "grid": [3, 3, 3], "patch_size": [6, 6, 6],
    "num_workers": 0, "mlflow": False, "precision": "fp32", "device": "cpu", "batch_size": 2,
}  # fmt: skip


def run(command: list[str], **overrides: object) -> None:
    options = [x for k, v in {**SIZES, **overrides}.items() for x in (f"--{k}", str(v))]
    config = ["-m", "monai.bundle", "run", "--config_file", "bundles/cpc3d/train.json"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *config, *options], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_train_the_bundle_as_one_does(tmp_path: Path, write_tiny_dataset) -> None:
    manifest = str(write_tiny_dataset(tmp_path / "data"))
    same = {"manifest": manifest, "cache_dir": str(tmp_path / "cache")}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    run([sys.executable], **same, output_dir=str(tmp_path / "one"))
    run(torchrun, **same, output_dir=str(tmp_path / "two"))
    (one,), (two,) = tmp_path.glob("one/*/model.pt"), tmp_path.glob("two/*/model.pt")
    assert one.parent.name == two.parent.name, "the number of processes is no part of a run's identity"
    first, second = torch.load(one, weights_only=True), torch.load(two, weights_only=True)
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, atol=2e-4, rtol=2e-3)
    losses = [json.loads((path.parent / "passport.json").read_text())["metrics"]["val_loss"] for path in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
