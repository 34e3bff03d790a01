"""The healthy brain that every phantom patient is made of: the MNI152 average brain.

Lengths are millimeters. A point is given relative to the corner of the phantom's field of view (`EXTENT`), so voxel `i`
of a grid with spacing `s` lies at `(i + 0.5) * s`, and the same seed gives the same patient at every spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]

EXTENT = (176, 210, 180)  # mm: even at 2 mm, and some air around the brain on every side but the neck
MIDLINE = 88.5  # mm from the corner to MNI x = 0
VENTRICLES = (88.5, 106.0, 82.0)  # mm, the middle of the two lateral ventricles
SPACINGS = (1, 2, 3, 4, 5, 6)
_START = (10, 12, 0)  # first 1 mm voxel of the template that lies in the field of view
_MNI_ORIGIN = (-98.0, -134.0, -72.0)  # mm, world coordinates of the template's first voxel center
_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


@dataclass(frozen=True)
class Template:
    """The average brain on one grid; every map is `(X, Y, Z)` float32.

    Attributes:
        gray: fraction of gray matter, 0 to 1.
        white: fraction of white matter, 0 to 1.
        texture: what the average T1 image shows beyond the mix of its tissues, in units of white matter.
        depth: distance to the brain's surface in mm, negative outside.
        affine: `(4, 4)` float64, voxels to RAS millimeters in MNI space.
    """

    gray: Array
    white: Array
    texture: Array
    depth: Array
    affine: NDArray[np.float64]


def template_folder() -> Path:
    """Find the folder of the nilearn wheel that holds the MNI152 maps, without the second it takes to import nilearn.

    Returns:
        An existing folder.

    Raises:
        FileNotFoundError: nilearn is not installed, or was installed without its data.
    """
    spec = find_spec("nilearn")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    folder = Path(roots[0]) / "datasets" / "data" if roots else None
    if folder is not None and all((folder / _FILE.format(name)).is_file() for name in ("t1", "gm", "wm")):
        return folder
    raise FileNotFoundError(
        f"the phantom grows on the MNI152 maps {_FILE.format('{t1,gm,wm}')} that the nilearn wheel ships; "
        f"found {'no installed nilearn' if folder is None else f'none or not all of them in {folder}'}; "
        "run `pip install --force-reinstall nilearn`, or point MEDVOL_CACHE at a folder that holds a finished phantom"
    )


def check_spacing(spacing: float) -> int:
    """Return the spacing in whole millimeters.

    Raises:
        ValueError: it is not one of `SPACINGS`.
    """
    if spacing not in SPACINGS:
        raise ValueError(
            f"phantom spacing must be one of {SPACINGS} mm; found {spacing!r}; use 2 and resample with Spacingd"
        )
    return int(spacing)


def _block_mean(volume: NDArray, factor: int) -> Array:
    """Average cubes of `factor` voxels of `(X, Y, Z)`, which also anti-aliases; what does not fill a cube is cut."""
    x, y, z = (n // factor for n in volume.shape)
    blocks = volume[: x * factor, : y * factor, : z * factor].reshape(x, factor, y, factor, z, factor)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)


@cache
def load_template(spacing: int) -> Template:
    """Load the average brain, averaged down to a whole number of millimeters.

    Args:
        spacing: voxel size in mm, one of `SPACINGS`.

    Returns:
        The maps on a grid of `EXTENT // spacing` voxels; kept for the life of the process.

    Raises:
        ValueError: `spacing` is not one of `SPACINGS`.
        FileNotFoundError: see `template_folder`.

    Example:
        >>> load_template(6).white.shape
        (29, 35, 30)
    """
    check_spacing(spacing)
    folder = template_folder()
    window = tuple(slice(a, a + n) for a, n in zip(_START, EXTENT, strict=True))
    maps = {}
    for name in ("t1", "gm", "wm"):
        maps[name] = np.asarray(nib.load(folder / _FILE.format(name)).dataobj)[window]
    inside = _block_mean(maps["t1"] > 0, spacing) > 0.5
    t1, gray, white = (_block_mean(maps[name], spacing) / 255 for name in ("t1", "gm", "wm"))
    csf = np.clip(1 - gray - white, 0, 1)
    # The maps' own means, so that a mix of tissues plus `texture` gives the T1 average back.
    means = [float((t1 * part)[inside].sum() / part[inside].sum()) for part in (csf, gray, white)]
    texture = (t1 - means[0] * csf - means[1] * gray - means[2] * white) / means[2] * inside
    # Half a voxel less than the distance between centers: zero is then the surface itself.
    depth = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    depth = (depth - 0.5 * np.sign(depth)) * spacing
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = [o + a + (spacing - 1) / 2 for o, a in zip(_MNI_ORIGIN, _START, strict=True)]
    return Template(gray, white, texture.astype(np.float32), depth.astype(np.float32), affine)


@cache
def tumor_sites() -> Array:
    """List the template points where a glioma may start: deep white matter of one hemisphere of the cerebrum.

    Returns:
        `(N, 3)` points in mm, the same at every spacing.
    """
    template = load_template(4)
    points = (np.argwhere((template.white > 0.6) & (template.depth > 12)) + 0.5) * 4
    cerebrum = (points[:, 2] > 60) & (np.abs(points[:, 0] - MIDLINE) > 12)
    return points[cerebrum].astype(np.float32)


def voxel_centers(shape: Sequence[int], spacing: float) -> tuple[Array, Array, Array]:
    """Give the positions of a grid's voxel centers along each of its three axes, in mm."""
    x, y, z = ((np.arange(n, dtype=np.float32) + np.float32(0.5)) * np.float32(spacing) for n in shape)
    return x, y, z


def sample(volume: Array, points: Array, spacing: float, outside: float = 0.0) -> Array:
    """Read a map `(X, Y, Z)` at points `(3, *)` in mm, trilinearly, `outside` beyond its edges: `(*)` float32."""
    coordinates = points / np.float32(spacing) - np.float32(0.5)
    return ndimage.map_coordinates(volume, coordinates, order=1, mode="constant", cval=outside, output=np.float32)
