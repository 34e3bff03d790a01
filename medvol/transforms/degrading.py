"""Losses of image quality that are drawn in the image itself: noise, blur, bias field, gamma, low resolution."""

from __future__ import annotations

import numpy as np
import torch
from monai.transforms import RandBiasField, RandSimulateLowResolution
from numpy.random import RandomState
from scipy.ndimage import gaussian_filter

from .scan import Scan

__all__ = ["bias_field", "blur", "gamma", "low_resolution", "noise"]


def noise(scan: Scan, strength: float, draw: RandomState) -> torch.Tensor:
    """Add Gaussian noise, independent in every voxel and channel.

    Args:
        scan: the image.
        strength: standard deviation, in parts of the image's range of intensities.
        draw: source of randomness.

    Returns:
        ``(C, *spatial)``.
    """
    drawn = torch.as_tensor(draw.normal(size=tuple(scan.values.shape)), dtype=scan.values.dtype)
    return scan.values + strength * scan.span * drawn


def blur(scan: Scan, strength: float, draw: RandomState) -> torch.Tensor:  # noqa: ARG001
    """Smooth with a Gaussian; beyond its edge an image counts as continued with the value at the edge.

    Args:
        scan: the image.
        strength: standard deviation of the Gaussian in mm.
        draw: unused, there is nothing random in it.

    Returns:
        ``(C, *spatial)``.
    """
    sigma = [strength / size for size in scan.spacing]
    return torch.as_tensor(np.stack([gaussian_filter(c, sigma, mode="nearest") for c in scan.values.numpy()]))


def bias_field(scan: Scan, strength: float, draw: RandomState) -> torch.Tensor:
    """Multiply all channels by one smooth field, as uneven sensitivity of the coil does.

    The field is a random polynomial of degree 3 (Van Leemput et al. 1999, https://doi.org/10.1109/42.811270; MONAI's
    ``RandBiasField``), scaled so that over the foreground it goes exactly from ``1 - strength / 2`` to
    ``1 + strength / 2``: the "intensity non-uniformity" of BrainWeb (Collins et al. 1998,
    https://doi.org/10.1109/42.712135), whose 20 % and 40 % are the first two severities.

    Args:
        scan: the image.
        strength: 0.4 for 40 %.
        draw: source of randomness.

    Returns:
        ``(C, *spatial)``.
    """
    polynomial = RandBiasField(degree=3, coeff_range=(-1.0, 1.0), prob=1.0, dtype=np.float64)
    polynomial.set_random_state(state=draw)
    ones = torch.ones(1, *scan.shape, dtype=torch.float64)
    field = torch.log(torch.as_tensor(polynomial(ones)))[0]
    seen = ~scan.background.all(dim=0)
    inside = field[seen] if bool(seen.any()) else field
    smallest, largest = inside.min(), inside.max()
    field = 1.0 + strength * ((field - smallest) / (largest - smallest).clamp_min(1e-12) - 0.5)
    return (scan.values - scan.floor) * field.to(scan.values.dtype) + scan.floor


def gamma(scan: Scan, strength: float, draw: RandomState) -> torch.Tensor:
    """Raise intensities to a power: of half of the cases to ``strength``, of the others to ``1 / strength``.

    Of ``u``, 0 at the 1st and 1 at the 99th percentile of the foreground, it makes ``sign(u) * abs(u) ** power``, so
    that the order of intensities and both percentiles stay.

    Args:
        scan: the image.
        strength: the power, above 1.
        draw: source of randomness.

    Returns:
        ``(C, *spatial)``.
    """
    power = strength if draw.uniform() < 0.5 else 1.0 / strength
    has_contrast = scan.span > 0
    u = (scan.values - scan.low) / torch.where(has_contrast, scan.span, 1.0)
    return torch.where(has_contrast, scan.low + scan.span * u.sign() * u.abs() ** power, scan.values)


def low_resolution(scan: Scan, strength: float, draw: RandomState) -> torch.Tensor:  # noqa: ARG001
    """Average to larger voxels, and interpolate linearly back to the image's own grid.

    MONAI's ``RandSimulateLowResolution`` with averages in the place of single voxels, which would shift the image by
    part of a voxel.

    Args:
        scan: the image.
        strength: how many times as long the voxels become, along every axis.
        draw: unused, there is nothing random in it.

    Returns:
        ``(C, *spatial)``.
    """
    back = "bilinear" if len(scan.shape) == 2 else "trilinear"
    zoom = (1.0 / strength, 1.0 / strength)
    resample = RandSimulateLowResolution(prob=1.0, downsample_mode="area", upsample_mode=back, zoom_range=zoom)
    return torch.as_tensor(resample(scan.values)).to(scan.values.dtype)
