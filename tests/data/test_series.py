import numpy as np
import pytest

from medvol.data.series import series_files, tilt, unevenness

NORMAL = np.array([0.0, 0.6, 0.8])


def places(distances, shift=0.0):
    """Positions along the normal, each shifted across it by a share of its distance."""
    return [NORMAL * at + np.array([at * shift, 0, 0]) for at in np.cumsum([0, *distances])]


@pytest.mark.parametrize("distances", [[], [3], [3, 3, 3], [3, 3.01, 2.99], [-2, -2]])
def test_even(distances):
    assert unevenness(places(distances), NORMAL) == ""


@pytest.mark.parametrize(
    ("distances", "words"),
    [([3, 6, 3], "3 to 6 mm"), ([1, 1.1], "1 to 1.1 mm"), ([0, 3, 3], "0 to 3 mm"), ([0, 0], "0 to 0 mm")],
)
def test_uneven(distances, words):
    assert unevenness(places(distances), NORMAL) == f"slices lie {words} apart"


@pytest.mark.parametrize("degrees", [1, 20, 60])
def test_tilt(degrees):
    found = tilt(places([3, 3], np.tan(np.radians(degrees))), NORMAL)
    assert f"{degrees} degrees" in found
    assert tilt(places([3, 3]), NORMAL) == tilt(places([3, 3], 0.005), NORMAL) == ""


def test_slices_at_one_place_do_not_lean():
    assert tilt(places([0, 0]), NORMAL) == ""


def test_a_folder_without_a_series(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="holds 0; name the image files"):
        series_files(tmp_path)
