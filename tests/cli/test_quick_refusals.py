"""A command that finds nothing says so without loading what it would have needed; one process sees all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from medvol.__main__ import main

def loaded():
    return {name for name in ("torch", "monai") if name in sys.modules}

assert main(["fetch", "no-such.zip"]) == 2
assert main(["push", "nothing.zip", "me/x", "--dry_run"]) == 2
assert not loaded(), loaded()
assert main(["card", "no-such"]) == 2
assert "monai" not in loaded()
"""


def test_what_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        encoding="utf-8", check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("medvol: ") == 3
