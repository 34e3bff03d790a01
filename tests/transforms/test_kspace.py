import numpy as np
import pytest
import torch
from numpy.random import RandomState

from medvol.transforms.kspace import GHOST_PERIOD, MOVES, _phase_axis, ghosting, motion, spike
from medvol.transforms.rigid import direction, turn, warp
from medvol.transforms.scan import read_scan


def scan_of(*shape, seed=0, offset=10.0, spacing=None):
    values = torch.as_tensor(RandomState(seed).normal(size=shape)) + offset
    return read_scan(values, spacing or (1.0,) * (len(shape) - 1))


def fourier(lines):
    """The discrete Fourier transform, written out; rows are signed frequencies in the order of numpy."""
    frequency = np.rint(np.fft.fftfreq(lines) * lines)
    return frequency, np.exp(-2j * np.pi * np.outer(frequency, np.arange(lines)) / lines)


@pytest.mark.parametrize("shape", [(2, 16, 12), (1, 15, 17), (1, 8, 10, 12)])
def test_ghosting_weakens_every_fourth_line_but_the_middle_one(shape):
    scan = scan_of(*shape)
    result = ghosting(scan, 0.6, RandomState(5)).numpy()
    axis = _phase_axis(scan, RandomState(5))
    frequency, transform = fourier(shape[axis])
    weight = np.where((frequency % 4 == 0) & (frequency != 0), 0.4, 1.0)
    before = np.moveaxis(scan.values.numpy(), axis, 0)
    spectrum = np.tensordot(transform, before, 1) * weight.reshape(-1, *[1] * (before.ndim - 1))
    expected = np.abs(np.tensordot(np.linalg.inv(transform), spectrum, 1))
    np.testing.assert_allclose(np.moveaxis(result, axis, 0), expected, atol=1e-9)


def test_ghosts_lie_a_quarter_of_the_view_apart():
    values = torch.zeros(1, 32, 32, dtype=torch.float64)
    values[0, 3:6, 10:20] = 8.0
    share, draw = 0.5, RandomState(0)
    result = ghosting(read_scan(values, (1.0, 1.0)), share, draw)
    axis = _phase_axis(read_scan(values, (1.0, 1.0)), RandomState(0))
    copies = sum(values.roll(place * 32 // GHOST_PERIOD, axis) for place in range(GHOST_PERIOD)) / GHOST_PERIOD
    middle = values.mean(dim=axis, keepdim=True)
    torch.testing.assert_close(result, (values - share * (copies - middle)).abs())


def test_motion_equals_the_loop_over_lines():
    scan = scan_of(2, 13, 16, 11, spacing=(1.0, 0.8, 2.0))
    result = motion(scan, (4.0, 3.0, 0.2), RandomState(7)).numpy()
    draw = RandomState(7)
    axis = _phase_axis(scan, draw)
    lines = scan.values.shape[axis]
    frequency, transform = fourier(lines)
    times = (np.arange(1, MOVES + 1) + draw.uniform(-0.3, 0.3, MOVES)) / (MOVES + 1)
    positions = []
    for _ in range(MOVES + 1):
        matrix = turn(4.0, draw, scan.spacing)
        positions.append((matrix, 3.0 * direction(draw, 3) / np.array(scan.spacing)))
    spectrum = np.zeros([lines, *np.moveaxis(scan.values.numpy(), axis, 0).shape[1:]], dtype=complex)
    for row, signed in enumerate(frequency):
        band = int((times * lines <= signed + lines // 2).sum())
        at_rest = abs(signed) <= 0.2 * lines / 2
        moved = scan.values if at_rest else warp(scan.values, *positions[band])
        spectrum[row] = np.tensordot(transform[row], np.moveaxis(moved.numpy(), axis, 0), 1)
    expected = np.abs(np.tensordot(np.linalg.inv(transform), spectrum, 1))
    np.testing.assert_allclose(np.moveaxis(result, axis, 0), expected, atol=1e-6)


def test_without_movement_nothing_changes():
    for shape in ((1, 12, 10), (2, 9, 12, 10)):
        scan = scan_of(*shape)
        torch.testing.assert_close(motion(scan, (0.0, 0.0, 0.1), RandomState(1)), scan.values, atol=1e-5, rtol=0)
        torch.testing.assert_close(ghosting(scan, 0.0, RandomState(1)), scan.values)
        assert torch.equal(spike(scan, 0.0, RandomState(1)), scan.values)


def test_magnitudes_of_signed_images_do_not_flip_them():
    scan = scan_of(1, 16, 16, offset=-500.0)
    assert float((ghosting(scan, 0.2, RandomState(0)) - scan.values).abs().max()) < 2
    assert float((motion(scan, (0.0, 0.0, 0.1), RandomState(0)) - scan.values).abs().max()) < 1e-4


@pytest.mark.parametrize("shape", [(2, 20, 24), (1, 12, 16, 20), (1, 2, 3)])
def test_a_spike_is_one_wave(shape):
    scan = scan_of(*shape)
    wave = ((spike(scan, 0.3, RandomState(2)) - scan.values) / scan.span).numpy()
    assert np.allclose(wave, wave[:1])
    power = np.abs(np.fft.fftn(wave[0])) ** 2
    assert np.sort(power.flatten())[::-1][:2].sum() == pytest.approx(power.sum())
    assert power.flatten()[0] < 1e-9 * power.sum()  # no change of the mean
    if min(shape[1:]) > 3:
        assert wave.std() == pytest.approx(0.3 / np.sqrt(2))


def test_lines_are_never_encoded_along_a_thin_axis():
    scan = scan_of(1, 30, 40, 5)
    assert {_phase_axis(scan, RandomState(seed)) for seed in range(30)} == {1, 2}
