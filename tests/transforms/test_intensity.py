from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch
from map_transforms import check_missing_keys
from monai.data import MetaTensor

from medvol.transforms import RandPatchIntensityd
from medvol.transforms.intensity import _polynomial

PLAIN = {"scale": (1, 1), "shift": (0, 0), "bias": 0.0, "channel_drop": 0.0}


def change(patches, seed=0, **options):
    return RandPatchIntensityd("image", **options).set_random_state(seed)({"image": patches})["image"]


def patches_of(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3 + 7


@pytest.mark.parametrize(
    ("shape", "degree"),
    [((5, 2, 6, 5, 4), 2), ((5, 2, 6, 5, 1), 2), ((5, 2, 6, 5), 3), ((5, 2, 7, 2), 1), ((5, 2, 9), 2)],
)
def test_equals_the_loop_over_patches(shape, degree):
    patches = patches_of(*shape)
    transform = RandPatchIntensityd("image", degree=degree, channel_drop=0.4).set_random_state(3)
    result = transform({"image": patches})["image"]
    size = shape[2:]
    lines = [np.linspace(-1, 1, n) if n > 1 else None for n in size]
    for p, c in np.ndindex(*shape[:2]):
        x = patches[p, c].numpy()
        z = (x - x.mean()) / x.std() * transform._factor[p, c] + transform._offset[p, c]
        axes = [a for a in range(len(size)) if size[a] > 1]
        terms = [term for order in range(1, degree + 1) for term in combinations_with_replacement(axes, order)]
        field = np.zeros(size)
        for coefficient, term in zip(transform._field[p, c], terms, strict=True):
            monomial = np.ones(size)
            for axis in term:
                monomial = monomial * lines[axis].reshape([-1 if a == axis else 1 for a in range(len(size))])
            field += coefficient * monomial
        z = z * np.exp(field)
        z = (z - z.mean()) / z.std() if transform._keep[p, c] else np.zeros(size)
        np.testing.assert_allclose(result[p, c].numpy(), z, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 2, 9, 8, 7), (3, 2, 9, 8, 1), (3, 2, 9, 8)])
@pytest.mark.parametrize("degree", [1, 2])
def test_a_polynomial_is_fitted_and_subtracted(shape, degree):
    patches = patches_of(*shape)
    found = change(patches, detrend=degree, **PLAIN)
    places = np.indices(shape[2:]).reshape(len(shape) - 2, -1).astype(float)
    places = places[np.ptp(places, axis=1) > 0]
    terms = [np.ones(places.shape[1]), *places]
    terms += [a * b for i, a in enumerate(places) for b in places[i:]] if degree == 2 else []
    for p, c in np.ndindex(*shape[:2]):
        x = patches[p, c].numpy().ravel()
        rest = x - np.stack(terms, 1) @ np.linalg.lstsq(np.stack(terms, 1), x, rcond=None)[0]
        np.testing.assert_allclose(found[p, c].numpy().ravel(), rest / rest.std(), atol=1e-6)


def test_a_bias_field_of_the_degree_leaves_no_trace():
    patches = patches_of(1, 1, 10, 10, 10)
    x, y, z = (torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(s) for s in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)))
    shaded = patches + 4 * x - 2 * y * z + 3 * z**2
    plain, found = (change(p, detrend=2, **PLAIN) for p in (patches, shaded))
    assert (plain - found).abs().max() < 1e-5
    assert (change(patches, **PLAIN) - change(shaded, **PLAIN)).abs().max() > 0.5


def test_nothing_but_a_trend_becomes_zero():
    ramp = torch.linspace(0, 5, 8).reshape(1, 1, 8, 1).expand(2, 1, 8, 8)
    assert (change(ramp, detrend=1) == 0).all()
    assert torch.isfinite(change(patches_of(2, 1, 1, 2, 1).float(), detrend=2)).all()


def test_what_remains_beside_a_trend_is_texture_from_a_hundred_thousandth_on():
    # one mere trend, and trends with a texture just below and above the limit, among patches of noise
    line = torch.linspace(-1, 1, 16, dtype=torch.float64)
    texture = torch.tensor([1.0, -1, -1, 1], dtype=torch.float64).repeat(4)  # no trend: against none of the terms
    ramp = line[:, None, None].expand(16, 16, 16)
    weave = texture[:, None, None] * texture[:, None] * texture
    patches = patches_of(3, 2, 16, 16, 16)
    noise = change(patches, detrend=2, **PLAIN)
    for (p, c), share in (((0, 1), 0.0), ((1, 0), 0.8e-5), ((2, 1), 1.05e-5)):
        patches[p, c] = ramp / ramp.std(correction=0) + share * weave
    for dtype in (torch.float32, torch.float64):
        found = change(patches.to(dtype), detrend=2, **PLAIN).double()
        assert (found[0, 1] == 0).all()
        for p, c in ((0, 0), (1, 1), (2, 0)):
            assert torch.allclose(found[p, c], noise[p, c], atol=1e-4)
    assert (found[1, 0] == 0).all()
    assert torch.allclose(found[2, 1], weave, atol=0.05)


def test_faint_patches_are_not_measured_against_strong_ones():
    patches = patches_of(4, 3, 6, 5, 4)
    scaled = patches * torch.tensor([[1.0, 1e8, 1], [1, 1, -1e8], [1, 1, 1], [1e8, -1e8, 1]])[..., None, None, None]
    sign = torch.tensor([[1.0, 1, 1], [1, 1, -1], [1, 1, 1], [1, -1, 1]])[..., None, None, None]
    assert torch.allclose(change(scaled, **PLAIN), change(patches, **PLAIN) * sign, atol=1e-9)


