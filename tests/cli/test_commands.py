"""The owner's commands as a person types them; each starts a process, so there are few."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(*args: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *args],
        cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_mistyped_override_ends_in_a_sentence(tmp_path: Path) -> None:
    done = command("--config_file", "bundles/cpc3d/train.json", "--epoch", "1", MEDVOL_CACHE=str(tmp_path))
    assert done.returncode == 1
    assert "did you mean 'steps'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "the guard must refuse before any data are made"


def test_missing_weights_end_in_a_sentence(tmp_path: Path) -> None:
    done = command(
        "--config_file", "bundles/unet_brats/train.json", "--pretrained", "cpc3d@nope", MEDVOL_CACHE=str(tmp_path)
    )
    assert done.returncode == 1
    assert "cpc3d@nope" in done.stderr
    assert "Traceback" not in done.stderr


def test_verify_ends_with_a_code_for_scripts(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(
        '{"name": "m", "modalities": ["t1"], "training": [{"image": "lost.nii.gz", "patient": "P1"}]}'
    )
    done = subprocess.run(
        [sys.executable, "-m", "medvol", "manifest", "verify", str(tmp_path / "m.json")],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "missing" in done.stdout
    assert "lost.nii.gz" in done.stdout
    assert done.stderr == ""
