"""Views of a volume against the same views by SciPy's splines, and blur against SciPy's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform, gaussian_filter

from medvol.transforms.blur import RandPatchBlurd
from medvol.transforms.boxes import ViewBoxes, bounds, whole_voxels
from medvol.transforms.viewing import view_frame
from medvol.transforms.views import RandViewsd

pytestmark = pytest.mark.speed
SHAPE, SIZE = (128, 128, 128), (64, 64, 64)


@pytest.fixture(autouse=True)
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spline_view(volume: np.ndarray, box: ViewBoxes) -> np.ndarray:
    """The view of a box by one cubic interpolation of the part of the volume that it needs."""
    frame = view_frame(SHAPE, SIZE, np.ones(3), (0, 1), True, 0.3)
    start, stop = whole_voxels(frame, bounds(frame, box))[0]
    part = volume[tuple(slice(max(a - 2, 0), b + 2) for a, b in zip(start, stop, strict=True))]
    (cosine, sine), step = box.heading[0], box.extent[0] / SIZE
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) * step
    center = box.center[0] - np.maximum(start - 2, 0)
    return affine_transform(part, matrix, center - matrix @ ((np.array(SIZE) - 1) / 2), output_shape=SIZE, order=3)


def test_views_against_splines(in_turns: Callable, benchmark: Callable, capsys: pytest.CaptureFixture) -> None:
    volume = torch.rand(1, *SHAPE)
    transform = RandViewsd("image", SIZE, rotate=10.0).set_random_state(0)

    def ours() -> np.ndarray:
        return transform({"image": volume})["image"].numpy()

    def splines() -> np.ndarray:
        return np.stack([spline_view(volume[0].numpy(), box) for box in transform.boxes])

    # the same views: a smooth volume looks alike in both
    smooth = torch.from_numpy(gaussian_filter(volume[0].numpy(), 4))[None]
    linear = transform({"image": smooth})["image"][:, 0].numpy()
    cubic = np.stack([spline_view(smooth[0].numpy(), box) for box in transform.boxes])
    assert np.abs(linear - cubic).max() < 0.1 * smooth.numpy().std() + 0.01
    fast, slow = in_turns(ours, splines, rounds=5)
    with capsys.disabled():
        print(f"\ntwo views of 64^3 from 128^3: {fast * 1e3:.1f} ms, {slow / fast:.0f} times as fast as splines")
    benchmark(ours)
    assert slow / fast >= 5


def test_blur_against_scipy(in_turns: Callable, benchmark: Callable, capsys: pytest.CaptureFixture) -> None:
    views = torch.rand(2, 1, *SIZE)
    transform = RandPatchBlurd("image", sigma=(0.7, 0.7), prob=1.0)

    def theirs() -> list[np.ndarray]:
        return [gaussian_filter(view[0].numpy(), 0.7, mode="mirror") for view in views]

    fast, slow = in_turns(lambda: transform({"image": views}), theirs)
    with capsys.disabled():
        print(f"\nblur of two views of 64^3: {fast * 1e3:.1f} ms, {slow / fast:.1f} times as fast as SciPy")
    benchmark(lambda: transform({"image": views}))
    assert slow / fast >= 1
