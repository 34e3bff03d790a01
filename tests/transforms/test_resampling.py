import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from medvol.transforms.boxes import ViewBoxes, ViewFrame, center_range, fit
from medvol.transforms.resampling import sample_box

UPRIGHT = np.array([[1.0, 0.0]])
NOWHERE = np.zeros(3, bool)


def make_frame(shape, size, spacing=(1.0, 1.0, 1.0), plane=(0, 1), margin=0):
    return ViewFrame(np.full(3, margin), np.array(shape) - 1 - margin, np.array(spacing), np.array(size), plane)


def brute_force(volume, frame, box, mirrored):
    """The convention by its definition: means of samples of map_coordinates, order 1, double precision."""
    center, extent, heading = (part[0] for part in box)
    first, second = frame.plane
    pitch = frame.spacing.copy()
    pitch[[first, second]] = pitch[[first, second]].min()
    parts = np.maximum(1, np.ceil(extent / frame.size / pitch - 1e-9)).astype(int)
    lines = [
        ((np.arange(n * m) + 0.5) / (n * m) - 0.5) * e * (-1 if back else 1)
        for n, m, e, back in zip(frame.size, parts, extent, mirrored, strict=True)
    ]
    points = np.stack(np.meshgrid(*lines, indexing="ij"))
    turned = points.copy()
    turned[first] = heading[0] * points[first] - heading[1] * points[second]
    turned[second] = heading[1] * points[first] + heading[0] * points[second]
    places = center.reshape(3, 1, 1, 1) + turned / frame.spacing.reshape(3, 1, 1, 1)
    values = np.stack([map_coordinates(channel, places, order=1, mode="nearest") for channel in volume])
    fine = values.reshape(len(volume), *np.ravel(list(zip(frame.size, parts, strict=True))))
    return fine.mean(axis=(2, 4, 6))


@pytest.mark.parametrize("plane", [(0, 1), (1, 0), (0, 2), (2, 1)])
@pytest.mark.parametrize("size", [(9, 8, 7), (24, 30, 20), (5, 20, 6)])
def test_equals_brute_force_interpolation(plane, size):
    random = np.random.RandomState(sum(size))
    volume = random.rand(2, 23, 19, 21)
    frame = make_frame(volume.shape[1:], size, (1.0, 1.1, 0.9), plane, margin=1)
    for degrees in (0.0, 17.0, -130.0):
        heading = np.array([[np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]])
        extent = fit(frame, random.uniform(4, 20, (1, 3)), heading)
        low, high = center_range(frame, extent, heading)
        box = ViewBoxes(low + random.rand(1, 3) * (high - low), extent, heading)
        mirrored = random.rand(3) < 0.5
        found = sample_box(torch.from_numpy(volume), frame, box, mirrored).numpy()
        assert found.shape == (2, *size)
        np.testing.assert_allclose(found, brute_force(volume, frame, box, mirrored), rtol=0, atol=1e-12)


def whole_box(start, size):
    size = np.array([size], dtype=float)
    return ViewBoxes(np.array([start]) + (size - 1) / 2, size, UPRIGHT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_to_one_on_whole_places_is_a_crop_to_the_bit(noise, dtype):
    volume = noise((20, 18, 16), 0, channels=2).to(dtype)
    frame = make_frame(volume.shape[1:], (7, 8, 5))
    for start in ((0, 0, 0), (3, 2, 4), (13, 10, 11)):
        found = sample_box(volume, frame, whole_box(start, (7, 8, 5)), NOWHERE)
        assert found.dtype == dtype
        assert torch.equal(
            found, volume[(slice(None), *(slice(a, a + n) for a, n in zip(start, (7, 8, 5), strict=True)))]
        )


@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (2, 1)])
def test_quarter_turns_and_mirrors_are_exact(noise, plane):
    volume = noise((12, 12, 12), 0)
    frame = make_frame((12, 12, 12), (6, 6, 6), plane=plane)
    upright = volume[:, 3:9, 3:9, 3:9]
    for turns, heading in enumerate(([1, 0], [0, 1], [-1, 0], [0, -1])):
        box = whole_box((3, 3, 3), (6, 6, 6))._replace(heading=np.array([heading], dtype=float))
        turned = torch.rot90(upright, -turns, (1 + plane[0], 1 + plane[1]))
        assert torch.equal(sample_box(volume, frame, box, NOWHERE), turned)
    for axis in range(3):
        found = sample_box(volume, frame, whole_box((3, 3, 3), (6, 6, 6)), np.arange(3) == axis)
        assert torch.equal(found, upright.flip(1 + axis))


