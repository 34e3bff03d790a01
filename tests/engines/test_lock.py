"""medvol.engines.lock (another process: tests/slow/test_resume_kill.py)"""

from __future__ import annotations

import pytest

from medvol.engines.lock import RunLock


def test_one_at_a_time_in_a_process(tmp_path):
    first, second = RunLock(tmp_path), RunLock(tmp_path / ".")
    first.acquire()
    with pytest.raises(RuntimeError, match=r"only one to write .* found that this very process .*; wait"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
    second.release()


def test_names_the_other_process(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    (tmp_path / ".lock").write_text("4711\n")

    def taken(*_):
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "lockf", taken)
    with pytest.raises(RuntimeError, match="process 4711"):
        RunLock(tmp_path).acquire()


def test_a_file_left_by_a_dead_process_does_not_lock(tmp_path):
    (tmp_path / ".lock").write_text("4711\n")
    lock = RunLock(tmp_path)
    lock.acquire()
    assert (tmp_path / ".lock").read_text() != "4711\n"
    lock.release()
