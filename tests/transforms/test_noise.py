import numpy as np
import pytest
import torch
from map_transforms import check_missing_keys
from scipy.stats import kstest

from medvol.transforms.noise import RandPatchNoised


def noisy(image, seed=0, **options):
    transform = RandPatchNoised("image", **{"prob": 1.0, **options}).set_random_state(seed)
    return transform({"image": image})["image"], transform.drawn


def test_noise_is_normal_and_as_strong_as_was_drawn():
    image = torch.rand(4, 2, 20, 20, 20, dtype=torch.float64) * torch.tensor([1.0, 50.0]).reshape(2, 1, 1, 1) + 9
    found, drawn = noisy(image, strength=0.4)
    for v, c in np.ndindex(4, 2):
        added = (found[v, c] - image[v, c]).numpy().ravel()
        deviation = drawn[v] * image[v, c].numpy().std()
        assert kstest(added, "norm", (0, deviation)).pvalue > 0.001
        assert added.std() == pytest.approx(deviation, rel=0.05)


def test_its_strength_is_in_deviations_of_the_whole_channel():
    image = 5 * torch.arange(20, dtype=torch.float64).reshape(20, 1, 1) + torch.rand(2, 1, 20, 20, 20)  # a slope
    found, drawn = noisy(image, strength=0.4)
    for v in range(2):
        assert (found[v] - image[v]).numpy().std() == pytest.approx(drawn[v] * image[v].numpy().std(), rel=0.05)


def test_noise_of_views_channels_and_neighbors_is_its_own():
    image = torch.rand(1, 1, 24, 24, 24, dtype=torch.float64).expand(3, 2, 24, 24, 24)
    found, drawn = noisy(image)
    added = (found - image).flatten(0, 1).flatten(1)
    assert (np.corrcoef(added) - np.eye(6)).__abs__().max() < 0.05
    field = (found - image)[0, 0]
    for axis in range(3):
        one, other = field.narrow(axis, 0, 23).flatten(), field.narrow(axis, 1, 23).flatten()
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    assert len(set(drawn)) == 3


def test_strengths_are_uniform_and_of_each_view():
    transform = RandPatchNoised("image", strength=0.3, prob=0.4).set_random_state(0)
    transform.randomize(4000)
    drawn = transform.drawn
    assert abs((drawn > 0).mean() - 0.4) < 0.04  # five standard deviations
    assert kstest(drawn[drawn > 0], "uniform", (0, 0.3)).pvalue > 0.001
    seeds = transform._seeds
    assert len(set(seeds)) == 4000
    assert kstest(seeds / 2**62, "uniform").pvalue > 0.001


def test_views_that_are_left_alone_stay():
    image = torch.randn(30, 2, 6, 6)
    found, drawn = noisy(image, prob=0.5)
    assert [bool((a != b).any()) for a, b in zip(image, found, strict=True)] == (drawn > 0).tolist()
    assert 5 < (drawn > 0).sum() < 25
    assert torch.equal(noisy(image, prob=0.0)[0], image)
    assert torch.equal(noisy(image, strength=0.0)[0], image)


@pytest.mark.parametrize("value", [0.0, -3.7, 1e6])
def test_a_constant_channel_stays(value):
    image = torch.rand(4, 2, 8, 8)
    image[1, 0] = value
    found = noisy(image)[0]
    assert torch.equal(found[1, 0], image[1, 0])
    assert (found[1, 1] != image[1, 1]).any()


def test_two_axes_and_depth_one_are_equal_to_the_bit():
    image = torch.rand(40, 2, 12, 10)
    assert torch.equal(noisy(image, prob=0.5)[0], noisy(image[..., None], prob=0.5)[0][..., 0])


def test_the_same_state_gives_the_same_noise_and_another_call_gives_another():
    image = torch.rand(2, 1, 6, 6)
    assert torch.equal(noisy(image, 1)[0], noisy(image, 1)[0])
    assert not torch.equal(noisy(image, 1)[0], noisy(image, 2)[0])
    transform = RandPatchNoised("image", prob=1.0).set_random_state(0)
    assert not torch.equal(transform({"image": image})["image"], transform({"image": image})["image"])


def test_input_types_and_defaults():
    image = torch.rand(2, 1, 6, 6)
    before = image.clone()
    noisy(image)
    assert torch.equal(image, before)
    assert noisy(image)[0].dtype == torch.float32
    assert noisy(image.double())[0].dtype == torch.float64
    check_missing_keys(RandPatchNoised, {"image": torch.rand(2, 1, 5, 5)})
    plain = RandPatchNoised()
    assert (plain.keys, plain.strength, plain.share, plain.allow_missing_keys) == (("image",), 0.1, 0.25, False)


@pytest.mark.parametrize("strength", [-0.1, float("inf"), float("nan")])
def test_errors(strength):
    with pytest.raises(ValueError, match=r"strength must be 0 or more; found .*; 0.1 of a view's deviation is usual"):
        RandPatchNoised("image", strength=strength)
