"""Intensity curves: inside the range, one-to-one, and spread as by the loop."""

from __future__ import annotations

from collections.abc import Callable

import genesis_loops
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.stats import ks_2samp

from medvol.transforms.bezier import RandBezierIntensityd, bezier_curve, look_up, search


def always(keys: tuple[str, ...] = ("image",), **options: object) -> RandBezierIntensityd:
    return RandBezierIntensityd(keys, prob=1, **options)


def grays(count: int = 400, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """An image (1, count, 1) of all intensities from 0 to 1."""
    return torch.linspace(0, 1, count, dtype=dtype).reshape(1, count, 1)


def steep_and_flat() -> list[np.ndarray]:
    corners = [np.array([[a, b], [c, d]], dtype=float) for a in (0, 1) for b in (0, 1) for c in (0, 1) for d in (0, 1)]
    random = np.random.RandomState(0)
    return corners + [random.uniform(size=(2, 2)) for _ in range(40)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("falling", [False, True])
def test_the_map_is_that_of_numpy(falling: bool, dtype: torch.dtype) -> None:
    random = np.random.RandomState(1)
    values = torch.as_tensor(np.concatenate([random.uniform(size=600), [0, 1], np.arange(65) / 64]), dtype=dtype)
    for control in steep_and_flat():
        x, y = bezier_curve(control, falling)
        found = torch.empty_like(values)
        look_up(values, found, x, y, 0.0, 1.0)
        exact = np.interp(values.double().numpy(), x, y)
        np.testing.assert_allclose(found.numpy(), exact, rtol=0, atol=2e-7 if dtype == torch.float32 else 1e-10)


def test_both_forms_are_one() -> None:
    low, high = -1000.0, 400.0
    values = torch.as_tensor(
        np.concatenate([np.random.RandomState(0).uniform(low, high, 400), [low, high, -1500, 900]])
    )
    for control in steep_and_flat():
        x, y = bezier_curve(control, falling=False)
        exact = low + (high - low) * np.interp((values.numpy() - low) / (high - low), x, y)
        for form in (look_up, search):
            found = torch.empty_like(values)
            form(values, found, x, y, low, high)
            np.testing.assert_allclose(found.numpy(), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", [look_up, search])
def test_at_a_jump_the_later_value_holds(form: Callable[..., None]) -> None:
    x, y = np.array([0, 0.3, 0.3, 1]), np.array([0, 0.2, 0.8, 1])
    values = torch.tensor([0, 0.15, np.nextafter(0.3, 0), 0.3, 1], dtype=torch.float64)
    found = torch.empty_like(values)
    form(values, found, x, y, 0.0, 1.0)
    np.testing.assert_allclose(found.numpy(), [0, 0.1, 0.2, 0.8, 1], rtol=0, atol=1e-12)


def test_another_device_has_the_form_without_a_copy() -> None:
    values = torch.empty(5, device="meta")  # it has no values that could be copied
    look_up(values, torch.empty(5, device="meta"), *bezier_curve(np.zeros((2, 2)), falling=False), 0.0, 1.0)


def test_curves_rise_or_fall_from_end_to_end() -> None:
    for control in steep_and_flat():
        x, rising = bezier_curve(control, falling=False)
        same, falling = bezier_curve(control, falling=True)
        assert np.array_equal(x, same)
        assert (np.diff(x) >= 0).all()
        assert (np.diff(rising) >= 0).all()
        assert np.array_equal(falling, rising[::-1])
        assert (x[0], x[-1], rising[0], rising[-1]) == (0, 1, 0, 1)


def test_a_curve_by_hand() -> None:
    x, y = bezier_curve(np.array([[0.2, 0.8], [0.4, 0.9]]), falling=False)
    t = 333 / 999
    assert x[333] == pytest.approx(3 * t * (1 - t) ** 2 * 0.2 + 3 * t**2 * (1 - t) * 0.4 + t**3, abs=1e-12)
    assert y[333] == pytest.approx(3 * t * (1 - t) ** 2 * 0.8 + 3 * t**2 * (1 - t) * 0.9 + t**3, abs=1e-12)
    diagonal = bezier_curve(np.array([[0.3, 0.3], [0.6, 0.6]]), falling=False)
    np.testing.assert_allclose(*diagonal, atol=1e-12)


def test_mapped_images_keep_inside_the_range_and_their_order() -> None:
    change, falls = always(value_range=(-1000, 400)), 0
    image = grays() * 1400 - 1000
    for seed in range(60):
        mapped = change.set_random_state(seed)({"image": image})["image"].flatten()
        steps = mapped.diff()
        falls += int(mapped[0] == 400)
        assert (steps >= 0).all() or (steps <= 0).all()
        assert sorted([mapped[0].item(), mapped[-1].item()]) == [-1000, 400]
        assert mapped.min() >= -1000
        assert mapped.max() <= 400
    assert 20 <= falls <= 40


def test_values_are_spread_as_in_the_loop() -> None:
    change, random = always(value_range=(0, 1)).set_random_state(0), np.random.RandomState(1)
    at = np.array([[[0.1], [0.25], [0.5], [0.75], [0.95]]])
    ours = np.stack([change({"image": at})["image"].numpy().ravel() for _ in range(300)])
    theirs = np.stack([genesis_loops.intensity(at, random).ravel() for _ in range(300)])
    for mine, loop in zip(ours.T, theirs.T, strict=True):
        assert ks_2samp(mine, loop).pvalue > 0.01
    assert ks_2samp(ours[:, 4] - ours[:, 0], theirs[:, 4] - theirs[:, 0]).pvalue > 0.01


def test_one_curve_for_all_channels_or_one_for_each() -> None:
    image = grays().repeat(3, 1, 1)
    together = always().set_random_state(0)({"image": image})["image"]
    apart = always(per_channel=True).set_random_state(0)({"image": image})["image"]
    assert torch.equal(together[0], together[1])
    assert torch.equal(together[0], together[2])
    assert torch.equal(apart[0], together[0])  # the first curve is the same draw
    assert not torch.equal(apart[0], apart[1])
    assert not torch.equal(apart[1], apart[2])


def test_what_is_drawn() -> None:
    change, random = RandBezierIntensityd("image", prob=0.5).set_random_state(3), np.random.RandomState(3)
    for _ in range(20):
        change.randomize(2)
        applies = random.uniform() < 0.5
        drawn = [(random.uniform(size=(2, 2)), random.uniform() < 0.5) for _ in range(2)] if applies else []
        assert len(change.curves) == len(drawn)
        for found, (control, falling) in zip(change.curves, drawn, strict=True):
            np.testing.assert_array_equal(found, bezier_curve(control, falling))


def test_the_loop_is_compiled_when_the_transform_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr("medvol.transforms.bezier._loop", lambda: built.append(1))
    RandBezierIntensityd("image", prob=0)
    assert built == []
    RandBezierIntensityd("image", prob=0.1)
    assert built == [1]


def test_images_share_their_curve() -> None:
    sample = always(("image", "other")).set_random_state(0)({"image": grays(9), "other": grays(9).flip(1)})
    assert torch.equal(sample["other"].flip(1), sample["image"])


def test_a_slice_is_a_volume_of_depth_one() -> None:
    image = torch.rand(2, 9, 8, generator=torch.Generator().manual_seed(0))
    for per_channel in (False, True):
        change = always(per_channel=per_channel)
        flat = change.set_random_state(1)({"image": image})["image"]
        deep = change.set_random_state(1)({"image": image[..., None]})["image"]
        assert torch.equal(flat, deep[..., 0])


def test_values_outside_are_refused_or_clamped() -> None:
    image = torch.tensor([[[-3.0, 0.0, 1.0, 2.5]]])
    words = r"'image' must hold values in value_range \(0, 1\); found values from -3 to 2.5; .*outside='clamp'"
    for prob in (0.0, 1.0):  # on every sample
        with pytest.raises(ValueError, match=words):
            RandBezierIntensityd("image", prob=prob)({"image": image})
    mapped = always(outside="clamp").set_random_state(0)({"image": image})["image"][0, 0]
    assert mapped[0] == mapped[1]
    assert mapped[2] == mapped[3]
    assert sorted(mapped.unique().tolist()) == [0, 1]


def test_rounding_is_forgiven() -> None:
    mapped = always().set_random_state(0)({"image": torch.tensor([[[-1e-6, 0.0, 1.0, 1 + 1e-6]]])})["image"]
    assert sorted(mapped.unique().tolist()) == [0, 1]


@pytest.mark.parametrize("outside", ["error", "clamp"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(value: float, outside: str) -> None:
    with pytest.raises(ValueError, match="'image' must hold finite values; found values from"):
        always(outside=outside)({"image": torch.tensor([[[0.5, value]]])})


def test_half_precision_keeps_its_type() -> None:
    image = grays(64)
    exact = always().set_random_state(0)({"image": image})["image"]
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        mapped = always().set_random_state(0)({"image": image.to(dtype)})["image"]
        assert mapped.dtype == dtype
        assert (mapped.float() - exact).abs().max() < 0.05


def test_double_precision_is_kept() -> None:
    change, image = always().set_random_state(0), grays(dtype=torch.float64)
    mapped = change({"image": image})["image"]
    np.testing.assert_allclose(mapped.flatten(), np.interp(image.flatten(), *change.curves[0]), rtol=0, atol=1e-12)


def test_the_rate_and_the_record() -> None:
    change = RandBezierIntensityd("image").set_random_state(0)
    samples = [change({"image": grays(9), "pretext": {"class": ["local shuffling"]}}) for _ in range(200)]
    words = [sample["pretext"]["class"] for sample in samples]
    assert 167 <= words.count(["local shuffling", "intensity curve"]) <= 193
    for sample, found in zip(samples, words, strict=True):
        assert torch.equal(sample["image"], grays(9)) == (found == ["local shuffling"])


def test_inputs_are_left_alone() -> None:
    image = MetaTensor(grays(), affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))
    record = {"class": []}
    mapped = always().set_random_state(0)({"image": image, "pretext": record})["image"]
    assert torch.equal(image.as_tensor(), grays())
    assert record == {"class": []}
    assert isinstance(mapped, MetaTensor)
    assert torch.equal(mapped.affine, image.affine)
    frozen = grays().numpy().copy()
    frozen.setflags(write=False)
    assert torch.equal(always().set_random_state(0)({"image": frozen})["image"], mapped.as_tensor())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: RandBezierIntensityd("image", prob=-1), "prob must be a probability"),
        (lambda: always(value_range=(1, 0)), r"value_range must be \(lowest, highest\).*found \(1, 0\)"),
        (lambda: always(value_range=(0, np.inf)), "value_range must be"),
        (lambda: always(value_range=5), "value_range must be.*found 5"),
        (lambda: always(value_range="ab"), "value_range must be.*found 'ab'"),
        (lambda: always(outside="ignore"), "outside must be 'error' or 'clamp'; found 'ignore'"),
        (lambda: always()({"image": torch.zeros(1, 4, 4, dtype=torch.int16)}), "floating-point.*found torch.int16"),
        (lambda: always()({"image": torch.zeros(4)}), "'image' must be an image"),
        (
            lambda: always(("a", "b"), per_channel=True)({"a": torch.zeros(1, 4, 4), "b": torch.zeros(2, 4, 4)}),
            "equally many channels; found {'a': 1, 'b': 2}",
        ),
    ],
)
def test_refusals(build: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build()


def test_absent_images() -> None:
    change = RandBezierIntensityd(["image", "label"], prob=1, allow_missing_keys=True)
    assert change({"patient": 1}) == {"patient": 1}
    with pytest.raises(KeyError, match="label"):
        always(("image", "label"))({"image": grays()})
