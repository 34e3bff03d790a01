import numpy as np
import pytest
import torch

from medvol.bundles.audit.crude import GROUPS, crude_columns, crude_statistics


def by_hand(view: np.ndarray) -> list[float]:
    """The statistics of one channel, one number at a time."""
    mean, deviation = view.mean(), view.std()
    found = [mean, deviation, view.min(), view.max()]
    ordered = np.sort(view.ravel())
    found += [ordered[round(share * (view.size - 1))] for share in (0.05, 0.25, 0.5, 0.75, 0.95)]
    found += [((view - mean) / deviation < edge).mean() for edge in (-2, -1, -0.5, 0, 0.5, 1, 2)]
    axes = range(view.ndim)
    found += [(view == 0).mean(), *((np.diff(view, axis=axis) == 0).mean() for axis in axes)]
    for axis in axes:
        for end in (0, -1):
            face = view.take(end, axis)
            found += [face.mean(), face.std()]
    for axis in axes:
        profile = view.mean(axis=tuple(a for a in axes if a != axis))
        line = np.linspace(-1, 1, len(profile))
        found += list(np.polyfit(line, profile, 2)[1::-1])
    found += [(np.diff(view, axis=axis) ** 2).mean() / deviation**2 for axis in axes]
    total = 0
    for axis in axes:
        inside = tuple(slice(None) if a == axis else slice(1, -1) for a in axes)
        total = total + np.diff(view, 2, axis=axis)[inside]
    return [*found, (total**2).mean() / deviation**2]


@pytest.mark.parametrize("shape", [(6, 5, 4), (7, 6)])
def test_they_are_what_they_are_called(shape):
    views = torch.randn(3, 2, *shape, generator=torch.Generator().manual_seed(1))
    views[0, 0, 2] = 0
    found = crude_statistics(views).reshape(3, 3, -1)
    for view in range(3):
        each = [by_hand(views[view, channel].double().numpy()) for channel in range(2)]
        np.testing.assert_allclose(found[view, :2].double(), each, atol=2e-5)
        np.testing.assert_allclose(found[view, 2].double(), np.mean(each, axis=0), atol=2e-5)


def test_every_column_has_a_kind():
    assert set(crude_columns(1, (4, 4, 4))) == set(GROUPS)
    for channels, shape in ((1, (4, 4, 4)), (3, (5, 4, 1)), (2, (4, 1, 1)), (1, (1, 1)), (2, (2, 2))):
        found = crude_statistics(torch.randn(2, channels, *shape))
        assert found.shape == (2, len(crude_columns(channels, shape)))
        assert found.isfinite().all()


def test_a_slice_is_the_same_with_and_without_its_depth():
    views = torch.randn(3, 2, 8, 7)
    assert torch.allclose(crude_statistics(views), crude_statistics(views[..., None]), atol=1e-6)
    assert crude_columns(2, (8, 7)) == crude_columns(2, (8, 7, 1))


def test_a_constant_patch_has_no_undefined_number():
    found = crude_statistics(torch.full((1, 1, 4, 4, 4), 3.0))
    assert found.isfinite().all()


def test_an_image_without_spatial_axes_is_refused():
    with pytest.raises(ValueError, match=r"must be \(V, C, \*spatial\); found the shape \(4, 4\)"):
        crude_statistics(torch.zeros(4, 4))
