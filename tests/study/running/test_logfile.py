"""What runs print goes into a file."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

import pytest

from medvol.study.running.logfile import output_into


def test_everything_that_is_printed_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    file = tmp_path / "logs" / "a.log"
    for turn in ("first", "second"):
        with output_into(file):
            print(turn, "out")
            print(turn, "error", file=sys.stderr)
            os.write(1, b"from C\n")
    print("after")
    text = file.read_text(encoding="utf-8")
    assert text.count("from C\n") == 2
    assert all(f"{turn} {kind}\n" in text for turn in ("first", "second") for kind in ("out", "error"))
    assert capfd.readouterr() == ("after\n", "")


def test_the_screen_comes_back_after_an_error(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit), output_into(tmp_path / "a.log"):
        raise SystemExit(3)
    print("after")
    os.write(1, b"from C\n")
    assert capfd.readouterr().out == "after\nfrom C\n"


def test_handlers_of_a_run_end_with_it(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    logger = logging.getLogger("medvol.a_run_of_a_test")
    before = list(logging.root.handlers)
    with output_into(tmp_path / "a.log"):
        logger.addHandler(logging.StreamHandler(sys.stdout))
        logging.root.addHandler(logging.StreamHandler(sys.stderr))
        logger.warning("inside")
    assert logging.root.handlers == before
    assert logger.handlers == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logger.warning("outside")  # to a closed file, logging would print a traceback
    assert "outside" not in (tmp_path / "a.log").read_text(encoding="utf-8")
    assert "Traceback" not in capfd.readouterr().err
