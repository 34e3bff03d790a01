import numpy as np
import pytest

from medvol.data.checks.fingerprint import SAMPLES, fingerprint
from medvol.data.reading import Header


def same(one, other):
    """Correlation of two prints' images on their finest common grid."""
    level = min(set(one.levels) & set(other.levels))
    a, b = (p.levels[level].astype(float).ravel() for p in (one, other))
    return np.corrcoef(a, b)[0, 1] if a.shape == b.shape else 0.0


def test_it_is_small_and_of_physical_size(copies):
    shape = (40, 44, 36)
    one = fingerprint(copies.field(0, shape), copies.header(shape, (1, 1, 1)))
    edge = np.prod(one.levels[min(one.levels)].shape) ** (1 / 3)
    assert SAMPLES[3] / 1.5 < edge < SAMPLES[3] * 1.05
    assert sum(image.nbytes for image in one.levels.values()) < 100_000
    assert all(image.dtype == np.int8 for image in one.levels.values())
    twice = fingerprint(copies.field(0, shape), copies.header(shape, (2, 2, 2)))
    assert [level - 2 for level in sorted(twice.levels)] == sorted(one.levels), "twice as large: two half octaves on"
    assert not one.is_radiograph


@pytest.mark.parametrize("change", [lambda v: 40 * v + 7, lambda v: (v * 1000).astype(np.int32), lambda v: v / 1e6])
def test_brightness_and_type_do_not_matter(copies, change):
    shape = (30, 34, 28)
    values = copies.field(1, shape)
    plain = fingerprint(values, copies.header(shape))
    changed = fingerprint(change(values), copies.header(shape))
    for level, image in plain.levels.items():
        assert np.abs(image.astype(int) - changed.levels[level]).max() <= 2


def test_a_shading_hardly_matters(copies):
    shape = (36, 36, 36)
    values = copies.field(2, shape)
    values -= values.min()
    shaded = values * np.linspace(0.5, 1.5, 36)[:, None, None]
    assert same(fingerprint(values, copies.header(shape)), fingerprint(shaded, copies.header(shape))) > 0.9


def test_axes_that_the_header_names_are_put_in_order(copies):
    shape = (30, 36, 24)
    values = copies.field(3, shape)
    swap = np.array([[0, 2.0, 0, 0], [1, 0, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 1]])
    straight = Header(shape, 1, (1, 2, 1.5), np.diag([1, 2, 1.5, 1]), "float32", {})
    turned = Header((36, 30, 24), 1, (2, 1, 1.5), swap, "float32", {})
    one, other = fingerprint(values, straight), fingerprint(values.transpose(1, 0, 2), turned)
    for level, image in one.levels.items():
        assert np.array_equal(image, other.levels[level])


def test_colors_are_averaged_and_the_first_channel_of_a_volume_counts(copies):
    picture = copies.field(4, (50, 60))
    colored = np.stack([picture] * 3, -1)
    head = Header((50, 60), 3, (np.nan, np.nan), None, "float32", {})
    plain = fingerprint(picture, copies.header((50, 60)))
    assert plain.is_radiograph
    assert plain.extent == 1.0
    assert np.abs(plain.levels[0].astype(int) - fingerprint(colored, head).levels[0]).max() <= 1
    volume = np.stack([copies.field(k, (20, 20, 20)) for k in (5, 6)], -1)
    head = Header((20, 20, 20), 2, (1, 1, 1), None, "float32", {})
    first = fingerprint(volume[..., 0], copies.header((20, 20, 20)))
    assert all(np.array_equal(image, fingerprint(volume, head).levels[k]) for k, image in first.levels.items())


def test_values_that_are_not_finite_and_flat_images_give_a_print(copies):
    values = copies.field(7, (20, 20, 20))
    values[3:5] = np.nan
    values[6, 0] = np.inf
    for image in (values, np.zeros((20, 20, 20)), np.full((20, 20, 1), 3.0)):
        made = fingerprint(image, copies.header(image.shape))
        assert all(np.isfinite(level).all() for level in made.levels.values())


@pytest.mark.parametrize("shape", [(4, 5, 7), (4, 5), (0, 5, 6), (4, 5, 6, 2, 2)])
def test_values_of_another_shape_are_refused(copies, shape):
    head = copies.header((0, 5, 6) if 0 in shape else (4, 5, 6))
    with pytest.raises(ValueError, match="the header's shape"):
        fingerprint(np.zeros(shape), head)


def test_a_finer_image_is_read_in_steps_and_gives_the_same_print(copies):
    values = copies.field(8, (24, 26, 22))
    fine = values.repeat(6, 0).repeat(6, 1).repeat(6, 2)
    coarse = fingerprint(values, copies.header(values.shape, (3, 3, 3)))
    assert same(coarse, fingerprint(fine, copies.header(fine.shape, (0.5, 0.5, 0.5)))) > 0.95
