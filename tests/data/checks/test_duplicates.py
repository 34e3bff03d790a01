"""Copies are found and strangers are not; the slow tier counts on whole sets."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from medvol.data import phantom_manifest
from medvol.data.checks.duplicates import find_duplicates
from medvol.data.checks.fingerprint import fingerprint
from medvol.data.reading import read_image


def injected(copies, images, count, seed=0):
    """Return the prints of the images and of copies of random ones of them, and which copy is whose."""
    draw = np.random.default_rng(seed)
    prints = [fingerprint(values, header) for values, header in images]
    of = []
    for k in range(count):
        of.append(int(draw.integers(len(images))))
        prints.append(fingerprint(*copies.copy(*images[of[-1]], copies.WAYS[k % len(copies.WAYS)], draw)))
    return prints, of


def judge(copies, images, count, people=None, seed=0):
    """Return the ways whose copies were missed, and the pairs of different people's originals that were reported."""
    prints, of = injected(copies, images, count, seed)
    source = [*range(len(images)), *of]
    found = {(i, j) for i, j, _ in find_duplicates(prints)}
    missed = [copies.WAYS[k % len(copies.WAYS)] for k in range(count) if (of[k], len(images) + k) not in found]
    people = people or list(range(len(images)))
    false = [(i, j) for i, j in found if people[source[i]] != people[source[j]]]
    return missed, false


def test_every_way_of_copying_is_seen_through_and_nobody_else_is_named(copies):
    images = [(copies.field(k, (26, 28, 24), 1.5), copies.header((26, 28, 24))) for k in range(12)]
    assert judge(copies, images, len(copies.WAYS)) == ([], [])


def test_radiographs(copies):
    fields = [copies.field(k, (90, 80), 2.0) for k in range(12)]
    images = [(field - field.min(), copies.header((90, 80))) for field in fields]  # intensities are not negative
    assert judge(copies, images, len(copies.WAYS)) == ([], [])


@pytest.mark.parametrize("shape", [(26, 28, 24), (90, 80)])
def test_a_set_of_three(copies, shape):
    draw = np.random.default_rng(0)
    one, other = (copies.field(k, shape, 2.0) for k in (20, 21))
    if len(shape) == 2:
        one, other = one - one.min(), other - other.min()
    for ways in copies.WAYS:
        copy = copies.copy(one, copies.header(shape), ways, draw)
        prints = [fingerprint(*image) for image in ((one, copies.header(shape)), (other, copies.header(shape)), copy)]
        assert [pair[:2] for pair in find_duplicates(prints)] == [(0, 2)], ways


def test_parts_that_overlap_and_a_grid_that_starts_elsewhere(copies):
    values = copies.field(5, (64, 64, 64), 2.0)
    for one, other in ((values[:44], values[20:]), (values, values[1:, :-1, 2:])):
        prints = [fingerprint(part, copies.header(part.shape)) for part in (one, other)]
        found = find_duplicates(prints)
        assert [pair[:2] for pair in found] == [(0, 1)]
        assert found[0][2] > 0.985, "a shift below one sample costs nothing"


def test_a_negative_of_a_radiograph_is_a_copy_and_of_a_volume_is_not(copies):
    picture, volume = copies.field(0, (80, 70)), copies.field(0, (24, 24, 24))
    for values, found in ((picture, 1), (volume, 0)):
        prints = [fingerprint(v, copies.header(v.shape)) for v in (values, -values, values[::-1] * 0 + 1)]
        assert len(find_duplicates(prints)) == found


def test_scores_are_sorted_shares_and_equal_images_have_one(copies):
    image = copies.field(3, (24, 24, 24))
    prints = [fingerprint(image, copies.header(image.shape))] * 3
    found = find_duplicates(prints)
    assert [pair[:2] for pair in found] == [(0, 1), (0, 2), (1, 2)]
    assert all(score == pytest.approx(1, abs=1e-3) for *_, score in found)


def test_flat_images_are_nobodys_copies(copies):
    head = copies.header((20, 20, 20))
    assert find_duplicates([fingerprint(np.zeros((20, 20, 20)), head)] * 3) == []


def under_one_percent(false, images):
    return len(false) < 0.01 * len(images)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "smooth"), [(0, 2.0), (1, 2.0), (2, 2.0), (3, 4.0), (4, 6.0)])
def test_fifty_of_a_hundred_and_fifty_fields(copies, seed, smooth):
    shape = (48, 56, 40)
    images = [(copies.field(1000 * seed + k, shape, smooth), copies.header(shape)) for k in range(150)]
    missed, false = judge(copies, images, 50, seed=seed)
    assert (missed, under_one_percent(false, images)) == ([], True)


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["flair", "t1", "t1ce", "t2"])
def test_fifty_of_the_phantoms(copies, modality):
    files = sorted(Path(phantom_manifest()).parent.glob(f"*/*_{modality}.nii.gz"))
    images = [read_image(file)[::-1] for file in files]
    missed, false = judge(copies, images, 50)
    assert (missed, under_one_percent(false, images)) == ([], True)


def real(name):
    root = os.environ.get("MEDVOL_TEST_DATA")
    if root is None:
        pytest.skip("MEDVOL_TEST_DATA does not name a folder with real data")
    with (Path(root) / name / "manifest.csv").open(encoding="utf-8") as file:
        return Path(root) / name, list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fifty_of_the_hippocampi_and_no_pair_of_subjects(copies, seed):
    root, rows = real("hippocampus")
    rows = [row for row in rows if row["split"] in ("train", "val")]
    images = [read_image(root / "imagesTr" / f"{row['id']}.nii.gz")[::-1] for row in rows]
    missed, false = judge(copies, images, 50, [row["subject"] for row in rows], seed)
    assert (missed, false) == ([], [])


@pytest.mark.slow
def test_fifty_of_six_hundred_chests_and_no_pair_of_patients(copies):
    root, rows = real("cxr")
    rows = [row for row in rows if row["subset"] == "kermany"]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:600]]
    images = [read_image(root / row["path"])[::-1] for row in rows]
    missed, false = judge(copies, images, 50, [row["patient"] for row in rows])
    assert (missed, false) == ([], [])
