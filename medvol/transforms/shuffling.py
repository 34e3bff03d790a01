"""Local shuffling: voxels change places inside small windows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from .distortion import as_image, check_count, check_probability, compiled, like, one_shape, with_record
from .partial import with_whole

__all__ = ["RandLocalShuffled"]

_MOST_VOXELS = 2**31 - 1  # places are 32-bit numbers: half the memory traffic
_CHUNK = 2_000  # windows that are sorted at once on an accelerator; bounds the memory of large volumes


class RandLocalShuffled(RandomizableTransform, MapTransform):
    """Permute the voxels inside thousands of small windows, so that texture is lost and layout is kept.

    Zhou et al. 2021 (Models Genesis, https://arxiv.org/abs/2004.07882, "local pixel shuffling"). Every window has
    sides drawn from 1 to a tenth of the volume's, and a place drawn among all that fit. It takes its voxels from the
    *original* image, permutes them, and is put into the result, where later windows replace earlier ones; so no voxel
    comes from farther away than a window reaches. All channels of a voxel move together. Values are moved, never
    changed.

    An axis shorter than 20 voxels has windows of side 1: nothing moves along it. So ``(C, X, Y)`` and ``(C, X, Y, 1)``
    are shuffled alike, and the same for the same seed.

    The images leave as new tensors on the device where they were, with their metadata; nothing is changed in place.
    On a CPU the permutations are drawn by a compiled loop; building the transform compiles it, once (a second; later
    programs find it on disk). Elsewhere they are drawn by a sort on that device: other numbers, the same distribution.

    Args:
        keys: images ``(C, *spatial)`` of one spatial shape, two or three axes, any type; all shuffled alike.
        prob: probability that a sample is shuffled.
        windows: number of windows.
        allow_missing_keys: skip absent images instead of failing.

    Returns:
        The sample with shuffled images; "local shuffling" in the class of the record ``pretext``.

    Raises:
        ValueError: if ``prob`` is no probability or ``windows`` no whole number above 0; when called, if an image has
            other axes, or images differ in their spatial shape.

    Example:
        >>> shuffle = RandLocalShuffled("image", prob=1, windows=100).set_random_state(0)
        >>> image = torch.arange(1600.0).reshape(1, 40, 40)
        >>> shuffled = shuffle({"image": image})["image"]
        >>> torch.equal(shuffled, image), bool((shuffled - image).abs().max() <= 3 * 40 + 3)
        (False, True)
    """

    def __init__(
        self, keys: KeysCollection, prob: float = 0.5, windows: int = 10_000, allow_missing_keys: bool = False
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=check_probability("prob", prob))
        self.windows = check_count("windows", windows)
        self.starts = self.sides = np.zeros((0, 3), dtype=np.int64)  # (windows, 3) voxels
        self.seed = 0  # of the permutations
        if self.prob > 0:
            _loop()

    def randomize(self, shape: tuple[int, int, int]) -> None:
        """Draw whether there is anything to do, and then the windows in a volume of three axes."""
        super().randomize(None)
        if not self._do_transform:
            return
        size = np.array(shape)
        self.sides = self.R.randint(1, np.maximum(1, size // 10) + 1, size=(self.windows, 3), dtype=np.int64)
        self.starts = self.R.randint(0, size - self.sides + 1, dtype=np.int64)
        self.seed = int(self.R.randint(0, 2**63 - 1, dtype=np.int64))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with shuffled images."""
        d = with_whole(data)
        images = {key: as_image(d[key], key) for key in self.key_iterator(d)}
        if not images:
            return d
        shape = _checked_shape(images)
        self.randomize(shape)
        sources: dict[torch.device, Tensor] = {}
        for key, image in images.items() if self._do_transform else ():
            if image.device not in sources:
                sources[image.device] = self._sources(shape, image.device)
            d[key] = like(_gather(image, sources[image.device]), d[key])
        d["pretext"] = with_record(d, ["local shuffling"] if self._do_transform else [])
        return d

    def _sources(self, shape: tuple[int, int, int], device: torch.device) -> Tensor:
        """Return for each voxel ``(X * Y * Z,)``, int32, the place that its value comes from."""
        if device.type != "cpu":
            return sorted_sources(self.starts, self.sides, shape, self.seed, device)
        sources = np.arange(np.prod(shape), dtype=np.int32)
        window = np.empty(int(self.sides.prod(axis=1).max()), dtype=np.int32)
        _loop()(sources, window, self.starts, self.sides, shape[1], shape[2], np.uint64(self.seed))
        return torch.from_numpy(sources)


def _checked_shape(images: Mapping[Hashable, Tensor]) -> tuple[int, int, int]:
    shape = one_shape(images)
    if np.prod(shape) > _MOST_VOXELS:
        raise ValueError(
            f"{next(iter(images))!r} must have less than 2^31 voxels; found the shape {shape}; crop it first"
        )
    return shape


def _gather(image: Tensor, sources: Tensor) -> Tensor:
    """Return a new image ``(C, *spatial)`` whose voxels come from given places."""
    result = torch.empty_like(image)
    for old, new in zip(image.flatten(1), result.flatten(1), strict=True):  # both are contiguous: views
        torch.index_select(old, 0, sources, out=new)
    return result


def _shuffle_windows(sources, window, starts, sides, rows, columns, state):  # noqa: ANN001, ANN202
    """Fill ``sources`` with the places that shuffled voxels come from, one window after another (compiled by numba).

    The numbers are those of splitmix64 (Steele et al. 2014, https://doi.org/10.1145/2714064.2660195), one for each
    voxel; a number below n is taken from its upper half, whose bias is n / 2^32. No global generator is touched.
    """
    for number in range(len(starts)):
        x0, y0, z0 = starts[number]
        dx, dy, dz = sides[number]
        count = 0
        for x in range(x0, x0 + dx):
            for y in range(y0, y0 + dy):
                first = (x * rows + y) * columns + z0
                for z in range(dz):
                    window[count] = first + z
                    count += 1
        done = 0
        for x in range(x0, x0 + dx):
            for y in range(y0, y0 + dy):
                first = (x * rows + y) * columns + z0
                for z in range(dz):
                    state += np.uint64(0x9E3779B97F4A7C15)
                    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                    mixed = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(32)
                    drawn = done + np.int64((mixed * np.uint64(count - done)) >> np.uint64(32))
                    sources[first + z] = window[drawn]
                    window[drawn] = window[done]  # the next draw is from those that are left
                    done += 1


@lru_cache(maxsize=1)
def _loop() -> Callable[..., None]:
    """Return the compiled loop."""
    return compiled(
        _shuffle_windows, "void(int32[::1], int32[::1], int64[:, ::1], int64[:, ::1], int64, int64, uint64)"
    )


def sorted_sources(
    starts: np.ndarray, sides: np.ndarray, shape: tuple[int, int, int], seed: int, device: torch.device | str
) -> Tensor:
    """Return for each voxel the place that its value comes from, found on a device by sorting random numbers.

    Args:
        starts: ``(windows, 3)`` first voxels.
        sides: ``(windows, 3)`` voxels.
        shape: of the volume.
        seed: of the device's generator, a new one.
        device: where to work.

    Returns:
        ``(X * Y * Z,)``, int32.

    Example:
        >>> window = np.array([[0, 0, 0]]), np.array([[2, 2, 1]])
        >>> sorted(sorted_sources(*window, (2, 2, 1), 0, "cpu").tolist())
        [0, 1, 2, 3]
    """
    generator = torch.Generator(device).manual_seed(seed)
    sources = torch.arange(int(np.prod(shape)), dtype=torch.int32, device=device)
    for begin in range(0, len(starts), _CHUNK):
        start, side = (
            torch.from_numpy(np.ascontiguousarray(part[begin : begin + _CHUNK])).to(device) for part in (starts, sides)
        )
        counts = side.prod(dim=1)
        owner = torch.repeat_interleave(torch.arange(len(counts), device=device), counts)  # window of each voxel in one
        place = torch.arange(len(owner), device=device)
        within = place - (counts.cumsum(0) - counts)[owner]
        dy, dz = side[owner, 1], side[owner, 2]
        voxel = torch.stack([within // (dy * dz), within // dz % dy, within % dz], dim=1) + start[owner]
        voxel = (voxel[:, 0] * shape[1] + voxel[:, 1]) * shape[2] + voxel[:, 2]
        # Sorted by window first and a random number then, the voxels of every window come in a random order.
        chance = torch.randint(2**48, (len(owner),), generator=generator, device=device)
        order = torch.argsort(owner * 2**48 + chance)
        last = torch.full_like(sources, -1, dtype=torch.int64).scatter_reduce(0, voxel, place, "amax")
        covered = last >= 0
        sources[covered] = voxel[order[last[covered]]].to(torch.int32)
    return sources
