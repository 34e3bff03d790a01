"""A manifest of 100,000 lines from the first import to a steady stream of patches, by way of cache and of shards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medvol.data import StreamSampler, load_manifest
from medvol.data.cache import item_key
from medvol.data.shard_writer import write_shards
from medvol.data.table import write_table

pytestmark = pytest.mark.speed

ROWS, FILES, SIDE = 100_000, 8, 160
# A crop is read from a chunked entry of 16 MB; the chain before it is the same in the run and in what fills its cache.
CHAIN = """
from monai.transforms import Compose, LoadImaged, ScaleIntensityd
from medvol.data import StreamDataset
from medvol.transforms import RandReadCropd

def dataset(items, shards=None):
    load = LoadImaged("image", ensure_channel_first=True, image_only=True)
    chain = Compose([load, ScaleIntensityd("image"), RandReadCropd("image", 32)])
    return StreamDataset(items, chain, 0, chunked_from=2**20, shards=shards)
"""
RUN = """
import json, multiprocessing, resource, sys, time
from itertools import islice
import medvol.data.chunked, medvol.data.large
from medvol.data import load_manifest, stream_loader

def kilobytes(file, *keys):
    return sum(int(line.split()[1]) for line in open(file) if line.startswith(keys))

if __name__ == "__main__":
    manifest, batches, shards = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None
    before, base, cpu = time.perf_counter(), kilobytes("/proc/self/status", "VmRSS"), time.process_time()
    loader = stream_loader(dataset(None if shards else load_manifest(manifest).items("training"), shards), 32, 0, 2)
    stream = iter(loader)
    next(stream)
    first, used = time.perf_counter() - before, kilobytes("/proc/self/status", "VmRSS") - base
    start = time.perf_counter()
    for batch in islice(stream, batches):
        assert batch["image"].shape == (32, 1, 32, 32, 32)
    rate = 32 * batches / (time.perf_counter() - start)
    private = [kilobytes(f"/proc/{child.pid}/smaps_rollup", "Private") for child in multiprocessing.active_children()]
    rows = len(loader.dataset)
    del stream, loader  # the workers end, and their time is counted
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"first_s": first, "gb": used / 2**20, "workers_gb": sum(private) / 2**20, "rate": rate,
                      "rows": rows, "cpu_s": time.process_time() - cpu,
                      "workers_cpu_s": workers.ru_utime + workers.ru_stime}))
"""


def run(tmp_path: Path, *arguments: object) -> dict[str, float]:
    (tmp_path / "run.py").write_text(CHAIN + RUN)
    environment = {**os.environ, "MEDVOL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [sys.executable, str(tmp_path / "run.py"), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def write(tmp_path: Path, rows: int) -> Path:
    """Write a manifest whose many lines name a few files, each line as a case of its own."""
    generator = np.random.default_rng(0)
    for number in range(FILES):
        smooth = generator.normal(size=(SIDE // 8,) * 3).repeat(8, 0).repeat(8, 1).repeat(8, 2)
        volume = (200 * smooth + 20 * generator.normal(size=smooth.shape)).astype(np.int16)
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / f"{number}.nii.gz")
    lines = (("training", {"image": f"{n % FILES}.nii.gz", "patient": f"P{n // 2:06d}", "case": f"case-{n:06d}"})
             for n in range(rows))  # fmt: skip
    return write_table(tmp_path / "large.parquet", {"name": "large", "modalities": ["t1"]}, lines)


def fill(tmp_path: Path, manifest: Path, batches: int) -> None:
    """Make one cache entry of each file, and link it to the names of all cases in the first batches."""
    space: dict = {}
    exec(CHAIN, space)
    data = space["dataset"](load_manifest(manifest).items("training"))
    names = {}
    for index in range(FILES):
        data[index]
        (names[index],) = set(data.cache_dir.glob("*.pt")) - set(names.values())
    sampler = StreamSampler(len(data), 0, batch_size=32)
    for index in (index for number in range(batches) for index, _ in sampler.batch(number)):
        entry = data.cache_dir / f"{item_key(data.data[index])[:32]}-{data._key[:32]}.pt"
        if not entry.is_file():
            entry.hardlink_to(names[index % FILES])


def show(capsys: pytest.CaptureFixture, **found: dict[str, float]) -> None:
    with capsys.disabled():
        for name, values in found.items():
            print(f"\n{name}:", ", ".join(f"{key} {value:.3g}" for key, value in values.items()))


def test_a_hundred_thousand_lines_start_at_once_and_stream_fast(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "cache"))
    manifest = write(tmp_path, ROWS)
    fill(tmp_path, manifest, 100)
    for file in (tmp_path / "cache/manifests").iterdir():
        file.unlink()
    found, again = run(tmp_path, manifest, 60), run(tmp_path, manifest, 60)
    show(capsys, first_opening=found, second_opening=again)
    for values in (found, again):
        assert values["rows"] == ROWS
        assert values["first_s"] < 5
        assert values["gb"] + values["workers_gb"] < 0.5
    assert again["rate"] >= 150


def test_shards_stream_fast(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "cache"))
    manifest, space = write(tmp_path, 48), {}
    exec(CHAIN, space)
    folder = write_shards(space["dataset"](load_manifest(manifest).items("training")), tmp_path / "shards", 8)
    found = run(tmp_path, manifest, 60, folder)
    show(capsys, shards=found)
    assert found["first_s"] < 5
    assert found["rate"] >= 150
