"""Artifacts of MRI that arise in k-space, where a scanner collects an image line by line: motion, ghosting, spikes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.random import RandomState

from .rigid import direction, turn, warp
from .scan import Scan

__all__ = ["GHOST_PERIOD", "MOVES", "ghosting", "motion", "spike"]

MOVES = 6
"""How often the patient moves."""

GHOST_PERIOD = 4
"""Every how many lines the signal fades: 3 ghosts, a quarter of the field of view apart."""


def _phase_axis(scan: Scan, draw: RandomState) -> int:
    """Draw the axis (of ``values``) along which lines are encoded one after the other; never one of a few voxels."""
    long = [axis + 1 for axis, size in enumerate(scan.shape) if 2 * size >= max(scan.shape)]
    return long[draw.randint(len(long))]


def motion(scan: Scan, strength: tuple[float, float, float], draw: RandomState) -> torch.Tensor:
    """Make an image of which the patient moved while it was acquired.

    As in Shaw et al. 2019 (https://proceedings.mlr.press/v102/shaw19a.html, Section 3) the k-space is put together from
    bands of lines, each of the image in another position: turned about a random axis and shifted in a random direction.
    The lines about the center of k-space are those of the patient at rest, so that the anatomy still lies where the
    reference has it (TorchIO keeps one band, too). Here the positions are independent of one another and have a fixed
    size. Lines lie along one axis, so one Fourier transform along that axis is enough. What results is a magnitude.

    Args:
        scan: the image.
        strength: degrees and mm of each position, and the share of the lines, the central ones, at rest.
        draw: source of randomness.

    Returns:
        ``(C, *spatial)``.

    Example:
        >>> from medvol.transforms.scan import read_scan
        >>> motion(read_scan(torch.rand(1, 8, 8), (1.0, 1.0)), (1.0, 2.0, 0.5), RandomState(0)).shape
        torch.Size([1, 8, 8])
    """
    degrees, millimeters, at_rest = strength
    axis, spacing = _phase_axis(scan, draw), np.asarray(scan.spacing)
    lines = scan.values.shape[axis]
    times = (np.arange(1, MOVES + 1) + draw.uniform(-0.3, 0.3, MOVES)) / (MOVES + 1)
    frequency = np.rint(np.fft.fftfreq(lines) * lines)  # from the lowest on: the order of acquisition
    bands = np.searchsorted(times * lines, frequency + lines // 2, side="right")
    bands[2 * np.abs(frequency) <= at_rest * lines] = -1
    signal = scan.values - scan.floor
    spectrum = torch.fft.fft(signal, dim=axis)
    for band in range(MOVES + 1):
        matrix = turn(degrees, draw, scan.spacing)
        shift = millimeters * direction(draw, len(spacing)) / spacing
        rows = torch.as_tensor(np.flatnonzero(bands == band))
        if len(rows):
            moved = torch.fft.fft(warp(signal, matrix, shift), dim=axis)
            spectrum.index_copy_(axis, rows, moved.index_select(axis, rows))
    return torch.fft.ifft(spectrum, dim=axis).abs() + scan.floor


def ghosting(scan: Scan, strength: float, draw: RandomState) -> torch.Tensor:
    """Add faint shifted copies of an image, as regular movement such as breathing or pulsation makes them.

    Every fourth line along a random axis loses a share of its signal, but not the line through the center of k-space.
    Without that exception, the result would be the image minus a quarter of the share times its copies at 0, 1/4, 1/2
    and 3/4 of the field of view. TorchIO's ``RandomGhosting`` does the same to every 4th to 10th line. What results is
    a magnitude.

    Args:
        scan: the image.
        strength: share of the signal that is lost, 0 to 1.
        draw: source of randomness.

    Returns:
        ``(C, *spatial)``.

    Example:
        >>> from medvol.transforms.scan import read_scan
        >>> ghosting(read_scan(torch.rand(1, 8, 8), (1.0, 1.0)), 0.5, RandomState(0)).shape
        torch.Size([1, 8, 8])
    """
    axis = _phase_axis(scan, draw)
    lines = scan.values.shape[axis]
    frequency = np.rint(np.fft.fftfreq(lines) * lines).astype(int)
    lost = (frequency % GHOST_PERIOD == 0) & (frequency != 0)
    weight = torch.as_tensor(np.where(lost, 1.0 - strength, 1.0), dtype=scan.values.dtype)
    weight = weight.reshape([-1 if a == axis else 1 for a in range(scan.values.ndim)])
    signal = scan.values - scan.floor
    return torch.fft.ifft(torch.fft.fft(signal, dim=axis) * weight, dim=axis).abs() + scan.floor


def spike(scan: Scan, strength: float, draw: RandomState) -> torch.Tensor:
    """Add stripes over the whole image, as one wrong sample in k-space makes them (herringbone artifact).

    A single sample is a wave; its amplitude is given rather than the sample's height, which depends on the image's
    size. Waves are 4 to 10 voxels long and of random direction and phase, the same in all channels.

    Args:
        scan: the image.
        strength: amplitude of the wave, in parts of the image's range of intensities.
        draw: source of randomness.

    Returns:
        ``(C, *spatial)``.

    Example:
        >>> from medvol.transforms.scan import read_scan
        >>> spike(read_scan(torch.rand(1, 8, 8), (1.0, 1.0)), 0.5, RandomState(0)).shape
        torch.Size([1, 8, 8])
    """
    shape = scan.shape
    cycles = np.rint(direction(draw, len(shape)) * draw.uniform(0.1, 0.25) * shape)
    if not cycles.any():
        cycles[int(np.argmax(shape))] = 1.0
    phase = torch.full((1,) * len(shape), draw.uniform(0.0, 2.0 * np.pi), dtype=scan.values.dtype)
    for axis, (size, number) in enumerate(zip(shape, cycles, strict=True)):
        line = torch.arange(size, dtype=scan.values.dtype) * (2.0 * np.pi * number / size)
        phase = phase + line.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return scan.values + strength * scan.span * torch.cos(phase)