def test_without_changes_it_is_the_z_score_and_forgets_affine_changes():
    patches = patches_of(4, 3, 5, 5, 5)
    z = change(patches, **PLAIN)
    expected = (patches - patches.mean((2, 3, 4), keepdim=True)) / patches.std((2, 3, 4), correction=0, keepdim=True)
    assert torch.allclose(z, expected, atol=1e-10)
    assert torch.allclose(change(patches * 40 - 1000, **PLAIN), z, atol=1e-8)
    assert torch.allclose(change(patches * 40 - 1000, seed=4), change(patches, seed=4), atol=1e-8)


def test_every_patch_and_channel_draws_for_itself():
    same = patches_of(1, 1, 6, 6, 6).expand(4, 2, 6, 6, 6)
    result = change(same, channel_drop=0.0).flatten(0, 1).flatten(1)
    assert (torch.cdist(result, result) + torch.eye(8) > 0.5).all()
    assert torch.equal(same, patches_of(1, 1, 6, 6, 6).expand(4, 2, 6, 6, 6))  # the input is not written to


def test_draws_stay_in_their_ranges():
    transform = RandPatchIntensityd("image", scale=(0.5, 2.0), shift=(-1.0, 1.0), bias=0.2).set_random_state(0)
    transform.randomize(2000, 2, 9)
    assert (transform._factor.min() >= 0.5) & (transform._factor.max() <= 2.0) & (np.ptp(transform._factor) > 1.4)
    assert (np.abs(transform._offset).max() <= 1.0) & (np.ptp(transform._offset) > 1.9)
    assert (np.abs(transform._field).max() <= 0.2) & (np.ptp(transform._field) > 0.39)


def test_channels_are_dropped_but_never_all():
    patches = patches_of(3000, 3, 2, 2)
    result = change(patches, channel_drop=0.5)
    present = (result != 0).flatten(2).any(-1)
    counts = present.sum(1)
    assert counts.min() == 1
    assert float((counts == 3).double().mean()) == pytest.approx(1 / 8, abs=0.02)
    assert float((counts == 1).double().mean()) == pytest.approx(3 / 8 + 1 / 8, abs=0.03)
    assert present.double().mean(0).std() < 0.02  # no channel is favored
    assert (change(patches_of(50, 1, 3, 3), channel_drop=0.9) != 0).any()


@pytest.mark.parametrize("value", [0.0, -3.7, 1e6])
def test_constant_patches_become_zero(value):
    patches = patches_of(6, 2, 4, 4, 4).float()
    patches[2], patches[4, 1] = value, value
    result = change(patches, channel_drop=0.0)
    assert torch.isfinite(result).all()
    assert (result[2] == 0).all()
    assert (result[4, 1] == 0).all()
    assert (result[4, 0] != 0).any()
    others = result[[0, 1, 3, 5]]
    assert others.mean((2, 3, 4)).abs().max() < 1e-5
    assert (others.std((2, 3, 4), correction=0) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("shape", [(3, 2, 1, 1, 1), (3, 2, 1)])
def test_one_voxel_patches_are_zero_not_nan(shape):
    assert torch.equal(change(torch.ones(shape)), torch.zeros(shape))
    assert _polynomial(shape[2:], 2).shape == (0, 1)


def test_two_axes_and_depth_one_draw_the_same():
    patches = patches_of(4, 2, 6, 5)
    assert torch.equal(change(patches, 7), change(patches[..., None], 7)[..., 0])
    assert _polynomial((6, 5), 2).shape == (5, 30)
    assert _polynomial((6, 5, 4), 2).shape == (9, 120)


def test_determinism_and_type():
    patches = patches_of(4, 2, 5, 5)
    assert torch.equal(change(patches, 1), change(patches, 1))
    assert not torch.equal(change(patches, 1), change(patches, 2))
    assert change(patches).dtype == torch.float64
    assert change((patches * 10).to(torch.int16)).dtype == torch.float32
    assert type(change(MetaTensor(patches.float()))) is torch.Tensor


def test_missing_keys_and_defaults():
    check_missing_keys(RandPatchIntensityd, {"image": patches_of(2, 1, 5, 5)})
    plain = RandPatchIntensityd()
    assert (plain.keys, plain.allow_missing_keys) == (("image",), False)
    assert (plain.scale, plain.shift, plain.bias, plain.degree) == ((0.8, 1.25), (0.0, 3.0), 0.3, 2)
    assert (plain.channel_drop, plain.detrend) == (0.1, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (2, 1)}, r"scale as \(lowest, highest\), found \(2, 1\)"),
        ({"scale": (0, 1)}, "positive scale"),
        ({"shift": (0, float("inf"))}, "shift as"),
        ({"shift": (0, 1, 2)}, "shift as"),
        ({"bias": -0.1}, "bias >= 0"),
        ({"bias": float("inf")}, "bias >= 0"),
        ({"degree": 0}, "degree >= 1"),
        ({"channel_drop": 1.0}, r"channel_drop in \[0, 1\), found 1.0"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        RandPatchIntensityd("image", **options)


def test_an_image_without_patches_is_refused():
    with pytest.raises(ValueError, match=r"views must be \(V, C, \*spatial\) under 'image'; found .* \(4, 4\); cut"):
        change(torch.zeros(4, 4))
