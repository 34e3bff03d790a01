"""The phantom in two real processes: one is killed half-way, the next two start together."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

CODE = "from medvol.data.phantom import phantom_manifest; print(phantom_manifest(12, spacing=3.0, workers=1))"


def start(folder) -> subprocess.Popen:
    environment = {**os.environ, "MEDVOL_CACHE": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", CODE], env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_then_two_together(tmp_path):
    with start(tmp_path) as first:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("phantom-*/phantom_*"))) < 3:
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.wait()
    folder = next(tmp_path.iterdir())
    finished = {p: p.stat().st_mtime_ns for p in folder.glob("phantom_*/*")}
    assert 15 <= len(finished) < 60
    assert len(finished) % 5 == 0
    assert not (folder / "manifest.json").exists()

    with start(tmp_path) as one, start(tmp_path) as other:
        outputs = [process.communicate(timeout=300)[0].strip() for process in (one, other)]
    assert one.returncode == other.returncode == 0
    assert outputs == [str(folder / "manifest.json")] * 2
    assert {p: p.stat().st_mtime_ns for p in finished} == finished
    assert len(list(folder.glob("phantom_*/*"))) == 60
    assert len(json.loads((folder / "manifest.json").read_text())["training"]) == 8
    assert not list(folder.glob(".*.part"))
