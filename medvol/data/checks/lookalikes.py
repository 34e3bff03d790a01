"""Candidates for near-duplicates: pairs of fingerprints whose power spectra look alike under some flip and scale."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .fingerprint import SAMPLES, Fingerprint

# The scales at which two radiographs are compared, since their pixels have no known size: up to 1.25 either way.
SCALE_STEP = 1.25**0.25
SCALES = tuple(SCALE_STEP**k for k in range(-4, 5))
# Frequencies in cycles per SAMPLES grid steps, along each axis; the band-passed image has nothing beyond.
_STEP, _LOWEST, _HIGHEST = {3: 1.5, 2: 1.0}, {3: 1.5, 2: 2.5}, {3: 8.0, 2: 16.0}
# Power that counts as none, as a share of the mean: lower for volumes, since smooth ones hold little in the upper band.
_NOISE = {3: 0.01, 2: 0.1}
_NEIGHBORS = {3: 6, 2: 10}  # of volumes, the copy with the largest crop came fourth at worst in the trials
# Least correlation of two spectra; volumes with the largest crop had 0.26 or more in the trials.
_ALIKE = {3: 0.2, 2: 0.4}
_FEW = 16  # images that have no common spectrum worth the name; all their pairs are looked at
_BLOCK = 256  # prints that are compared at once with all others


@dataclass(frozen=True)
class Candidate:
    """Two prints, ``first < second``, and how the first lies on the second.

    Attributes:
        first: index of a print.
        second: index of another.
        level: number of the finest grid that both have.
        flips: axes to flip, for :func:`mirrors` tells which flips have one spectrum; None where it takes a closer look.
        scale: by how much to enlarge the first.
        likeness: correlation of the two spectra.
    """

    first: int
    second: int
    level: int
    flips: tuple[int, ...] | None
    scale: float
    likeness: float


def candidates(prints: Sequence[Fingerprint]) -> list[Candidate]:
    """Return the pairs worth a closer look: of every print, the few whose spectra are most like its own.

    The modulus of the Fourier transform does not change with the place of the content, and a flip only mirrors it; a
    window keeps to the middle, which a crop spares. What all images of a set have in common is taken off before.
    Memory is bounded: 2 kB a print, and 256 rows of likenesses at a time.

    Args:
        prints: fingerprints of volumes and radiographs, in any order; the two kinds are never paired.
    """
    found: dict[tuple[int, int], Candidate] = {}
    groups: dict[tuple[int, int], list[int]] = {}
    for index, one in enumerate(prints):
        for level, image in one.levels.items():
            groups.setdefault((image.ndim, level), []).append(index)
    finest = [min(one.levels) for one in prints]
    for (axes, level), members in sorted(groups.items()):
        if len(members) < 2 or all(finest[i] < level for i in members):
            continue  # these have met on a finer grid
        for pair in _alike([prints[i].levels[level] for i in members], axes, level, members):
            known = found.get((pair.first, pair.second), pair)
            if known.level == level and known.likeness <= pair.likeness:
                found[pair.first, pair.second] = pair
    return [found[pair] for pair in sorted(found)]


def _alike(images: list[np.ndarray], axes: int, level: int, members: list[int]) -> Iterator[Candidate]:
    lattice, keep = _lattice(axes)
    scales = SCALES if axes == 2 else (1.0,)
    base = np.stack([_spectrum(image, lattice, 1.0)[keep] for image in images])
    usual, spread = np.zeros(keep.shape, np.float32), np.ones(keep.shape, np.float32)
    few = len(images) < _FEW
    if not few:
        usual[keep], spread[keep] = base.mean(0), base.std(0) + 1e-6
    base -= usual[keep]
    base = _unit(base / spread[keep])
    for start in range(0, len(images), _BLOCK):
        rows = range(start, min(start + _BLOCK, len(images)))
        best = np.full((len(rows), len(images)), -1.0, np.float32)
        which = np.zeros(best.shape, np.uint8)
        ways = list(itertools.product(scales, mirrors(axes)))
        for scale in scales:
            spectra = (np.stack([_spectrum(images[i], lattice, scale) for i in rows]) - usual) / spread
            for mirror in mirrors(axes):
                turned = np.flip(spectra, [1 + axis for axis in mirror])
                likeness = _unit(turned[:, keep]) @ base.T
                better = likeness > best
                best[better], which[better] = likeness[better], ways.index((scale, mirror))
        best[np.arange(len(rows)), rows] = -1
        count = len(images) - 1 if few else min(_NEIGHBORS[axes], len(images) - 1)
        nearest = np.argpartition(best, -count, axis=1)[:, -count:]
        for row, column in ((r, c) for r in range(len(rows)) for c in nearest[r]):
            if few or best[row, column] >= _ALIKE[axes]:
                scale, mirror = ways[which[row, column]]
                one, two = members[rows[row]], members[column]
                if one > two:
                    one, two, scale = two, one, 1 / scale
                # Without a common spectrum to take off, what all images have outweighs the flip.
                flips = None if few else mirror
                yield Candidate(one, two, level, flips, scale, float(best[row, column]))


def mirrors(axes: int) -> list[tuple[int, ...]]:
    """Return the flips with spectra of their own: the last axis is left out, a real image's spectrum is even.

    Example:
        >>> mirrors(2)
        [(), (0,)]
    """
    return [flips for count in range(axes) for flips in itertools.combinations(range(axes - 1), count)]


def _lattice(axes: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the frequencies along each axis in cycles per grid step, and which of their lattice lie in the band."""
    count = int(_HIGHEST[axes] / _STEP[axes])
    lines = [np.arange(-count, count + 1) * _STEP[axes]] * (axes - 1) + [np.arange(count + 1) * _STEP[axes]]
    length = np.sqrt(sum(line**2 for line in np.meshgrid(*lines, indexing="ij", sparse=True)))
    return [line / SAMPLES[axes] for line in lines], (length >= _LOWEST[axes]) & (length <= _HIGHEST[axes])


def _spectrum(image: np.ndarray, lattice: list[np.ndarray], scale: float) -> np.ndarray:
    """Return the log power of the windowed image at the lattice's frequencies times the scale."""
    values = image.astype(np.complex64)
    for axis in reversed(range(image.ndim)):  # the short axis first
        length = image.shape[axis]
        window = np.sin(np.pi * (np.arange(length) + 0.5) / length)
        waves = np.exp(-2j * np.pi * scale * lattice[axis][:, None] * np.arange(length)) * window
        values = np.moveaxis(np.tensordot(waves.astype(np.complex64), values, (1, axis)), 0, axis)
    power = np.abs(values) ** 2
    return np.log(power + _NOISE[image.ndim] * power.mean() + 1e-12).astype(np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(1, keepdims=True)
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6)
