import numpy as np
import pytest
import torch
from map_transforms import check_missing_keys
from scipy.ndimage import gaussian_filter
from scipy.stats import kstest

from medvol.transforms.blur import RandPatchBlurd


def blur(image, seed=0, **options):
    transform = RandPatchBlurd("image", **{"prob": 1.0, **options}).set_random_state(seed)
    return transform({"image": image})["image"], transform.drawn


@pytest.mark.parametrize("shape", [(7, 8, 9), (20, 3, 11), (12, 13), (2, 2), (9, 8, 1), (10,)])
@pytest.mark.parametrize("sigma", [(0.3, 0.9), (2.0, 5.0)])
def test_equals_scipy(shape, sigma):
    image = torch.rand(3, 2, *shape, dtype=torch.float64)
    found, drawn = blur(image, sigma=sigma)
    for view, changed, width in zip(image.numpy(), found.numpy(), drawn, strict=True):
        for channel, other in zip(view, changed, strict=True):
            np.testing.assert_allclose(other, gaussian_filter(channel, width, mode="mirror"), rtol=0, atol=1e-13)


def test_every_view_draws_for_itself():
    transform = RandPatchBlurd("image", sigma=(0.2, 1.2), prob=0.4).set_random_state(0)
    drawn = []
    for _ in range(100):
        transform.randomize(20)
        drawn.append(transform.drawn)
    drawn = np.array(drawn)
    assert abs((drawn > 0).mean() - 0.4) < 0.055  # five standard deviations
    assert kstest(drawn[drawn > 0], "uniform", (0.2, 1.0)).pvalue > 0.001
    assert len(set(drawn[drawn > 0])) == (drawn > 0).sum()
    assert (drawn > 0).sum(axis=1).std() < 4  # of 20 views; 2.2 where each is chosen alone, 9.8 where all are together
    image = torch.rand(20, 1, 6, 6)
    changed = transform({"image": image})["image"]
    assert [bool((a != b).any()) for a, b in zip(image, changed, strict=True)] == (transform.drawn > 0).tolist()


def test_channels_are_blurred_alike():
    image = torch.rand(2, 1, 8, 8, dtype=torch.float64).repeat(1, 3, 1, 1)
    found, _ = blur(image)
    assert torch.equal(found[:, 0], found[:, 2])


def test_two_axes_and_depth_one_are_equal_to_the_bit():
    image = torch.rand(40, 2, 12, 10, dtype=torch.float64)
    assert torch.equal(blur(image, prob=0.5)[0], blur(image[..., None], prob=0.5)[0][..., 0])


def test_a_constant_stays_and_the_mean_is_kept_away_from_borders():
    assert (blur(torch.full((1, 1, 9, 9, 9), 3.0))[0] - 3).abs().max() < 1e-5
    point = torch.zeros(1, 1, 15, 15, dtype=torch.float64)
    point[..., 7, 7] = 1
    assert blur(point)[0].sum().item() == pytest.approx(1)


def test_no_random_number_where_there_is_no_choice():
    for prob in (0.0, 1.0):
        transform = RandPatchBlurd("image", sigma=(1.0, 1.0), prob=prob).set_random_state(0)
        before = transform.R.get_state()[2]
        transform.randomize(5)
        assert transform.drawn.tolist() == [prob] * 5
        assert transform.R.get_state()[2] == before
    still = RandPatchBlurd("image", prob=0.0)
    image = torch.rand(2, 1, 5, 5)
    assert torch.equal(still({"image": image})["image"], image)


def test_types_and_input():
    whole = torch.randint(0, 9, (2, 1, 6, 6))
    assert blur(whole)[0].dtype == torch.float32
    image = torch.rand(2, 1, 6, 6)
    before = image.clone()
    blur(image)
    assert torch.equal(image, before)


def test_missing_keys_and_defaults():
    check_missing_keys(RandPatchBlurd, {"image": torch.rand(2, 1, 5, 5)})
    plain = RandPatchBlurd()
    assert (plain.keys, plain.sigma, plain.share, plain.allow_missing_keys) == (("image",), (0.0, 1.0), 0.5, False)


def test_errors():
    for sigma in ((1.0, 0.5), (-1.0, 1.0), (0.0, float("inf")), (1.0,), (0.0, float("nan")), 1.0):
        with pytest.raises(ValueError, match=r"sigma must be \(lowest, highest\), 0 or more; found .* in voxels"):
            RandPatchBlurd("image", sigma=sigma)
    with pytest.raises(ValueError, match=r"prob must be between 0 and 1; found 1.5"):
        RandPatchBlurd("image", prob=1.5)
    with pytest.raises(ValueError, match=r"views must be \(V, C, \*spatial\) under 'image'; found the shape \(5, 5\)"):
        blur(torch.rand(5, 5))
