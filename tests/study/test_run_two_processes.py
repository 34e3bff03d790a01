"""Two commands, and two workers of one command, share a study folder: every run happens once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_study import start, write_tiny_study

KEPT = ("model.pt", "passport.json", "metrics.csv")
TRAININGS = 5  # the seven runs hold two winners of the tuning


def results(folder: Path) -> dict[str, bytes]:
    files = (file for file in (folder / "runs").rglob("*") if file.name in KEPT)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def trainings(folder: Path) -> int:
    """How often a training came to its end, by the logs of all runs."""
    logs = (file.read_text(encoding="utf-8") for file in (folder / "logs").glob("*.log"))
    return sum(log.count("(synthetic data): 2 steps,") for log in logs)


def last_line(process: object) -> dict:
    output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(output.splitlines()[-1])


@pytest.mark.slow
def test_two_commands_and_two_workers_do_each_run_once(tmp_path: Path, write_tiny_dataset: Callable[..., Path]) -> None:
    write_tiny_study(tmp_path, write_tiny_dataset, seeds=[0])
    pair = [start(tmp_path / "pair") for _ in range(2)]
    outcomes = [last_line(process) for process in pair]
    assert [outcome["failed"] for outcome in outcomes] == [{}, {}]
    assert sum(outcome["done"] for outcome in outcomes) == 7
    assert all(outcome["done"] + outcome["skipped"] == 7 for outcome in outcomes)
    assert trainings(tmp_path / "pair") == TRAININGS

    assert last_line(start(tmp_path / "jobs", jobs=2)) == {"done": 7, "failed": {}, "skipped": 0}
    assert trainings(tmp_path / "jobs") == TRAININGS
    assert results(tmp_path / "jobs") == results(tmp_path / "pair")
