"""In- and out-painting: boxes of noise inside the image, or noise all around what is kept."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from .distortion import (
    as_image,
    check_count,
    check_inside,
    check_probability,
    check_range,
    like,
    one_shape,
    three_axes,
    with_record,
)
from .partial import with_whole

__all__ = ["RandPaintd"]

_MARGIN = 3  # voxels between a box and the edges
_THIN = 14  # the shortest axis on which every box and its margins fit


class RandPaintd(RandomizableTransform, MapTransform):
    """Replace boxes by noise (in-painting), or everything but some boxes (out-painting); never both.

    Zhou et al. 2021 (Models Genesis, https://arxiv.org/abs/2004.07882, "inner and outer cutout"). *In*: up to five
    boxes with sides from a sixth to a third of the volume's, each drawn with probability 0.95 after the one before it;
    of a patch of 64 x 64 x 32 voxels 5.6 % are lost on average. *Out*: the union of one box and up to four more, with
    sides from three to four sevenths, is kept, 32 % on average. Boxes lie at least three voxels from the edges. Noise
    is uniform in ``value_range``, of its own for every voxel and channel; boxes are the same in all channels.

    On an axis shorter than 14 voxels a box spans all of it; so ``(C, X, Y)`` and ``(C, X, Y, 1)`` give the same, with
    the same seed. An image that is so thin along every axis is refused: a box would be all of it.

    Images leave as new tensors, with their type, device and metadata; nothing is changed in place.

    Args:
        keys: images ``(C, *spatial)`` of one spatial shape, two or three axes, floating point, under the same boxes.
        prob: probability that a sample is painted.
        outer_prob: probability that a painted sample is out-painted; else it is in-painted.
        boxes: most boxes of either kind.
        again: probability of every further box, and of the first one of in-painting.
        value_range: (lowest, highest) value of the noise; state the range of the images, or noise is told from tissue
            by its values alone.
        outside: what to do with images beyond ``value_range``: "error", or "allow" to keep their values.
        allow_missing_keys: skip absent images instead of failing.

    Returns:
        The sample with painted images. The record ``pretext`` has "outer cutout" or "inner cutout" in its class, and
        the boxes, named "kept" or "inner cutout"; nothing where no box was drawn.

    Raises:
        ValueError: if an option is out of range; when called, if an image holds whole numbers or values outside the
            range, is thin along every axis, or images differ in their spatial shape.

    Example:
        >>> paint = RandPaintd("image", prob=1, outer_prob=0, value_range=(2, 3), outside="allow").set_random_state(0)
        >>> sample = paint({"image": torch.zeros(1, 64, 64, 32)})
        >>> sample["pretext"]["class"], bool((sample["image"] >= 2).float().mean() < 0.17)
        (['inner cutout'], True)
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.9,
        outer_prob: float = 0.8,
        boxes: int = 5,
        again: float = 0.95,
        value_range: Sequence[float] = (0.0, 1.0),
        outside: str = "error",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=check_probability("prob", prob))
        self.outer_prob, self.again = check_probability("outer_prob", outer_prob), check_probability("again", again)
        self.boxes, self.value_range, self.outside = check_count("boxes", boxes), check_range(value_range), outside
        if outside not in ("error", "allow"):
            raise ValueError(f"outside must be 'error' or 'allow'; found {outside!r}; 'error' is the default")
        self.outer = False
        self.starts = self.sides = np.zeros((0, 3), dtype=np.int64)  # (boxes, 3) voxels
        self.seed = 0  # of the noise

    def randomize(self, shape: tuple[int, int, int]) -> None:
        """Draw whether and how to paint, and then the boxes in a volume of three axes."""
        super().randomize(None)
        self.starts = self.sides = np.zeros((0, 3), dtype=np.int64)
        if not self._do_transform:
            return
        self.outer = bool(self.R.uniform() < self.outer_prob)
        more = self.R.uniform(size=self.boxes) < self.again
        if self.outer:
            more[0] = True
        count = int(np.cumprod(more).sum())
        size = np.array(shape)
        low, high = (size - 4 * size // 7, size - 3 * size // 7) if self.outer else (size // 6, size // 3)
        sides = self.R.randint(np.maximum(low, 1), np.maximum(high, 1) + 1, size=(count, 3))
        thin = size < _THIN
        self.sides = np.where(thin, size, sides)
        room = np.where(thin, 1, size - self.sides - 2 * _MARGIN + 1)
        self.starts = np.where(thin, 0, _MARGIN) + self.R.randint(0, room)
        self.seed = int(self.R.randint(0, 2**63 - 1, dtype=np.int64))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with painted images."""
        d = with_whole(data)
        images = {key: as_image(d[key], key, floating=True) for key in self.key_iterator(d)}
        if not images:
            return d
        for key, image in images.items():
            check_inside(image, key, self.value_range, self.outside == "allow", "choose outside='allow'")
        shape = _checked_shape(images)
        self.randomize(shape)
        noise = Noise(self.seed, self.value_range)
        for key, image in images.items() if len(self.sides) else ():
            d[key] = like(self._painted(image, noise), d[key])
        d["pretext"] = with_record(d, *self._drawn(next(iter(images.values())).ndim - 1))
        return d

    def _painted(self, image: Tensor, noise: Noise) -> Tensor:
        """Return a new image ``(C, *spatial)``."""
        volume = image.reshape(len(image), *three_axes(image))
        # To draw the noise of an out-painting only where it is needed costs more than to draw all of it in one go.
        result = noise.draw(volume.shape, volume) if self.outer else volume.clone()
        for start, side in zip(self.starts, self.sides, strict=True):
            box = (slice(None), *(slice(int(a), int(a + n)) for a, n in zip(start, side, strict=True)))
            result[box] = volume[box] if self.outer else noise.draw(volume[box].shape, volume)
        return result.reshape(image.shape)

    def _drawn(self, axes: int) -> tuple[list[str], list[list[list[int]]], list[str]]:
        """Return words, boxes and their names for the record, with as many axes as the image has."""
        word = "outer cutout" if self.outer else "inner cutout"
        ends = np.stack([self.starts, self.starts + self.sides], axis=1)[:, :, :axes].tolist()
        return [word] if ends else [], ends, ["kept" if self.outer else word] * len(ends)


class Noise:
    """Uniform noise from one seed, drawn on the device that needs it.

    Args:
        seed: of new generators; global ones are left alone.
        value_range: (lowest, highest).

    Example:
        >>> Noise(0, (2.0, 3.0)).draw((1, 2), torch.zeros(1)).shape
        torch.Size([1, 2])
    """

    def __init__(self, seed: int, value_range: tuple[float, float]) -> None:
        self.seed, (self.low, self.high) = seed, value_range
        self._generators: dict[torch.device, Any] = {}

    def draw(self, shape: Sequence[int], image: Tensor) -> Tensor:
        """Return noise ``shape`` of the type and on the device of an image."""
        kind = torch.float64 if image.dtype == torch.float64 else torch.float32
        noise = torch.empty(tuple(shape), dtype=kind, device=image.device)
        if image.device not in self._generators:
            self._generators[image.device] = self._generator(image.device)
        return self._filled(noise, self._generators[image.device]).to(image.dtype)

    def _filled(self, noise: Tensor, generator: Any) -> Tensor:
        if isinstance(generator, torch.Generator):
            noise.uniform_(generator=generator)
        else:  # NumPy's is several times as fast on a CPU
            generator.random(dtype=noise.numpy().dtype, out=noise.numpy())
        if (self.low, self.high) != (0.0, 1.0):
            noise.mul_(self.high - self.low).add_(self.low).clamp_(self.low, self.high)
        return noise

    def _generator(self, device: torch.device) -> Any:
        if device.type == "cpu":
            return np.random.Generator(np.random.SFC64(self.seed))
        return torch.Generator(device).manual_seed(self.seed)


def _checked_shape(images: Mapping[Hashable, Tensor]) -> tuple[int, int, int]:
    shape = one_shape(images)
    if max(shape) < _THIN:
        raise ValueError(
            f"{next(iter(images))!r} must have an axis of {_THIN} voxels or more; found the shape {shape}, of which a "
            "box would be all; take larger crops, or leave painting out"
        )
    return shape
