"""The cache in real processes: killed while it fills, filled by two at once, and on disks that are full."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from medvol.data.cache import read_or_make
from medvol.data.entries import mapped, read_entry

pytestmark = pytest.mark.slow

MIB = 2**20
# Prints what it made itself, one number a line; an entry is a volume of 8 MB that no codec makes smaller.
CODE = """
import sys, torch
from pathlib import Path
from medvol.data.cache import read_or_make
folder, chunked_from = Path(sys.argv[1]), None if sys.argv[2] == "None" else int(sys.argv[2])
def make(number):
    print(number, flush=True)
    return {"image": torch.rand(2, 100, 100, 100, generator=torch.Generator().manual_seed(number))}
for number in range(int(sys.argv[3])):
    read_or_make(folder / f"{number}.pt", lambda: make(number), chunked_from)
"""


def start(folder: Path, chunked_from, count: int, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", CODE, str(folder), str(chunked_from), str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def image(number: int) -> torch.Tensor:
    return torch.rand(2, 100, 100, 100, generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("chunked_from", [None, 0])
def test_what_a_killed_process_leaves_is_right(tmp_path, chunked_from):
    parts = 0
    for turn in range(3):
        with start(tmp_path, chunked_from, 10**6) as process:
            deadline, wanted = time.monotonic() + 120, len(list(tmp_path.glob("*.pt"))) + 2
            while len(list(tmp_path.glob("*.pt"))) < wanted or (turn % 2 and not list(tmp_path.glob(".part-*"))):
                assert process.poll() is None
                assert time.monotonic() < deadline
            process.send_signal(signal.SIGKILL)
            process.wait()
        parts += len(list(tmp_path.glob(".part-*")))
        for file in tmp_path.glob("*.pt"):
            found = mapped(read_entry(file), lambda end: end.whole() if hasattr(end, "whole") else end)
            assert torch.equal(found["image"], image(int(file.stem)))
        for file in tmp_path.glob(".part-*"):
            file.unlink()
    assert parts > 0  # it did meet unfinished files
    # Its locks went with it.
    assert read_or_make(tmp_path / "more.pt", lambda: {"n": 1}) == {"n": 1}


@pytest.mark.parametrize("chunked_from", [None, 0])
def test_two_processes_make_each_entry_once(tmp_path, chunked_from):
    with start(tmp_path, chunked_from, 12) as one, start(tmp_path, chunked_from, 12) as other:
        made = [process.communicate(timeout=300)[0].split() for process in (one, other)]
    assert one.returncode == other.returncode == 0
    assert sorted(map(int, made[0] + made[1])) == list(range(12))
    assert len(list(tmp_path.glob("*.pt"))) == 12
    assert not list(tmp_path.glob(".part-*"))


@pytest.mark.parametrize("chunked_from", [None, 0])
def test_no_file_may_be_that_large(tmp_path, chunked_from):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then the write fails with EFBIG instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 * MIB, 3 * MIB))

    with start(tmp_path, chunked_from, 1, preexec_fn=limit) as process:
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "the cache needs a folder it can write to, with room" in errors
    assert "MEDVOL_CACHE" in errors
    assert not [file for file in tmp_path.iterdir() if file.name != ".locks"]


@pytest.mark.parametrize("chunked_from", [None, 0])
def test_a_really_full_disk(tmp_path, chunked_from):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs the rights of an administrator")
    try:
        with start(tmp_path, chunked_from, 5) as process:
            errors = process.communicate(timeout=120)[1]
        assert process.returncode == 1
        assert "the cache needs a folder it can write to, with room" in errors
        entries = [file for file in tmp_path.iterdir() if file.name != ".locks"]
        assert sorted(file.name for file in entries) == ["0.pt", "1.pt"]
        for file in entries:
            found = mapped(read_entry(file), lambda end: end.whole() if hasattr(end, "whole") else end)
            assert torch.equal(found["image"], image(int(file.stem)))
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_folder_that_takes_no_file(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("an administrator may write anywhere")
    (tmp_path / "c").mkdir()
    (tmp_path / "c").chmod(0o500)
    with pytest.raises(OSError, match=r"a folder it can write to"):
        read_or_make(tmp_path / "c/a.pt", lambda: {"n": 1})
