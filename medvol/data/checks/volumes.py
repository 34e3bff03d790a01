"""Checks of one image: its header, its voxels, and the grids of one case's modalities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..reading import Header
from .finding import Problem

_TOLERANCE = 1e-3  # of a voxel edge: how far two grids' corners may lie apart
_SHEAR = 0.01  # cosine between two axes, 0.6 degrees: half a voxel at 50 voxels
_OBLIQUE = 30.0  # degrees between an axis and the nearest one of the patient's
_LARGEST, _RATIO = 20.0, 20.0  # millimeters; largest to smallest voxel edge
# What the reader says in words about the geometry: tag to kind, expected and remedy.
_ODD = {
    "uneven": (
        "uneven-slices",
        "slices at equal distances",
        "look for a missing slice; resample the series if none is",
    ),
    "tilted": ("affine", "slices straight above each other", "resample the series to a straight grid (gantry tilt)"),
    "disagreement": ("affine", "one geometry in the header", "look at it over its label; correct the header"),
}
_HEADER = "correct the header from the source, or convert the scan again"


def check_header(header: Header, channels: int) -> list[Problem]:
    """Return what is wrong with an image before a voxel is looked at.

    Args:
        header: of the file.
        channels: values per voxel that it should have; 0 for any.

    Example:
        >>> header = Header((4, 4, 4), 1, (1.0, 1.0, 0.0), np.diag([1.0, 1.0, 0.0, 1.0]), "int16", {})
        >>> [problem.kind for problem in check_header(header, 1)]
        ['spacing']
    """
    problems = _channels(header, channels) + _spacing(header)
    problems += [
        Problem(kind, "warning", expected, header.tags[tag], remedy)
        for tag, (kind, expected, remedy) in _ODD.items()
        if header.tags.get(tag)
    ]
    return problems + (_affine(header.affine) if header.affine is not None else [])


def check_values(values: np.ndarray, header: Header) -> list[Problem]:
    """Return what is wrong with an image's voxels.

    Args:
        values: (X, Y, Z), (rows, columns), either with a channel axis behind.
        header: of the file.

    Example:
        >>> header = Header((4, 4, 4), 1, (1.0, 1.0, 1.0), np.eye(4), "float32", {})
        >>> [problem.kind for problem in check_values(np.full((4, 4, 4), np.nan), header)]
        ['not-finite']
    """
    if not is_plain(values):
        remedy = "store one real number per voxel, for instance the magnitude"
        return [Problem("dtype", "error", "real numbers", f"voxels of type {_named(values.dtype)}", remedy)]
    return check_finite(values) or _constant(values, header)


def is_plain(values: np.ndarray) -> bool:
    """Return whether the values are real numbers."""
    return values.dtype.kind in "biuf"


def check_finite(values: np.ndarray) -> list[Problem]:
    """Return a problem if a voxel is NaN or infinite, with the counts.

    Args:
        values: real numbers, of any shape.
    """
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return []
    nans, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    found = f"{nans} NaN and {infinite} infinite of {values.size} voxels"
    remedy = "make the file again, or set these voxels to the background"
    return [Problem("not-finite", "error", "finite voxels", found, remedy)]


def check_grids(headers: Sequence[tuple[str, Header]]) -> list[Problem]:
    """Return, for each modality that does not lie on the first one's grid, what differs.

    Grids differ where a corner voxel lies more than a thousandth of a voxel edge apart. Smaller differences are
    rounding, but MONAI's reader stacks modalities only if ``numpy.allclose`` holds of their affines.

    Args:
        headers: modality or file, and header.

    Example:
        >>> a, b = (Header((4, 4, size), 1, (1, 1, 1), np.eye(4), "int16", {}) for size in (4, 5))
        >>> check_grids([("t1", a), ("flair", b)])[0].found
        'flair 4 x 4 x 5, t1 4 x 4 x 4'
    """
    problems = []
    for name, header in headers[1:]:
        first, known = headers[0]
        expected, remedy = "all modalities of a case on one grid", f"resample {name} to the grid of {first}"
        if header.shape != known.shape:
            found = f"{name} {sizes(header.shape)}, {first} {sizes(known.shape)}"
            problems.append(Problem("grid", "error", expected, found, remedy))
        elif (apart := distance(header, known)) > _TOLERANCE:
            found = f"corners of {name} and {first} up to {apart:.3g} voxels apart"
            problems.append(Problem("grid", "error", expected, found, remedy))
        elif header.affine is not None and known.affine is not None and not np.allclose(header.affine, known.affine):
            found = f"affines of {name} and {first} that differ by rounding, {apart:.1g} voxels"
            problems.append(Problem("grid", "warning", expected, found, f"copy the affine of {first} into {name}"))
    return problems


def distance(one: Header, other: Header) -> float:
    """Return how far two grids of one shape lie apart, at their farthest corner, in edges of the smallest voxel.

    A grid without a finite affine is compared with nothing: 0.
    """
    a, b = one.affine, other.affine
    if a is None or b is None or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in one.shape[:3]])).reshape(3, -1)
    apart = np.linalg.norm((a - b)[:3] @ np.vstack([corners, np.ones(corners.shape[1])]), axis=0).max()
    edges = [size for size in (*one.spacing, *other.spacing) if size > 0]
    return float(apart / min(edges, default=1.0))


def sizes(shape: Sequence[int]) -> str:
    """Return a shape as text.

    Example:
        >>> sizes((4, 5, 6))
        '4 x 5 x 6'
    """
    return " x ".join(map(str, shape))


def _channels(header: Header, channels: int) -> list[Problem]:
    if not channels or header.channels == channels:
        return []
    if header.is_radiograph and header.channels in (3, 4):
        found, remedy = f"{header.channels} colors", "convert the picture to gray"
        return [Problem("dtype", "error", f"{channels} value(s) per pixel", found, remedy)]
    remedy = "name the modalities in the order of the file's channels, or take the file out"
    return [Problem("channels", "error", f"{channels}, one per modality", f"{header.channels}", remedy)]


def _spacing(header: Header) -> list[Problem]:
    spacing = np.asarray(header.spacing, float)
    found = f"{' x '.join(f'{size:.3g}' for size in spacing)} mm"
    if header.affine is None and np.isnan(spacing).all():  # a picture does not say
        return []
    if header.affine is not None and not np.isfinite(header.affine).all():  # the affine's own problem
        return []
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        return [Problem("spacing", "error", "voxel sizes above 0", found, _HEADER)]
    if spacing.max() > _LARGEST or spacing.max() > _RATIO * spacing.min():
        expected = f"voxel sizes up to {_LARGEST:.0f} mm, the largest at most {_RATIO:.0f} times the smallest"
        return [Problem("spacing", "warning", expected, found, "compare with the scan's protocol; correct the header")]
    return []


def _affine(affine: np.ndarray) -> list[Problem]:
    if not np.isfinite(affine).all():
        return [Problem("affine", "error", "finite numbers", f"{affine[:3].round(3).tolist()}", _HEADER)]
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not (edges > 0).all():  # a zero edge is a problem of the spacing
        return []
    axes = affine[:3, :3] / edges
    if abs(np.linalg.det(axes)) < _SHEAR:
        return [Problem("affine", "error", "three independent axes", f"{affine[:3].round(3).tolist()}", _HEADER)]
    cosine = np.abs(axes.T @ axes - np.eye(3)).max()
    if cosine > _SHEAR:
        found = f"axes at {np.degrees(np.arccos(min(cosine, 1))):.1f} degrees"
        return [Problem("affine", "warning", "axes at right angles", found, "resample the scan to a straight grid")]
    angle = float(np.degrees(np.arccos(np.clip(np.abs(axes).max(axis=0).min(), 0, 1))))
    if angle > _OBLIQUE:
        remedy = "nothing, if the scan was planned so; a flip along an axis is then no mirror of the patient"
        return [Problem("affine", "note", "axes along the patient's", f"oblique by {angle:.0f} degrees", remedy)]
    return []


def _constant(values: np.ndarray, header: Header) -> list[Problem]:
    planes = [values] if values.ndim == len(header.shape) else list(np.moveaxis(values, -1, 0))
    if not values.size:
        return [Problem("constant", "error", "different values", "no voxel", "make the file again")]
    flat = [i for i, plane in enumerate(planes) if (plane == plane.flat[0]).all()]
    if not flat:
        return []
    where = "everywhere" if len(planes) == 1 else f"everywhere in channel {', '.join(map(str, flat))}"
    found = f"{planes[flat[0]].flat[0]} {where}"
    return [Problem("constant", "error", "different values", found, "take the case out, or make the file again")]


def _named(dtype: np.dtype) -> str:
    return "colors" if dtype.names else dtype.name
