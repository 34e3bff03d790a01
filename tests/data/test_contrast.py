"""Tests of the signal model: noise, bias field and tissue means, where the answer is known."""

import numpy as np
import pytest
from scipy import stats

from medvol.data import contrast
from medvol.data.anatomy import voxel_centers
from medvol.data.contrast import MODALITIES, SIGNAL, render

AXES = voxel_centers((29, 35, 30), 6)
INSIDE = np.arange(29 * 35 * 30)
COLUMNS = ("csf", "gray", "white", "necrosis", "edema", "enhancing")


def image_of(column: str, modality: str, seed: int = 0) -> np.ndarray:
    """Render a head that is all one tissue."""
    fractions = [np.full(INSIDE.size, float(name == column), np.float32) for name in COLUMNS]
    return render(np.random.default_rng(seed), modality, fractions, np.zeros(INSIDE.size, np.float32), AXES, INSIDE)


def test_every_modality_names_every_tissue():
    assert tuple(SIGNAL) == MODALITIES
    assert {len(row) for row in SIGNAL.values()} == {6}


@pytest.mark.parametrize(
    ("modality", "dark", "bright"),
    [("flair", "csf", "gray"), ("flair", "white", "edema"), ("t1", "necrosis", "white"), ("t1", "gray", "white"),
     ("t1ce", "necrosis", "enhancing"), ("t1ce", "white", "enhancing"), ("t2", "white", "gray"), ("t2", "white", "csf"),
     ("t2", "white", "edema")],
)  # fmt: skip
def test_order_for_every_patient(modality, dark, bright):
    for seed in range(5):
        assert image_of(dark, modality, seed).mean() < image_of(bright, modality, seed).mean()


def test_noise_is_rician(monkeypatch):
    """Without signal a Rician is a Rayleigh: its mean is sqrt(pi/2) of the noise, never negative."""
    monkeypatch.setitem(SIGNAL, "t1", (0.0,) * 6)
    image = image_of("white", "t1").astype(float)
    assert image.min() > 0
    sigma = np.sqrt((image**2).mean() / 2)
    assert image.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.01)
    assert stats.kstest(image[:2000] / sigma, "rayleigh").pvalue > 1e-3


def test_bias_field_is_smooth_and_differs_by_draw():
    one, other = (image_of("white", "t1", seed).reshape(29, 35, 30) for seed in (0, 1))
    for image in (one, other):
        blocks = image[:28, :35, :30].reshape(4, 7, 5, 7, 3, 10).mean((1, 3, 5))
        assert blocks.std() / blocks.mean() > 0.02
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.9


def test_same_draws_same_image():
    assert np.array_equal(image_of("gray", "t2", 3), image_of("gray", "t2", 3))


def test_texture_is_positive_on_t1_and_negative_on_t2():
    assert contrast._TEXTURE["t1"] > 0 > contrast._TEXTURE["t2"]
