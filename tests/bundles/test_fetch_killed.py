"""Fetches that are killed at any moment: every file is the old or the new one, and the next fetch is right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import packages
import pytest
import server as server_of

from medvol.bundles.fetching.fetch import fetch
from medvol.bundles.fetching.placing import RECORD, is_current

ROOT = Path(__file__).parents[2]

# One process imports what takes seconds, and forks a fetch for every line that it reads, on a disk that is slow.
CODE = """
import os, signal, sys, time
from pathlib import Path
from medvol.bundles.fetching.addresses import Patience
from medvol.bundles.fetching.fetch import fetch
from medvol.networks import weights_hash

real = Path.replace
def slow(path, target):
    time.sleep(0.01)
    return real(path, target)
Path.replace = slow

print("ready", flush=True)
for line in sys.stdin:
    address, delay = line.split()
    child = os.fork()
    if child == 0:
        fetch(address, sys.argv[1], patience=Patience(tries=3, pause=0.0))
        os._exit(0)
    time.sleep(float(delay))
    os.kill(child, signal.SIGKILL)  # finished or not: nobody else has its number before it is waited for
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = server_of.Server()
    yield server
    server.stop()


def files_of(folder: Path) -> dict[str, bytes]:
    files = (
        f for f in folder.rglob("*") if f.is_file() and f.name != RECORD and not f.name.endswith((".part", ".before"))
    )
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


@pytest.mark.slow
def test_killed_at_random_times_and_fetched_again(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    versions = []
    for number in range(2):
        members = packages.members(
            f"0.{number}.0", train_json=f'{{"steps": {number}}}', model=packages.weights(number, 50_000)
        )
        content = packages.zipped(members)
        server.put(f"{number}.zip.sha256", packages.sha256(content))
        versions.append((server.put(f"{number}.zip", content, piece=1 << 14, pause=0.005), members, content))
    dice = random.Random(0)
    bundle, states, killed = tmp_path / "bundles/cpc3d", set(), 0
    command = [sys.executable, "-c", CODE, str(tmp_path / "bundles")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    (tmp_path / "bundles").mkdir()
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes) as parent:
        assert parent.stdout.readline() == "ready\n"
        for attempt in range(60):
            address, members, content = versions[attempt // 4 % 2]
            parent.stdin.write(f"{address} {dice.uniform(0.0, 0.2)}\n")
            killed += int(parent.stdout.readline()) == signal.SIGKILL
            now = files_of(bundle) if bundle.exists() else {}
            assert all(content in (v[1].get(name) for v in versions) for name, content in now.items())
            assert not now or now.keys() >= {"train.json", "configs/train.json"}
            assert {path.name for path in (tmp_path / "bundles").iterdir()} <= {"cpc3d", ".fetch"}
            states.add((frozenset(now.items()) == frozenset(members.items()), bool(now)))
            if attempt % 8 == 7 and bundle.exists():
                fetch(address)
                assert files_of(bundle) == members
                assert is_current(bundle, packages.sha256(content))
                assert {path.name for path in (tmp_path / "bundles/.fetch").iterdir()} >= {".gitignore", "lock"}
                assert not list((tmp_path / "bundles/.fetch").glob("unpack-*"))
        parent.stdin.close()
        assert parent.wait(60) == 0
    assert killed > 15, "most of the fetches must have been killed"
    assert len(states) > 1, "some of them before their end, some after it"
