"""Rotations by quarter turns: which keep a shape, and the task of telling them apart."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

__all__ = ["RandRotationsd", "num_rotations", "rotate", "rotation_classes"]

Rotation = tuple[tuple[int, int], ...]
"""Turns one after another, each (plane, quarter turns)."""

_PLANES = ((0, 1), (2, 0), (2, 1))  # from the first axis towards the second
_AXES = (2, 1, 0)  # that each plane turns about


class RandRotationsd(RandomizableTransform, MapTransform):
    """Copies of one crop, each turned by another multiple of 90 degrees, labelled with the turn.

    Taleb et al. 2020 (https://arxiv.org/abs/2006.03829, section 3.4); in images Gidaris et al. 2018
    (https://arxiv.org/abs/1803.07728). Three axes with four angles are ten classes, for the identity is shared. A turn
    that changes the crop's shape, or that makes a slice its mirror image, is no class: see :func:`rotation_classes`.
    The paper's code turned none of its images of the tenth class until 2021, so that one picture had two labels; here
    all classes differ on anything without symmetry. Voxels are moved, never interpolated.

    Args:
        keys: crops ``(C, *spatial)``, or ``(1, C, *spatial)`` as :class:`RandPatchGridd` cuts them with a grid of 1;
            all turned alike.
        views: turned copies per crop, V, of different classes.
        classes: number of classes; None takes what the crop's shape allows. A cube has 10, or all 24 of its rotations;
            a crop with two equal sides has 6, any other 4, half turns alone; 4 on a crop that is square in its plane
            (axes 0 and 1) are the turns in the plane. A slice has 4, or 2 where it is not square.
        foreground_key: ``(1,)`` fraction of foreground in the crop, if there is one; repeated for every copy.
        threshold: least fraction of foreground; the labels of emptier crops are -100.
        label_key: where the classes ``(V,)``, int64, are stored.
        allow_missing_keys: skip absent images instead of failing.

    Returns:
        The sample with each image as ``(V, C, *spatial)``, the labels, and the names of the classes in the record
        ``pretext``.

    Raises:
        ValueError: if the crop's shape does not allow that number of classes, naming the axis, or there are fewer
            classes than views.

    Example:
        >>> sample = RandRotationsd("image", views=10)({"image": torch.rand(1, 4, 4, 4)})
        >>> sample["image"].shape, sorted(sample["label"].tolist())
        (torch.Size([10, 1, 4, 4, 4]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    def __init__(
        self,
        keys: KeysCollection,
        views: int = 4,
        classes: int | None = None,
        foreground_key: Hashable = "foreground",
        threshold: float = 0.1,
        label_key: Hashable = "label",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if views < 1:
            raise ValueError(f"expected at least 1 view, found {views}; 2 to 4 are usual")
        self.views, self.classes, self.threshold = views, classes, threshold
        self.foreground_key, self.label_key = foreground_key, label_key
        self.drawn = np.zeros(0, dtype=int)  # (V,)

    def randomize(self, count: int) -> None:
        """Draw different classes out of ``count`` for all views."""
        _check_views(self.views, count)
        self.drawn = self.R.permutation(count)[: self.views]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with its turned copies."""
        d, first = dict(data), True
        for key in self.key_iterator(d):
            image = torch.as_tensor(d[key]).as_subclass(Tensor)
            image = image[0] if self.foreground_key in d and len(d[self.foreground_key]) == 1 else image
            rotations = rotation_classes(image.shape[1:], self.classes)
            if first:
                self.randomize(len(rotations))
            d[key], first = _turned(image, [rotations[drawn] for drawn in self.drawn]), False
        label = torch.as_tensor(self.drawn)
        if self.foreground_key in d:
            foreground = torch.as_tensor(d[self.foreground_key])
            d[self.foreground_key] = foreground.expand(self.views).clone()
            label = label if float(foreground[0]) >= self.threshold else torch.full_like(label, -100)
        d[self.label_key] = label
        crop = list(d.get("pretext", {}).get("boxes", ()))
        names = [_name(rotations[drawn]) for drawn in self.drawn]
        d["pretext"] = {"class": self.drawn.tolist(), "names": names, **({"crop": crop[0]} if crop else {})}
        return d


@lru_cache(maxsize=64)
def _allowed(shape: tuple[int, ...]) -> tuple[Rotation, ...]:
    long = [axis for axis, size in enumerate(shape) if size > 1]
    found: list[Rotation] = [()]
    for plane, (a, b) in enumerate(_PLANES):
        # A turn about an axis of a slice shows it from behind: its mirror image.
        if a in long and b in long:
            turns = (1, 2, 3) if shape[a] == shape[b] else (2,)
            found += [((plane, turn),) for turn in turns]
    return tuple(found)


@lru_cache(maxsize=1)
def _all_of_the_cube() -> tuple[Rotation, ...]:
    """Return all 24 rotations: the ten about one axis first."""
    cube = np.arange(27).reshape(1, 3, 3, 3)
    single = _allowed((3, 3, 3))
    found: dict[bytes, Rotation] = {}
    for rotation in (*single, *(a + b for a, b in itertools.product(single[1:], repeat=2))):
        found.setdefault(rotate(cube, rotation).tobytes(), rotation)
    return tuple(found.values())


def rotation_classes(shape: Sequence[int], classes: int | None = None) -> tuple[Rotation, ...]:
    """List the rotations that keep a shape, in the order of their labels.

    The identity, then 90, 180 and 270 degrees in the plane of axes 0 and 1, then about axis 1, then about axis 0. So
    the classes of a slice are the first of those of a volume.

    Args:
        shape: of the crop, two or three axes; an axis of size one makes it a slice.
        classes: how many; None takes all about a single axis, 24 all rotations of a cube.

    Raises:
        ValueError: if the shape does not allow that number, naming the axis.

    Example:
        >>> [len(rotation_classes(s)) for s in ((5, 5, 5), (5, 5, 4), (5, 4, 3), (5, 5, 1), (5, 4, 1))]
        [10, 6, 4, 4, 2]
        >>> len(rotation_classes((5, 5, 5), 24))
        24
    """
    shape = tuple(int(size) for size in shape)
    if len(shape) not in (2, 3):
        raise ValueError(f"expected a crop with two or three axes, found the shape {shape}; rotate images or volumes")
    natural = _allowed(shape)
    sets = {len(natural): natural}
    if shape[0] == shape[1]:
        sets.setdefault(4, natural[:4])
    if len(set(shape)) == 1 and len(shape) == 3:
        sets[24] = _all_of_the_cube()
    if classes is None:
        return natural
    if classes not in sets:
        odd = next((axis for axis, size in enumerate(shape) if size != shape[0]), None)
        where = "" if odd is None else f"axis {odd}: "
        wanted = "a cube" if classes in (10, 24) else "another shape"
        raise ValueError(
            f"{where}expected {wanted} for {classes} rotations, found a crop of {shape}, which allows {sorted(sets)}; "
            "change crop_size, or use one of these numbers"
        )
    return sets[classes]


def num_rotations(shape: Sequence[int], classes: int | None = None, views: int = 1) -> int:
    """Return the number of classes for a crop, as :func:`rotation_classes` lists them.

    Args:
        shape: of the crop.
        classes: how many are wanted; None takes all about a single axis.
        views: turned copies of different classes that are to be made of a crop.

    Raises:
        ValueError: if the shape does not allow that number of classes, or there are fewer than views.

    Example:
        >>> num_rotations([48, 48, 48])
        10
    """
    count = len(rotation_classes(shape, classes))
    _check_views(views, count)
    return count


def _check_views(views: int, count: int) -> None:
    if views > count:
        raise ValueError(
            f"expected at most {count} views, one for each rotation that keeps the crop's shape, found {views}; lower "
            "views"
        )


def rotate(image: np.ndarray, rotation: Rotation) -> np.ndarray:
    """Turn an image without copying it.

    Args:
        image: ``(C, *spatial)``.
        rotation: an entry of :func:`rotation_classes`.

    Returns:
        A view of the image.

    Example:
        >>> rotate(np.array([[[1, 2], [3, 4]]]), ((0, 1),)).tolist()
        [[[2, 4], [1, 3]]]
    """
    for plane, turns in rotation:
        a, b = _PLANES[plane]
        image = np.rot90(image, turns, axes=(a + 1, b + 1))
    return image


def _turned(image: Tensor, rotations: Sequence[Rotation]) -> Tensor:
    source = image.contiguous().numpy()
    out = np.empty((len(rotations), *source.shape), source.dtype)
    for copy, rotation in zip(out, rotations, strict=True):
        np.copyto(copy, rotate(source, rotation))
    return torch.from_numpy(out)


def _name(rotation: Rotation) -> str:
    return ", ".join(f"{90 * turns}\N{DEGREE SIGN} axis {_AXES[plane]}" for plane, turns in rotation) or "not turned"
