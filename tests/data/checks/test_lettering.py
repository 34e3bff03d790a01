import csv
import os
import string
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from medvol.data.checks.lettering import find_lettering
from medvol.data.reading import read_image

DATA = os.environ.get("MEDVOL_TEST_DATA")


def ground(seed, size=256):
    draw = np.random.default_rng(seed)
    field = gaussian_filter(draw.normal(size=(size, size)), size / 12)
    field = (field - field.min()) / (field.max() - field.min())
    return field * 200 + gaussian_filter(draw.normal(0, 20, (size, size)), 1)


def write(image, draw, share, length):
    """Return the image with white letters of that share of its height, their box, and how bright it was there."""
    wanted = int(np.ceil(share * len(image)))
    text = "".join(draw.choice(list(string.ascii_uppercase + string.digits), length))
    size = next(s for s in range(wanted, 4 * wanted + 4) if box_of(text, s)[3] - box_of(text, s)[1] >= wanted)
    left, top, right, bottom = box_of(text, size)
    width, height = int(right - left), int(bottom - top)
    column = int(draw.integers(1, max(2, image.shape[1] - width - 1)))
    row = int(draw.choice([2, len(image) - height - 3, int(draw.integers(2, len(image) - height - 3))]))
    picture = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))
    ImageDraw.Draw(picture).text((column - left, row - top), text, fill=255, font=ImageFont.load_default(size))
    part = image[row : row + height, column : column + width]
    return np.array(picture), (row, column, row + height, column + width), part.mean()


def box_of(text, size):
    return ImageFont.load_default(size).getbbox(text)


def is_found(picture, box):
    return any(
        one.top < box[2] and one.bottom > box[0] and one.left < box[3] and one.right > box[1]
        for one in find_lettering(picture)
    )


def test_letters_of_three_percent_and_more_are_found():
    draw, found = np.random.default_rng(0), []
    for seed in range(24):
        picture, box, _ = write(ground(seed), draw, (0.03, 0.04, 0.06, 0.1)[seed % 4], int(draw.integers(4, 8)))
        found.append(is_found(picture, box))
    assert np.mean(found) >= 0.9


def test_no_letters_in_smooth_fields():
    assert not any(find_lettering(ground(seed, (128, 256)[seed % 2])) for seed in range(30))


@pytest.mark.parametrize(("size", "smooth"), [(96, 0.0), (256, 1.0), (256, 2.0), (400, 1.0)])
def test_no_letters_in_noise(size, smooth):
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=(size, size))
        assert find_lettering(gaussian_filter(noise, smooth)) == []


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_of_one_value(value):
    assert find_lettering(np.full((40, 50), value)) == []


def test_two_letters_are_a_marker_and_no_text():
    picture = np.zeros((100, 100))
    for left in (10, 18):
        picture[10:18, left : left + 2] = picture[16:18, left : left + 5] = 1.0
    assert find_lettering(picture) == []


def test_one_slanted_band_is_no_text():
    """As wide as seven letters, like a collarbone."""
    picture = np.zeros((200, 200))
    for column in range(40):
        picture[50 + column // 10 : 54 + column // 10, 40 + column] = 1.0
    assert find_lettering(picture) == []


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="MEDVOL_TEST_DATA does not name a folder with real data")
def test_letters_on_chest_radiographs():
    folder = Path(DATA) / "cxr"
    lines = (folder / "manifest.csv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.DictReader(lines) if row["subset"] == "kermany"]
    draw = np.random.default_rng(3)
    images = [read_image(folder / rows[i]["path"])[1] for i in draw.permutation(len(rows))[:200]]
    images = [image if image.ndim == 2 else image.mean(-1) for image in images]
    # Hardly any of them has text, as the eye says.
    assert sum(bool(find_lettering(image)) for image in images) <= 2
    written = [write(image, draw, 0.06, 5) for image in images]
    assert np.mean([is_found(picture, box) for picture, box, under in written if under < 160]) >= 0.9
