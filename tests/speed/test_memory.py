"""Peak memory of the main job."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.speed


def test_the_main_job_stays_below_four_gigabytes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "bundles/cpc3d/train.json"]
    short = ["--steps", "20", "--steps_per_epoch", "10", "--output_dir", str(tmp_path)]
    subprocess.run(command + short, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # kilobytes on Linux
    with capsys.disabled():
        print(f"\npeak memory of the main job: {peak:.2f} GB in its largest process")
    assert peak < 4
