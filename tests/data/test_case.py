"""Tests of one simulated patient: the same by seed, compact, and with the contrast of a glioma."""

import numpy as np
import pytest
from scipy import ndimage

from medvol.data import case as module
from medvol.data.anatomy import load_template
from medvol.data.case import Case, make_case

SEEDS = range(6)
ANY_NEIGHBOR = np.ones((3, 3, 3))
GOLDEN = [326, 2056, 699, 142, 2675, 577]  # voxels of labels 1, 2, 4 for seeds 0 and 1 at 3 mm


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """Six patients at 3 mm."""
    return [make_case(seed, spacing=3) for seed in SEEDS]


@pytest.fixture(scope="module")
def twins() -> list[Case]:
    """The same six before the disease."""
    return [make_case(seed, spacing=3, with_tumor=False) for seed in SEEDS]


@pytest.fixture(scope="module")
def fine() -> list[Case]:
    """The first three at 2 mm."""
    return [make_case(seed) for seed in range(3)]


def core(case: Case) -> np.ndarray:
    return (case.label == 1) | (case.label == 4)


def surviving(mask: np.ndarray) -> float:
    """Share of a mask's voxels that the majority of their 3x3x3 neighborhood confirms; speckle makes it small."""
    return float((ndimage.uniform_filter(mask.astype(float), 3) > 0.5)[mask].mean())


class TestForm:
    def test_shapes_and_types(self, cases):
        for case in cases:
            assert case.images.shape == (4, 58, 70, 60)
            assert case.images.dtype == np.float32
            assert case.label.dtype == np.uint8
            assert set(np.unique(case.label)) <= {0, 1, 2, 4}
            assert (case.label > 0).any()

    def test_two_millimeters_is_the_documented_grid(self, fine):
        case = fine[0]
        assert case.images.shape == (4, 88, 105, 90)
        assert np.allclose(np.abs(np.diag(case.affine)), (2, 2, 2, 1))
        assert (np.diag(case.affine) > 0).all()  # RAS

    def test_one_place_at_every_spacing(self, cases):
        """World coordinates of the core's middle agree: the same seed is the same patient."""
        for seed in (0, 1):
            centers = []
            for case in (cases[seed], make_case(seed, spacing=4)):
                voxel = np.argwhere(core(case)).mean(0)
                centers.append(case.affine[:3, :3] @ voxel + case.affine[:3, 3])
            assert np.linalg.norm(centers[0] - centers[1]) < 3

    @pytest.mark.parametrize("spacing", [0, 2.5, 7, -1])
    def test_wrong_spacing(self, spacing):
        with pytest.raises(ValueError, match=r"one of .*found .*; use 2"):
            make_case(0, spacing=spacing)


class TestSeed:
    def test_same_seed_same_bits(self, cases):
        again = make_case(0, spacing=3)
        assert again.images.tobytes() == cases[0].images.tobytes()
        assert again.label.tobytes() == cases[0].label.tobytes()

    def test_seeds_differ(self, cases):
        assert len({case.label.tobytes() for case in cases}) == len(cases)
        assert len({(case.images[1] > 0).tobytes() for case in cases}) == len(cases)

    def test_several_numbers_are_one_seed(self):
        one, other = (make_case((0, number), spacing=6) for number in (1, 2))
        assert not np.array_equal(one.images, other.images)

    def test_version_pins_the_patient(self, cases):
        """Fails when a seed gives another patient: raise VERSION then, or old caches are taken for new."""
        assert module.VERSION == 1
        volumes = [int((case.label == value).sum()) for case in cases[:2] for value in (1, 2, 4)]
        assert volumes == pytest.approx(GOLDEN, rel=0.02, abs=3)


