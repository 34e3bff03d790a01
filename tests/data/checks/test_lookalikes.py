import itertools

import numpy as np
import pytest

from medvol.data.checks.fingerprint import fingerprint
from medvol.data.checks.lookalikes import candidates, mirrors


def prints(copies, images):
    return [fingerprint(image, copies.header(image.shape)) for image in images]


def pairs(found):
    return {(one.first, one.second) for one in found}


@pytest.mark.parametrize("axes", [axes for n in range(1, 4) for axes in itertools.combinations(range(3), n)])
def test_every_flip_of_a_volume_is_a_candidate_with_its_axes(copies, axes):
    images = [copies.field(k, (24, 26, 22)) for k in range(20)]
    found = candidates(prints(copies, [*images, np.flip(images[2], axes)]))
    assert (2, 20) in pairs(found)
    flips = next(one.flips for one in found if (one.first, one.second) == (2, 20))
    others = tuple(axis for axis in range(3) if axis not in axes)
    assert flips in (axes, others), "a spectrum does not tell a flip from the flip of all other axes"


def test_a_shift_is_a_candidate_and_strangers_are_few(copies):
    images = [copies.field(k, (30, 32, 28)) for k in range(20)]
    shifted = images[4][3:, 2:, :-3]
    found = candidates(prints(copies, [*images, shifted]))
    assert (4, 20) in pairs(found)
    best = max(found, key=lambda one: one.likeness)
    assert (best.first, best.second) == (4, 20)


@pytest.mark.parametrize("factor", [0.85, 1.2])
def test_a_radiograph_of_another_scale_is_a_candidate(copies, factor):
    images = [copies.field(k, (96, 90), 1.5) for k in range(8)]
    rows, columns = (slice(round(n * 0.08), round(n * 0.92)) for n in (96, 90))
    cropped = images[3][rows, columns] if factor > 1 else np.pad(images[3], 8, mode="reflect")
    found = candidates(prints(copies, [*images, cropped]))
    assert (3, 8) in pairs(found)
    scale = next(one.scale for one in found if (one.first, one.second) == (3, 8))
    assert scale > 1 if factor > 1 else scale < 1


def test_volumes_and_radiographs_are_never_paired(copies):
    volumes = [copies.field(k, (20, 20, 20)) for k in range(3)]
    pictures = [volume[:, :, 10] for volume in volumes]
    for one in candidates(prints(copies, [*volumes, *pictures])):
        assert (one.first < 3) == (one.second < 3)


def test_of_a_few_images_every_pair_is_looked_at_under_every_flip(copies):
    found = candidates(prints(copies, [copies.field(k, (24, 26, 22)) for k in range(4)]))
    assert pairs(found) == set(itertools.combinations(range(4), 2))
    assert {one.flips for one in found} == {None}
    assert mirrors(3) == [(), (0,), (1,), (0, 1)]


@pytest.mark.parametrize("count", [0, 1])
def test_few_prints_have_no_pairs(copies, count):
    assert candidates(prints(copies, [copies.field(0, (16, 16, 16))] * count)) == []
