import numpy as np
import pytest
from scipy import ndimage

from medvol.data.quality import image_quality, noise_level, otsu_threshold, sharpness

RANDOM = np.random.default_rng(0)


def texture(shape=(48, 48, 48)):
    smooth = ndimage.gaussian_filter(np.random.default_rng(1).random(shape), 3)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.where(smooth > 0.5, 100 * smooth, 0)


@pytest.mark.parametrize("shape", [(256, 256), (64, 64, 64), (24, 24, 24, 24), (200, 200, 1)])
@pytest.mark.parametrize("sigma", [0.5, 20])
def test_noise_that_is_known(shape, sigma):
    noise = RANDOM.normal(3, sigma, shape)
    assert noise_level(noise) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("shape", [(7, 8), (5, 6, 7)])
def test_noise_as_by_the_operator_written_out(shape):
    values = RANDOM.random(shape)
    line = np.array([1, -2, 1])
    operator = line[:, None] * line if len(shape) == 2 else line[:, None, None] * line[:, None] * line
    inner = tuple(slice(1, -1) for _ in shape)
    response = ndimage.correlate(values, operator.astype(float))[inner]
    expected = np.sqrt(np.pi / 2) * np.abs(response).mean() / np.sqrt(np.square(operator).sum())
    assert noise_level(values) == pytest.approx(expected, rel=1e-5)


def test_noise_in_a_mask():
    values = np.concatenate([RANDOM.normal(0, 1, (64, 64)), RANDOM.normal(0, 9, (64, 64))])
    mask = np.zeros(values.shape, bool)
    mask[70:] = True
    assert noise_level(values, mask) == pytest.approx(9, rel=0.05)
    assert noise_level(values, np.zeros_like(mask)) is None


def test_noise_does_not_see_a_ramp():
    assert noise_level(np.add.outer(np.arange(9.0), 3 * np.arange(8.0))) == pytest.approx(0, abs=1e-5)
    assert noise_level(np.ones((2, 2))) is None


def test_more_noise_is_less_quality():
    image = texture()
    found = [image_quality(image + RANDOM.normal(0, sigma, image.shape)) for sigma in (0, 0.5, 1, 2, 5, 10, 20)]
    assert found == sorted(found, reverse=True)
    assert found[2] - found[3] == pytest.approx(20 * np.log10(2), abs=0.5)  # twice the noise, a quarter of the ratio


def test_quality_in_decibel():
    steps = np.kron(RANDOM.choice([100.0, 200.0, 300.0], (6, 6, 6)), np.ones((10, 10, 10)))
    image = np.pad(steps, 12) + RANDOM.normal(0, 10, (84, 84, 84))
    smooth = ndimage.gaussian_filter(image, 1.0)
    inside = smooth[smooth > otsu_threshold(smooth)]
    assert image_quality(image) == pytest.approx(10 * np.log10(inside.var() / 100), abs=2)


def test_quality_does_not_depend_on_scale_and_offset():
    image = texture((32, 32)) + RANDOM.normal(0, 1, (32, 32))
    assert image_quality(image * 1000 - 70000) == pytest.approx(image_quality(image), abs=0.05)
    assert sharpness(image * 1000 - 70000) == pytest.approx(sharpness(image), rel=0.01)


def test_more_blur_is_less_sharp():
    image = texture()
    noise = RANDOM.normal(0, 0.1, image.shape)
    found = [sharpness(ndimage.gaussian_filter(image, sigma) + noise) for sigma in (0, 0.5, 1, 2, 3)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(0.25, abs=0.03)


def test_noise_alone_does_not_make_sharp():
    blurred = ndimage.gaussian_filter(texture(), 2)
    for sigma in (3, 8):
        noise = np.random.default_rng(3).normal(0, sigma, blurred.shape)
        assert sharpness(blurred + noise) == pytest.approx(sharpness(blurred), abs=0.01)


def test_only_the_middle_of_a_large_image_counts():
    image = np.pad(texture((96, 96)), 50)
    changed = image.copy()
    changed[:40] = RANDOM.normal(0, 50, (40, 196))
    assert image_quality(changed) == image_quality(image)
    assert sharpness(changed) == sharpness(image)


@pytest.mark.parametrize("ask", [image_quality, sharpness, otsu_threshold])
@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_nothing_is_said_of_a_flat_image(ask, value):
    assert ask(np.full((8, 8, 8), value)) is None
    assert ask(np.full((1, 1), value)) is None
    assert ask(np.zeros((0, 4))) is None


def test_some_nan_are_background():
    image = texture((32, 32)) + 5
    image[:4] = np.nan
    filled = np.where(np.isnan(image), np.nanmin(image), image)
    assert image_quality(image) == image_quality(filled)
    assert sharpness(image) == sharpness(filled)


def test_integers_do_as_well():
    image = texture((32, 32)).astype(np.uint8)
    assert image_quality(image) == image_quality(image.astype(float))


def best_parting(values):
    """The place between two values that leaves the largest variance between the classes, by trying all."""
    ordered = np.sort(values)
    low = np.arange(1, ordered.size)
    mean = np.cumsum(ordered)[:-1] / low
    rest = (ordered.sum() - np.cumsum(ordered)[:-1]) / (ordered.size - low)
    return ordered[np.argmax(low * (ordered.size - low) * (mean - rest) ** 2)]


@pytest.mark.parametrize("far", [0, 1e6])
def test_otsu_is_that_of_the_literature(far):
    values = np.concatenate([RANDOM.normal(10, 2, 5000), RANDOM.normal(50, 4, 3000)])
    threshold = otsu_threshold(np.append(values, far) if far else values)
    assert threshold == pytest.approx(best_parting(values), abs=3)
    assert (values > threshold).mean() == pytest.approx(3 / 8, abs=0.01)


def test_otsu_of_a_mask_parts_it():
    mask = np.zeros(1000)
    mask[:3] = 1  # fewer than the tails that are cut off
    assert 0 <= otsu_threshold(mask) < 1