class TestTumor:
    def test_one_piece(self, cases):
        for case in cases:
            assert ndimage.label(core(case), ANY_NEIGHBOR)[1] == 1
            assert ndimage.label(case.label > 0, ANY_NEIGHBOR)[1] == 1

    def test_no_speckle(self, fine):
        """At 2 mm the sketch that this replaces has 0.85, 0.89 and 0.90 for its cores."""
        assert min(surviving(core(case)) for case in fine) > 0.93
        assert np.mean([surviving(core(case)) for case in fine]) > 0.95
        assert min(surviving(case.label > 0) for case in fine) > 0.94

    def test_speckle_would_be_seen(self, cases):
        """The measure itself: a core sprinkled with holes fails it."""
        holes = np.random.default_rng(0).random(cases[0].label.shape) < 0.3
        assert surviving(core(cases[0]) & ~holes) < 0.93

    def test_rim_encloses_necrosis(self, cases):
        assert sum((case.label == 1).any() for case in cases) >= 3
        for case in cases:
            necrosis = case.label == 1
            faces = ndimage.generate_binary_structure(3, 1)
            open_side = ndimage.binary_dilation(~core(case), faces) & necrosis
            assert open_side.sum() <= 0.05 * necrosis.sum()

    def test_edema_touches_core_and_follows_white_matter(self, cases, twins):
        """More of the edema than of a shell of the same reach lies in tissue that was white on T1."""
        more = []
        for case, twin in zip(cases, twins, strict=True):
            edema = case.label == 2
            assert (ndimage.binary_dilation(core(case), ANY_NEIGHBOR) & edema).any()
            distance = ndimage.distance_transform_edt(~core(case))
            shell = (distance > 0) & (distance <= distance[edema].max()) & (case.images[1] > 0) & ~edema
            more.append(twin.images[1][edema].mean() / twin.images[1][shell].mean())
        assert np.mean(more) > 1.08

    def test_inside_the_brain(self, cases):
        for case in cases:
            brain = (case.images > 0).all(0)
            assert brain[case.label > 0].all()

    def test_volumes_are_those_of_gliomas(self, cases):
        """Milliliters; the middle of BraTS is near 30 for the core and 90 for all."""
        for case in cases:
            milliliters = 0.027 * core(case).sum()
            assert 3 < milliliters < 70
            assert 0.027 * (case.label > 0).sum() < 210

    def test_both_sides(self):
        sides = {int(np.argwhere(core(make_case(s, spacing=6))).mean(0)[0] > 14) for s in range(12)}
        assert sides == {0, 1}


class TestMassEffect:
    def test_tissue_is_displaced_around_the_tumor(self, cases, twins):
        """Scanned alike, patient and healthy twin differ beyond the tumor, most where it is near."""
        for case, twin in zip(cases, twins, strict=True):
            away = ndimage.distance_transform_edt(case.label == 0) * 3
            brain = case.images[1] > 0
            change = np.abs(case.images[1] - twin.images[1]) / twin.images[1][brain].mean()
            near = change[brain & (away > 3) & (away < 15)].mean()
            far = change[brain & (away > 60)].mean()
            assert near > max(1.5 * far, 0.05)

    def test_skull_holds(self, cases, twins):
        for case, twin in zip(cases, twins, strict=True):
            assert np.array_equal(case.images[0] > 0, twin.images[0] > 0)


class TestContrast:
    def test_background_is_zero(self, cases):
        for case in cases:
            brain = case.images > 0
            assert (brain == brain[0]).all()
            assert 0.1 < brain[0].mean() < 0.5
            assert not brain[0][0].any()
            assert ndimage.label(brain[0])[1] == 1

    def test_order_of_regions(self, cases, twins):
        """The signs that a reader looks for, as means over regions."""
        for case, twin in zip(cases, twins, strict=True):
            flair, t1, t1ce, t2 = case.images
            healthy = (case.label == 0) & (t1 > 0)
            low, high = np.percentile(twin.images[1][healthy], [8, 70])
            csf, white = healthy & (twin.images[1] < low), healthy & (twin.images[1] > high)
            inner = {k: ndimage.binary_erosion(case.label == k, iterations=1) for k in (1, 2, 4)}
            edema = case.label == 2
            assert flair[edema].mean() > 1.4 * flair[white].mean() > 1.4 * flair[csf].mean()
            assert t2[csf].mean() > 1.1 * t2[white].mean()
            assert t2[edema].mean() > 1.3 * t2[white].mean()
            assert t1[core(case)].mean() < 0.85 * t1[white].mean()
            assert t1ce[case.label == 4].mean() > 1.1 * t1ce[white].mean()
            if inner[1].any():
                assert t1ce[inner[1]].mean() < 0.8 * t1ce[white].mean()
                assert t1ce[case.label == 4].mean() > 1.6 * t1ce[inner[1]].mean()

    def test_noise_is_there(self, cases):
        """In flat white matter, what a neighbor does not predict is 1 to 6 % of the signal."""
        template = load_template(3)
        assert template.white.max() <= 1.01
        for case in cases:
            image = case.images[1]
            white = ndimage.binary_erosion((image > np.percentile(image[image > 0], 60)) & (case.label == 0))
            step = np.diff(image, axis=0)[(white[1:] & white[:-1])]
            assert 0.01 < step.std() / np.sqrt(2) / image[white].mean() < 0.06

    def test_scales_differ(self, cases):
        means = [image[image > 0].mean() for case in cases for image in case.images]
        assert max(means) > 1.5 * min(means)
