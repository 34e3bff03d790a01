"""Shards in two real processes: one is killed half-way, the next goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from medvol.data.shards import open_shards, verify_shards

CODE = """
import sys, time
import torch
from monai.transforms import MapTransform
from medvol.data import StreamDataset
from medvol.data.shard_writer import write_shards

class Slowd(MapTransform):
    def __call__(self, data):
        time.sleep(0.02)
        return {**data, "image": data["image"] + 1}

items = [{"image": torch.full((1, 16, 16, 16), float(n)), "case": f"c{n}"} for n in range(60)]
write_shards(StreamDataset(items, Slowd("image"), 0), sys.argv[1], samples_per_shard=5)
"""


def start(tmp_path) -> subprocess.Popen:
    environment = {**os.environ, "MEDVOL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path / "shards")], env=environment)


@pytest.mark.slow
def test_killed_and_started_again(tmp_path):
    folder = tmp_path / "shards"
    with start(tmp_path) as first:
        deadline = time.monotonic() + 120
        while len(list(folder.glob("shard-*.json"))) < 3 or not list(folder.glob(".part-*")):
            assert first.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
        first.wait()
    finished = {file: file.stat().st_mtime_ns for file in folder.glob("shard-*.json")}
    assert 3 <= len(finished) < 12
    with pytest.raises(FileNotFoundError, match="write_shards writes last"):
        open_shards(folder)

    with start(tmp_path) as one, start(tmp_path) as other:
        assert one.wait(300) == other.wait(300) == 0
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    assert not list(folder.glob(".part-*"))
    assert verify_shards(folder) == []
    shards = open_shards(folder)
    assert shards.sizes == [5] * 12
    assert all((shards.read(n)["image"] == n + 1).all() for n in range(60))
