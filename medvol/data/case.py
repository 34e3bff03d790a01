"""One simulated glioma patient: anatomy, tumor and contrast put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from . import anatomy
from .anatomy import Array
from .contrast import MODALITIES, render
from .deformation import swell, warp
from .tumor import EDEMA, ENHANCING, NECROSIS, Site, draw_tumor, grow, push, reach

VERSION = 1  # raise it whenever a seed gives another patient: it is part of the cache folder's name


@dataclass(frozen=True)
class Case:
    """One patient.

    Attributes:
        images: `(4, X, Y, Z)` float32 in the order flair, t1, t1ce, t2; exactly zero outside the brain,
            arbitrary MR units inside.
        label: `(X, Y, Z)` uint8, BraTS 2018 convention: 0 background, 1 necrosis, 2 edema, 4 enhancing.
        affine: `(4, 4)` float64, voxels to RAS millimeters.
    """

    images: NDArray[np.float32]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]


def make_case(seed: int | Sequence[int], spacing: float = 2.0, *, with_tumor: bool = True) -> Case:
    """Simulate one glioma patient on the MNI152 average brain.

    Anatomy is that of *one* average brain, deformed at random: right for smoke tests, demonstrations and timing.
    It says nothing about how well a method works on patients.

    Args:
        seed: one number, or several that together name the patient; the same seed gives the same bits.
        spacing: voxel size in mm, 1 to 6 in whole numbers.
        with_tumor: False gives the same person, scanned alike, before the disease.

    Returns:
        The case; `X, Y, Z` is `(176, 210, 180) // spacing`.

    Raises:
        ValueError: the spacing is not one of those.
        FileNotFoundError: the template is missing, see `anatomy.template_folder`.

    Example:
        >>> case = make_case(0, spacing=6)
        >>> case.images.shape, sorted(set(case.label.ravel().tolist()))
        ((4, 29, 35, 30), [0, 1, 2, 4])
    """
    step = anatomy.check_spacing(spacing)
    template = anatomy.load_template(step)
    shape_rng, tumor_rng, scan_rng = np.random.default_rng(seed).spawn(3)
    axes = anatomy.voxel_centers(template.white.shape, step)
    points = warp(shape_rng, axes)
    depth = anatomy.sample(template.depth, points, step, outside=-1.0)
    inside = np.flatnonzero(depth > 0)
    source = points.reshape(3, -1)[:, inside]
    source = swell(source, anatomy.VENTRICLES, 20.0, shape_rng.uniform(-0.15, 0.35))
    grown = draw_tumor(tumor_rng) if with_tumor else None
    if grown is not None:
        source = push(source, depth.ravel()[inside], grown)
    gray, white, texture = (anatomy.sample(m, source, step) for m in (template.gray, template.white, template.texture))
    label = np.zeros(depth.shape, np.uint8)
    if grown is not None:
        box = reach(grown, points)
        near = tuple(axis[part] for axis, part in zip(axes, box, strict=True))
        maps = (_scatter(values, inside, depth.shape)[box] for values in (gray, white, source[0]))
        label[box] = grow(tumor_rng, grown, Site(near, points[(slice(None), *box)], depth[box], *maps))
    fractions = _mix(label, gray, white, inside)
    images = np.zeros((len(MODALITIES), depth.size), np.float32)
    for image, modality, rng in zip(images, MODALITIES, scan_rng.spawn(len(MODALITIES)), strict=True):
        image[inside] = render(rng, modality, fractions, texture, axes, inside)
    return Case(images.reshape(-1, *depth.shape), label, template.affine.copy())


def _scatter(values: Array, inside: NDArray[np.intp], shape: tuple[int, ...]) -> Array:
    """Put `(N,)` values of the brain's voxels back into a volume of zeros."""
    volume = np.zeros(shape, np.float32)
    volume.ravel()[inside] = values
    return volume


def _mix(label: NDArray[np.uint8], gray: Array, white: Array, inside: NDArray[np.intp]) -> list[Array]:
    """Give the six parts of each brain voxel, `(N,)` each, as `contrast.SIGNAL` orders them; tumor borders are soft."""
    soft = []
    found = ndimage.find_objects((label > 0).astype(np.uint8))
    for value in (NECROSIS, EDEMA, ENHANCING):
        part = np.zeros(label.shape, np.float32)
        for box in found:
            grown = tuple(slice(max(side.start - 3, 0), side.stop + 3) for side in box)
            part[grown] = ndimage.gaussian_filter((label[grown] == value).astype(np.float32), 0.6, truncate=3.0)
        soft.append(part.ravel()[inside])
    rest = np.clip(1 - soft[0] - soft[1] - soft[2], 0, 1)
    return [np.clip(1 - gray - white, 0, 1) * rest, gray * rest, white * rest, *soft]
