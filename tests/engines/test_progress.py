"""medvol.engines.progress"""

from __future__ import annotations

import sys

from medvol.engines.progress import Progress


def test_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = Progress("run", steps=10, start=4)
    progress.update(6, {"loss": 0.51234})
    progress.update(10, {})
    progress.summarize(10, 20, {"loss": 0.51234}, "folder")
    captured = capsys.readouterr()
    assert "10/10" in captured.err
    assert captured.out.startswith("medvol: run: 10 steps (6 in this session), 20 examples, ")
    assert captured.out.endswith("loss 0.5123; folder\n")


def test_silent_on_other_processes(capsys):
    progress = Progress("run", steps=2, shown=False)
    progress.update(2, {"loss": 1.0})
    progress.summarize(2, 4, {}, "folder")
    assert capsys.readouterr() == ("", "")


def test_a_line_for_every_tenth_in_a_log_file(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    progress = Progress("run", steps=100)
    for step in range(1, 101):
        progress.update(step, {"loss": 0.5} if step % 5 == 0 else {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("medvol: run: step 10 of 100, ")
    assert lines[0].endswith("s left; loss 0.5")
