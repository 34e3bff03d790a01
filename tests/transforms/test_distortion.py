"""What the distortions share: checks, the record, and loops that compile where no folder can be written."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CopyItemsd, DeleteItemsd

from medvol.transforms import (
    RandAxisFlipsd,
    RandBezierIntensityd,
    RandBlockMaskd,
    RandLocalShuffled,
    RandPaintd,
    RandVolumeFusiond,
)
from medvol.transforms.distortion import as_image, check_finite, check_inside, check_range, compiled, like, with_record


def twice(number):
    return 2 * number


def test_an_image_is_plain_and_contiguous() -> None:
    image = as_image(MetaTensor(torch.rand(1, 4, 5)).transpose(1, 2), "image")
    assert type(image) is torch.Tensor
    assert image.is_contiguous()
    assert not as_image(torch.rand(1, 4, 5, requires_grad=True), "image").requires_grad


def test_metadata_are_copied() -> None:
    original = MetaTensor(torch.rand(1, 4, 5), meta={"name": "a"})
    result = like(torch.zeros(1, 4, 5), original)
    assert result.meta["name"] == "a"
    result.meta["name"] = "b"
    assert original.meta["name"] == "a"
    assert type(like(torch.zeros(1, 4, 5), np.zeros(3))) is torch.Tensor


def test_a_range_of_either_form() -> None:
    assert check_range(np.array([-1, 4])) == (-1.0, 4.0)
    with pytest.raises(ValueError, match="value_range must be"):
        check_range((0, float("nan")))


@pytest.mark.parametrize(("value", "fits"), [(10.00005, True), (10.001, False), (-0.00005, True), (-0.001, False)])
def test_the_margin_is_of_the_range(value: float, fits: bool) -> None:
    image = torch.tensor([5.0, value])
    if fits:
        check_inside(image, "image", (0.0, 10.0), False, "")
    else:
        with pytest.raises(ValueError, match=r"\(0, 10\); found values from"):
            check_inside(image, "image", (0.0, 10.0), False, "")
    check_inside(image, "image", (0.0, 10.0), True, "")


def test_a_record_with_one_answer_becomes_a_list() -> None:
    assert with_record({"pretext": {"class": "turned"}}, ["inner cutout"])["class"] == ["turned", "inner cutout"]
    assert with_record({}, []) == {"class": []}


def test_loops_compile_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where neither the package nor the home folder can be written to, and where the disk is full."""
    caching = pytest.importorskip("numba.core.caching")
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled(twice, "int64(int64)")(21) == 42
    monkeypatch.undo()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "load", lambda *_: None)
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    assert compiled(twice, "int64(int64)")(4) == 8


def test_a_loop_that_does_not_compile_says_so() -> None:
    def wrong(number):
        return number.nothing

    with pytest.raises(Exception, match="nothing"):
        compiled(wrong, "int64(int64)")


def chain(*rates: float) -> Compose:
    """Models Genesis as a bundle puts it together: flips, a copy for the label, and the distortions of the image.

    A manifest names the annotation under the same key; it leaves before the copy, which replaces nothing.
    """
    flip, shuffle, intensity, paint = rates
    parts = [
        RandAxisFlipsd("image", prob=flip),
        DeleteItemsd("label"),
        CopyItemsd("image", names="label"),
        RandLocalShuffled("image", prob=shuffle, windows=300),
        RandBezierIntensityd("image", prob=intensity),
        RandPaintd("image", prob=paint),
    ]
    return Compose(parts)


@pytest.mark.parametrize("shape", [(20, 18, 16), (30, 20, 5), (30, 20, 1), (30, 20)])
def test_the_target_is_the_clean_crop(shape: tuple[int, ...]) -> None:
    image, distort = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)), chain(0.4, 0.5, 0.9, 0.9)
    before, seen = image.clone(), set()
    for seed in range(12):
        distort.set_random_state(seed)
        sample = distort({"image": image, "label": "a/seg.nii.gz", "patient": 3})
        axes = [axis + 1 for axis in distort.transforms[0].axes if axis < image.ndim - 1]
        assert torch.equal(sample["label"], image.flip(axes))
        assert torch.equal(image, before)
        words = tuple(sample["pretext"]["class"])
        assert not {"outer cutout", "inner cutout"} <= set(words)
        assert torch.equal(sample["image"], sample["label"]) == (words == ())
        assert sample["image"].min() >= 0
        assert sample["image"].max() <= 1
        seen.add(words)
    assert len(seen) > 3


def test_nothing_happens_where_all_rates_are_zero() -> None:
    image = torch.rand(1, 20, 18, 16, generator=torch.Generator().manual_seed(0))
    sample = chain(0, 0, 0, 0)({"image": image, "label": "a/seg.nii.gz"})
    assert torch.equal(sample["image"], image)
    assert torch.equal(sample["label"], image)
    assert sample["pretext"] == {"class": []}


EXACT = {  # the others draw other numbers on an accelerator, or round otherwise
    "flips": (RandAxisFlipsd("image", prob=1, most=1), True),
    "fusion": (RandVolumeFusiond("image"), True),
    "mask": (RandBlockMaskd("image", 4), True),
    "curve": (RandBezierIntensityd("image", prob=1), False),
    "shuffle": (RandLocalShuffled("image", prob=1, windows=300), False),
    "in-painting": (RandPaintd("image", prob=1, outer_prob=0, again=1), False),
    "out-painting": (RandPaintd("image", prob=1, outer_prob=1), False),
}
ACCELERATOR = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
)


@pytest.mark.parametrize("device", ["cpu", ACCELERATOR])
@pytest.mark.parametrize("name", EXACT)
def test_images_stay_on_their_device(name: str, device: str) -> None:
    """And what is drawn there is the same where it is exact, and of the same kind where it is not."""
    transform, exact = EXACT[name]
    image, partner = torch.rand(2, 2, 24, 20, 16, generator=torch.Generator().manual_seed(0))
    here = {"image": image, "partner_image": partner}
    there = {"image": image.to(device), "partner_image": partner}  # a partner from elsewhere is moved
    want, found = (transform.set_random_state(4)(sample) for sample in (here, there))
    made = [key for key in ("image", "label", "mask") if key in found]
    assert {found[key].device.type for key in made} == {device}
    assert {found[key].dtype for key in made if key != "label"} == {torch.float32}
    if exact or device == "cpu":
        assert all(torch.equal(found[key].cpu(), want[key]) for key in made)
    assert found.get("pretext") == want.get("pretext")
    result, before = found["image"].cpu(), image
    if name == "curve":
        torch.testing.assert_close(result, want["image"], rtol=0, atol=1e-5)
    elif name == "shuffle":
        assert not torch.equal(result, before)
        assert torch.isin(result, before).all()
    elif "painting" in name:
        assert torch.equal((result == before).all(dim=0), (want["image"] == before).all(dim=0))
        assert 0 <= result.min() <= result.max() <= 1


def test_how_many_values_are_not_finite_is_said() -> None:
    image = torch.tensor([[0.0, torch.nan, torch.inf, -torch.inf, 2.0]])
    with pytest.raises(ValueError, match="the image under 't1' must be finite; found 3 values that are not; mend them"):
        check_finite(image, "t1", "mend them")
    check_finite(image[:, ::4], "t1", "mend them")
