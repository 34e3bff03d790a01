"""State files and locks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from filelock import FileLock

from medvol.distributed import cores
from medvol.study.running.ledger import Ledger, State, machine


def test_what_is_written_is_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    state = State("a", "done", "runs/b/a", "h" * 64, {"code": "c"}, 3.5, 0.002, None, {"cores": 2}, "2026-11-22")
    ledger.write(state)
    assert ledger.read("a") == state
    assert ledger.read("b") is None
    assert ledger.states(["a", "b"]) == {"a": state}
    record = json.loads((tmp_path / "state" / "a.json").read_text(encoding="utf-8"))
    named = {"key", "state", "run_dir", "hash", "versions", "seconds", "learning_rate", "error", "machine", "finished"}
    assert named <= record.keys()


def test_the_first_line_of_an_error_is_its_sentence() -> None:
    assert State("a", "failed", error="it broke\n  here").sentence == "it broke"
    assert State("a", "done").sentence == ""


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"hash": 3}'])
def test_a_damaged_state_is_named(text: str, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"state file .*a\.json must be .*; found .*; remove it"):
        ledger.read("a")
    ledger.forget_failure("a")
    assert ledger.read("a") is None


def test_unknown_entries_of_a_later_version_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "a.json").write_text('{"key": "a", "state": "done", "more": 1}', encoding="utf-8")
    assert Ledger(tmp_path).read("a") == State("a", "done")


def test_only_failures_are_forgotten_and_of_these_not_the_diverged(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    states = [State("a", "done"), State("b", "failed"), State("c", "failed", diverged=True)]
    for state in states:
        ledger.write(state)
    for key in "abcd":
        ledger.forget_failure(key)
    assert list(ledger.states("abcd")) == ["a", "c"]


def test_a_lock_is_taken_once_and_given_back(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with ledger.lock("a") as mine, ledger.lock("b") as other:
        assert mine
        assert other
    with pytest.raises(ZeroDivisionError), ledger.lock("a"):
        raise ZeroDivisionError
    foreign = FileLock(tmp_path / "state" / "a.lock", thread_local=False)
    foreign.acquire()
    with ledger.lock("a") as mine:
        assert not mine
    foreign.release()
    with ledger.lock("a") as mine:
        assert mine


def test_the_machine_is_known() -> None:
    assert set(machine()) == {"processor", "cores", "torch_threads"}
    assert machine()["processor"]
    assert machine()["cores"] == cores() >= 1


def test_commands_at_work_know_of_one_another(tmp_path: Path) -> None:
    ledger, seen = Ledger(tmp_path), []
    with ledger.at_work(seen.append):
        with ledger.at_work(seen.append):
            pass
        with pytest.raises(ValueError, match="no"), ledger.at_work(lambda alone: _refuse()):
            raise AssertionError
        with ledger.at_work(seen.append):
            pass
    with ledger.at_work(seen.append):
        pass
    assert seen == [True, False, False, True]
    assert sorted(file.name for file in (tmp_path / "state").iterdir()) == [
        "command-0.lock", "command-1.lock", "plan.lock",
    ]  # fmt: skip


def _refuse() -> None:
    raise ValueError("no")
