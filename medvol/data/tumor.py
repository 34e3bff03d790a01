"""The glioma of a phantom patient: where it sits, how it pushes, and its three parts.

The core is the inside of a smooth surface, the enhancing rim is its outer shell, and the edema (`edema.py`) diffuses
out of it along white matter. Every part is a level set of a smooth field, hence compact by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .anatomy import MIDLINE, Array, tumor_sites
from .deformation import smooth_noise, swell
from .edema import find_edema
from .regions import largest_piece, num_smoothings, smooth_mask

NECROSIS, EDEMA, ENHANCING = 1, 2, 4  # the BraTS 2017-2020 convention; 3 is not used


@dataclass(frozen=True)
class Tumor:
    """What is drawn once per tumor.

    Attributes:
        center: three template coordinates in mm.
        radius: of a ball with the core's volume, mm.
        shape: `(3, 3)`, maps an offset in mm to units of the core's radius (an ellipsoid, rotated).
        pressure: magnification of displaced tissue, as in `anatomy.swell`.
        rim: mean thickness of the enhancing rim, mm; infinite for a core without necrosis.
        spread: volume of the edema in units of the core's volume, up to 130 ml in all.
    """

    center: Array
    radius: float
    shape: NDArray[np.float64]
    pressure: float
    rim: float
    spread: float


def draw_tumor(rng: np.random.Generator) -> Tumor:
    """Draw place, size, shape and behavior of one tumor."""
    sites = tumor_sites()
    center = sites[rng.integers(len(sites))] + rng.uniform(-2, 2, 3).astype(np.float32)
    radius = rng.uniform(11, 21)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    stretch = np.exp(rng.uniform(-0.28, 0.28, 3))
    stretch /= np.cbrt(stretch.prod())
    has_necrosis = rng.random() < 0.9
    thickness = rng.uniform(0.16, 0.34) * radius
    return Tumor(
        center=center,
        radius=radius,
        shape=rotation / (radius * stretch)[:, None],
        pressure=rng.uniform(0.3, 0.7),
        rim=thickness if has_necrosis else np.inf,
        spread=np.exp(rng.uniform(0.2, 1.8)),
    )


def push(points: Array, depth: Array, tumor: Tumor) -> Array:
    """Displace tissue by the tumor's mass: `(3, *)` template points to `(3, *)`; bone (`depth` 0 mm) holds it."""
    held = np.maximum(depth, 0)
    return swell(points, tumor.center, 1.8 * tumor.radius, tumor.pressure, held / (held + 6))


@dataclass(frozen=True)
class Site:
    """The box of voxels that a tumor can reach; maps are `(X, Y, Z)`.

    Attributes:
        axes: positions of the voxel centers in mm along each axis.
        points: `(3, X, Y, Z)` template points in mm before the push.
        depth: mm below the brain's surface.
        gray: fraction of gray matter after the push, zero outside the brain.
        white: fraction of white matter after the push, zero outside the brain.
        across: template x coordinate in mm after the push.
    """

    axes: tuple[Array, Array, Array]
    points: Array
    depth: Array
    gray: Array
    white: Array
    across: Array

    @property
    def spacing(self) -> float:
        """Voxel size in mm."""
        return float(self.axes[0][1] - self.axes[0][0])


def reach(tumor: Tumor, points: Array) -> tuple[slice, slice, slice]:
    """Find the box of `(3, X, Y, Z)` template points that core and edema can reach."""
    offset = points - tumor.center.reshape(3, 1, 1, 1)
    near = (offset * offset).sum(0) < (2 * tumor.radius + 35) ** 2
    x, y, z = (np.flatnonzero(near.any(axis)) for axis in ((1, 2), (0, 2), (0, 1)))
    return slice(x[0], x[-1] + 1), slice(y[0], y[-1] + 1), slice(z[0], z[-1] + 1)


def grow(rng: np.random.Generator, tumor: Tumor, site: Site) -> NDArray[np.uint8]:
    """Grow the tumor in its place.

    Args:
        rng: source of the surfaces' bumps.
        tumor: what was drawn.
        site: the tissue around it.

    Returns:
        `(X, Y, Z)` uint8 of `NECROSIS`, `EDEMA`, `ENHANCING` and 0.
    """
    brain = site.depth > 0
    level = _core_level(rng, tumor, site)
    # The drawn volume, where there is room for it: fluid, falx and surface have raised the level on their side.
    wanted = round(4 / 3 * np.pi * (tumor.radius / site.spacing) ** 3)
    reached = min(float(np.partition(level[brain], wanted)[wanted]), 1.5)
    core = largest_piece(smooth_mask((level < reached) & brain, num_smoothings(site.spacing)) & brain) & brain
    label = np.zeros(core.shape, np.uint8)
    label[core] = ENHANCING
    label[_necrosis(rng, tumor, site, core)] = NECROSIS
    # White matter conducts, the more so where it is pure; by chance, fluid takes some tracts and spares others.
    mobility = (0.3 * site.white**3 + np.float32(0.006) * site.gray) * np.exp(
        smooth_noise(rng, site.axes, (24, 12), (1.5, 0.8))
    )
    tissue = site.white + site.gray > 0.5
    label[
        find_edema(core, tissue, mobility, min(tumor.spread * float(core.sum()), 130e3 / site.spacing**3), site.spacing)
    ] = EDEMA
    return label


def _core_level(rng: np.random.Generator, tumor: Tumor, site: Site) -> Array:
    """Compute the `(X, Y, Z)` field that is low in the core: a bumpy ellipsoid, held back by falx, surface and CSF."""
    offset = site.points - tumor.center.reshape(3, 1, 1, 1)
    squared = np.zeros(site.depth.shape, np.float32)
    for row in tumor.shape.astype(np.float32):
        squared += (row[0] * offset[0] + row[1] * offset[1] + row[2] * offset[2]) ** 2
    level = np.sqrt(squared) + smooth_noise(rng, site.axes, (18, 9), (0.20, 0.08))
    midline = np.float32(MIDLINE)
    over = np.sign(tumor.center[0] - midline) * (midline - site.across)
    level += np.maximum(over + 1, 0) / 4
    level += np.maximum(3 - site.depth, 0) / 4
    # Smoothed over 2 mm: ventricles and fissures stop a core, thin sulci are crushed by it.
    csf = np.where(site.depth > 0, 1 - site.gray - site.white, 0).astype(np.float32)
    level += 1.2 * ndimage.gaussian_filter(csf, 2.0 / site.spacing, truncate=2.0)
    return level


def _necrosis(rng: np.random.Generator, tumor: Tumor, site: Site, core: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find what lies deeper in the core than a rim of varying thickness; specks below 0.1 ml are left to the rim."""
    variation = np.exp(smooth_noise(rng, site.axes, (16, 8), (0.50, 0.35)))
    if not np.isfinite(tumor.rim):
        return np.zeros_like(core)
    depth = ndimage.distance_transform_edt(core, sampling=site.spacing).astype(np.float32)
    # 1.5 voxels: a necrotic voxel then touches the outside neither with a face nor with an edge.
    sealed = depth > 1.5 * site.spacing
    inner = (
        smooth_mask((depth > np.float32(tumor.rim) * variation) & sealed, min(1, num_smoothings(site.spacing))) & sealed
    )
    pieces, count = ndimage.label(inner)
    volumes = np.bincount(pieces.ravel(), minlength=count + 1) * site.spacing**3
    volumes[0] = 0
    return (volumes >= max(100.0, 4 * site.spacing**3))[pieces]
