"""A study that is killed (SIGKILL) leaves the same bytes, after the same command again, as one that is not."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_study import start, write_tiny_study

RESULTS = ("model.pt", "passport.json", "log.csv", "metrics.csv")


def run_and_kill(folder: Path, after_lines: int, pause: float) -> None:
    process = start(folder)
    for number, _ in enumerate(process.stdout, start=1):
        if number == after_lines:
            time.sleep(pause)
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()


def finish(folder: Path) -> dict:
    process = start(folder)
    output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


def results(folder: Path) -> dict[str, bytes]:
    files = (file for file in (folder / "runs").rglob("*") if file.name in RESULTS)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_study_goes_on(tmp_path: Path, write_tiny_dataset: Callable[..., Path]) -> None:
    write_tiny_study(tmp_path, write_tiny_dataset, seeds=[0])
    assert finish(tmp_path / "whole") == {"done": 7, "failed": {}, "skipped": 0}
    whole = results(tmp_path / "whole")
    assert sum(name.endswith("/test/metrics.csv") for name in whole) == 2
    chance = random.Random(int(time.time()))
    kills = [(1, chance.random() * 3), (chance.randrange(2, 4), chance.random() * 3)]
    for kill in kills:
        run_and_kill(tmp_path / "killed", *kill)
    outcome = finish(tmp_path / "killed")
    assert outcome["failed"] == {}
    assert outcome["done"] >= 1, kills
    assert outcome["done"] + outcome["skipped"] == 7
    assert results(tmp_path / "killed") == whole, kills
    assert not list((tmp_path / "killed").rglob(".test.part"))
    assert finish(tmp_path / "killed") == {"done": 0, "failed": {}, "skipped": 7}
    assert results(tmp_path / "killed") == whole
