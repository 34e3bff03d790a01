"""What it costs to measure an image and to choose items by an expression."""

from __future__ import annotations

import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from medvol.data.measures import measure
from medvol.data.where import select

pytestmark = pytest.mark.speed


@pytest.mark.parametrize(("side", "seconds"), [(64, 0.06), (200, 0.5)])
def test_measuring_a_volume_with_its_label(side: int, seconds: float, tmp_path: Path) -> None:
    values = ndimage.gaussian_filter(np.random.default_rng(0).random((side, side, side)), 3) * 1000
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image((values > 500).astype(np.uint8), np.eye(4)), tmp_path / "b.nii.gz")
    item = {"image": "a.nii.gz", "label": "b.nii.gz", "patient": "a"}
    times = []
    for _ in range(6):
        start = time.process_time()  # of one thread: other work on the machine does not count
        measure(item, tmp_path, ("t1",), {"one": 1})
        times.append(time.process_time() - start)
    assert min(times) < seconds


def test_choosing_from_a_hundred_thousand_items() -> None:
    rows = [
        {"image": f"{i}.nii.gz", "patient": f"p{i}", "columns": {"spacing_z": i % 7 / 2, "site": f"s{i % 3}"}}
        for i in range(100_000)
    ]
    start = time.process_time()
    kept = select(rows, "spacing_z < 3 and site == 's1' and not labelled", "the test")
    assert time.process_time() - start < 1
    assert len(kept) == 28571
