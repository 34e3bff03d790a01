"""Time of comparing a thousand fingerprints of 64^3 volumes with one another."""

import importlib.util
import time
from pathlib import Path

import pytest

from medvol.data.checks.duplicates import find_duplicates
from medvol.data.checks.fingerprint import fingerprint


@pytest.mark.speed
def test_a_thousand_volumes(capsys):
    file = Path(__file__).parents[1] / "fixtures" / "copies.py"
    spec = importlib.util.spec_from_file_location("medvol_fixtures_copies", file)
    copies = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copies)
    shape = (64, 64, 64)
    images = [copies.field(k, shape) for k in range(50)]
    start = time.process_time()
    for image in images:
        fingerprint(image, copies.header(shape))
    each = (time.process_time() - start) / len(images)
    prints = [fingerprint(copies.field(k, (40, 40, 40), 1.5), copies.header((40, 40, 40))) for k in range(1000)]
    start = time.process_time()
    assert find_duplicates(prints) == []
    spent = time.process_time() - start
    with capsys.disabled():
        print(f"\na print: {1e3 * each:.1f} ms; a thousand compared: {spent:.1f} s of processor time")
    assert each < 0.025
    assert spent < 10
