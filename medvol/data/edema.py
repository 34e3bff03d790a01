"""The edema of a phantom glioma: fluid that diffuses out of the core along white matter."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .anatomy import Array
from .regions import Mask, largest_piece, num_smoothings, smooth_mask


def diffuse(core: Mask, mobility: Array, spacing: float) -> Array:
    """Let fluid diffuse out of the core for a short time.

    The diffusion term of the glioma model of Swanson, Alvord and Murray 2000
    (https://doi.org/10.1046/j.1365-2184.2000.00177.x), `dc/dt = div(D(x) grad c)`, explicit in time. Its growth term is
    left out, because only the order of the values is used: after a short time that is the order of travel times, and
    white matter tracts show as fingers.

    Args:
        core: `(X, Y, Z)` source, held at one.
        mobility: `(X, Y, Z)` D in units of its largest useful value; clipped to 0..1.
        spacing: voxel size in mm.

    Returns:
        `(X, Y, Z)` float32, 0 to 1, falling away from the core.

    Example:
        >>> core, mobility = np.zeros((1, 1, 5), bool), np.ones((1, 1, 5), np.float32)
        >>> core[0, 0, 1] = True
        >>> amount = diffuse(core, mobility, spacing=6)[0, 0]
        >>> bool(amount[1] == 1 and amount[1] > amount[2] > amount[3] > amount[4] > 0)
        True
    """
    conduct = np.clip(mobility, 0, 1)
    faces = []
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        # The lesser of two neighbors: a thin sulcus between two gyri stays a barrier. 1/6 is the limit of stability.
        faces.append((np.minimum(conduct[low], conduct[high]) / np.float32(6), low, high))
    amount = core.astype(np.float32)
    for _ in range(max(8, round(160 / spacing**2))):
        change = np.zeros_like(amount)
        for conductance, low, high in faces:
            flow = amount[high] - amount[low]
            flow *= conductance
            change[low] += flow
            change[high] -= flow
        amount += change
        amount[core] = 1
    return amount


def find_edema(core: Mask, tissue: Mask, mobility: Array, wanted: float, spacing: float) -> Mask:
    """Find the edema: the reach of `diffuse` that has the wanted volume, one piece together with the core.

    Args:
        core: `(X, Y, Z)`.
        tissue: `(X, Y, Z)`, where edema may be: brain, not fluid.
        mobility: `(X, Y, Z)`, see `diffuse`.
        wanted: volume in voxels; smoothing and a lack of room leave a little less.
        spacing: voxel size in mm; at 1 mm the diffusion runs on a grid of half the density, 32 times faster.

    Returns:
        `(X, Y, Z)`, disjoint from the core.
    """
    if spacing == 1:
        half = [
            ndimage.zoom(m, 0.5, order=1, grid_mode=True, mode="nearest") for m in (core.astype(np.float32), mobility)
        ]
        amount = diffuse(half[0] > 0.5, half[1], 2.0)
        back = [n / m for n, m in zip(core.shape, amount.shape, strict=True)]
        amount = ndimage.zoom(amount, back, order=1, grid_mode=True, mode="nearest")
    else:
        amount = diffuse(core, mobility, spacing)
    free = tissue & ~core & (amount > 0)
    values = np.sort(amount[free])
    level = values[max(len(values) - round(wanted), 0)] if len(values) else np.float32(1)
    spread = smooth_mask(core | (free & (amount >= level)), num_smoothings(spacing)) & free
    # `tissue` again: a ventricle's horn that edema has closed in is not filled.
    return largest_piece(core | spread) & tissue & ~core
