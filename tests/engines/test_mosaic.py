"""medvol.engines.mosaic"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medvol.engines.mosaic import HIDDEN, UNCOUNTED, Mosaic, Panel, paint

WINDOW = (0.0, 1.0)


def test_gray_values_fill_the_window_and_are_cut_off_outside_of_it():
    values = np.array([[-3.0, 1.0, 2.0, 3.0, 9.0, np.nan, np.inf]])
    colors = paint(Panel("", values, (1.0, 3.0)))
    assert colors.dtype == np.uint8
    assert colors[0].tolist() == [*([v] * 3 for v in (0, 0, 128, 255, 255)), list(UNCOUNTED), [255] * 3]
    assert paint(Panel("", np.ones((1, 1)), (1.0, 1.0))).tolist() == [[[128] * 3]]


def test_errors_are_colored_from_black_to_pale_and_rise_in_brightness():
    colors = paint(Panel("", np.array([[0.0, 0.5, 1.0, 7.0, np.nan]]), WINDOW, colored=True))[0].astype(int)
    assert colors[0].max() < 6
    assert colors[2].tolist() == colors[3].tolist()
    assert colors[0].sum() < colors[1].sum() < colors[2].sum()
    assert colors[4].tolist() == list(UNCOUNTED)


def test_a_tint_lies_on_hidden_voxels_only():
    hidden = np.array([[True, False]])
    colors = paint(Panel("", np.ones((1, 2)), WINDOW, tint=hidden))
    assert colors.tolist() == [[[(255 + c) // 2 for c in HIDDEN], [255] * 3]]


@pytest.fixture
def corner():
    """A plane of 6 rows and 4 columns with a white upper left corner."""
    values = np.zeros((6, 4))
    values[0, 0] = 1.0
    return values


def test_planes_keep_their_proportions_and_their_corners(corner):
    mosaic = Mosaic("title", (1.0, 3.0), [[Panel("a", corner, WINDOW), Panel("b", corner[::-1], WINDOW)]])
    picture = np.asarray(mosaic.picture())
    black = (picture == 0).all(-1)
    rows = np.flatnonzero(black[:, 15:170].mean(1) > 0.5)
    # 6 x 1 mm high and 4 x 3 mm wide: half as high as wide, 168 pixels.
    assert abs(len(rows) - 84) < 3
    first, second = picture[rows[0] - 2 :, 10:178], picture[rows[0] - 2 :, 186:354]
    assert first[4, 3].tolist() == [255] * 3
    assert first[80, 3].tolist() == [0] * 3
    assert second[4, 3].tolist() == [0] * 3
    assert second[80, 3].tolist() == [255] * 3
    assert first[4, 160].tolist() == [0] * 3


def test_only_errors_bring_a_scale_and_only_notes_a_legend(corner):
    def size(notes=(), **more):
        return Mosaic("", (1.0, 1.0), [[Panel(f"{n}", corner, WINDOW, **more) for n in range(4)]], notes).picture().size

    plain, colored, noted = size(), size(colored=True), size([(HIDDEN, "hidden from the network")])
    assert colored[0] > plain[0]
    assert colored[1] == plain[1]
    assert noted[1] > plain[1]


def test_equal_panels_give_equal_files(corner):
    files = [Mosaic("t", (1.0, 1.0), [[Panel("a", corner, WINDOW, colored=True, words="mean 0")]]).png() for _ in "12"]
    assert files[0] == files[1]
    assert Image.open(io.BytesIO(files[0])).mode == "RGB"