def test_nothing_outside_the_region_is_read(noise):
    volume = torch.full((1, 14, 14, 14), float("nan"))
    volume[:, 2:-2, 2:-2, 2:-2] = noise((10, 10, 10), 0)
    for size in ((4, 4, 4), (25, 25, 25)):
        frame = make_frame((14, 14, 14), size, margin=2)
        for degrees in (0, 20, 45):
            heading = np.array([[np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]])
            extent = fit(frame, np.full((1, 3), 10.0), heading)
            for center in center_range(frame, extent, heading):
                assert torch.isfinite(sample_box(volume, frame, ViewBoxes(center, extent, heading), NOWHERE)).all()


def test_half_the_resolution_shows_no_pattern_that_is_not_there():
    """A fine checkerboard becomes its mean; picking every other voxel would give stripes."""
    board = (torch.stack(torch.meshgrid(*[torch.arange(24)] * 3, indexing="ij")).sum(0) % 2).double()[None]
    frame = make_frame((24, 24, 24), (12, 12, 12))
    exact = sample_box(board, frame, whole_box((0, 0, 0), (24, 24, 24)), NOWHERE)
    assert (exact - 0.5).abs().max() < 1e-12
    frame = make_frame((24, 24, 24), (8, 8, 8))
    turned = ViewBoxes(np.full((1, 3), 11.4), np.full((1, 3), 15.0), np.array([[np.cos(0.3), np.sin(0.3)]]))
    assert (sample_box(board, frame, turned, NOWHERE) - 0.5).abs().max() < 0.1


def test_a_linear_ramp_stays_linear():
    x, y, z = torch.meshgrid(*[torch.arange(20.0, dtype=torch.float64)] * 3, indexing="ij")
    frame = make_frame((20, 20, 20), (11, 9, 7))
    box = ViewBoxes(np.array([[9.3, 8.7, 10.1]]), np.array([[8.0, 12.0, 15.0]]), np.array([[0.8, 0.6]]))
    found = sample_box((x + 2 * y - 3 * z)[None], frame, box, NOWHERE)[0].numpy()
    a, b, c = np.meshgrid(
        *[((np.arange(n) + 0.5) / n - 0.5) * e for n, e in zip((11, 9, 7), (8, 12, 15), strict=True)], indexing="ij"
    )
    expected = (9.3 + 0.8 * a - 0.6 * b) + 2 * (8.7 + 0.6 * a + 0.8 * b) - 3 * (10.1 + c)
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_a_slice_takes_no_sample_from_its_neighbors(noise):
    volume = noise((10, 10, 10), 0)
    frame = ViewFrame(np.array([0, 0, 4]), np.array([9, 9, 4]), np.ones(3), np.array([5, 5, 1]), (0, 1))
    box = ViewBoxes(np.array([[3.0, 4.0, 4.0]]), np.array([[5.0, 5.0, 1.0]]), UPRIGHT)
    assert torch.equal(sample_box(volume, frame, box, NOWHERE), volume[:, 1:6, 2:7, 4:5])


@pytest.mark.parametrize(
    ("low", "high", "size", "extent", "middle"), [(2, 3, 3, 1.0, 2.5), (2, 3, 1, 1.0, 2.6), (0, 5, 1, 3.5, 2.3)]
)
def test_across_two_voxels_and_into_one(low, high, size, extent, middle):
    volume = np.random.RandomState(0).rand(2, 9, 8, 6)
    frame = ViewFrame(np.array([0, 0, low]), np.array([8, 7, high]), np.ones(3), np.array([4, 5, size]), (0, 1))
    box = ViewBoxes(np.array([[4.2, 3.4, middle]]), np.array([[4.0, 3.0, extent]]), np.array([[0.8, 0.6]]))
    found = sample_box(torch.from_numpy(volume), frame, box, NOWHERE).numpy()
    np.testing.assert_allclose(found, brute_force(volume, frame, box, NOWHERE), rtol=0, atol=1e-12)


@pytest.mark.parametrize("beyond", [-3.0, 3.0])
def test_beyond_the_region_its_last_voxels_count(beyond):
    inner = np.random.RandomState(0).rand(1, 10, 9, 8)
    volume = torch.from_numpy(np.pad(inner, [(0, 0), (2, 2), (2, 2), (2, 2)], constant_values=np.nan))
    box = ViewBoxes(np.array([[4.5, 4.0, 3.5]]) + beyond, np.full((1, 3), 8.0), UPRIGHT)
    expected = brute_force(inner, make_frame((10, 9, 8), (6, 5, 4)), box, NOWHERE)
    outer = box._replace(center=box.center + 2)
    found = sample_box(volume, make_frame((14, 13, 12), (6, 5, 4), margin=2), outer, NOWHERE).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
