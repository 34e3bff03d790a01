"""The pretext task of a bundle: the chain of transforms that audits run, and the volumes that it needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from monai.bundle import ConfigParser
from monai.transforms import Compose

from ..opening import OpenBundle
from ..plain import plain
from ..previews.observation import is_random
from .countermeasures import components_of, switched_off
from .guessing import FEWEST

__all__ = ["CHAIN", "Task", "find_task", "task_chain"]

CHAIN = "train::preprocessing"

_SIZES = ("crop_size", "size", "roi_size", "spatial_size", "patch_size")
"""Arguments that say how large an image has to be; the first that a transform has counts."""

_LARGEST = 32**3  # voxels of a whole view, unless it is asked for at full size
_MOST = 2**28  # voxels of one volume with all of its channels: 1 GiB


@dataclass(frozen=True)
class Task:
    """What an audit runs.

    Attributes:
        channels: of a volume.
        shape: voxels per axis of a fixture that the crop fits into with some room to move.
        border: voxels of zeros before and behind it along each axis in the fixture ``padded``.
        batch_size: images among which views are matched, 2 to 10.
        threshold: least fraction of foreground of a patch that is asked for.
        notes: what differs from training, as sentences.
    """

    channels: int
    shape: tuple[int, ...]
    border: tuple[int, int]
    batch_size: int
    threshold: float
    notes: list[str] = field(default_factory=list)

    @property
    def padded_shape(self) -> tuple[int, ...]:
        """The shape with its border."""
        return tuple(size + sum(self.border) if size > 1 else 1 for size in self.shape)


def find_task(opened: OpenBundle, without: Sequence[str] = (), full_size: bool = True) -> Task:
    """Read a bundle's pretext task and write the chain to audit into its parser.

    Args:
        opened: the bundle; its chain is changed in place.
        without: counter-measures to switch off.
        full_size: leave the size of whole views as it is; patches of a grid always keep theirs.

    Raises:
        ValueError: the bundle is not of pre-training or states no size, a fixture of its size is too large, or it has
            no such counter-measure.
    """
    chain, config = _chain(opened), opened.config
    notes = []
    is_grid = any(_cells(component) > 1 for component in components_of(chain))
    if not full_size and not is_grid:
        notes = _shrink(chain)
    sizes = [size for component in components_of(chain) if (size := _needed(component))]
    axes = max((len(size) for size in sizes), default=0)
    if not axes:
        raise ValueError(
            f"a transform of '{CHAIN}' must state the size that it cuts ({', '.join(_SIZES)}); found none in "
            f"{opened.file.name} of {opened.name}; audit your images with --data own"
        )
    axes = axes if axes > 1 else int(config.get("spatial_dims") or 3)
    wide = [size if len(size) == axes else size * axes for size in sizes]
    largest = [max(along) for along in zip(*wide, strict=True)]
    modalities = config.get("modalities")
    channels = 1 if modalities is None or isinstance(modalities, str) else len(modalities)
    shape = tuple(size + max(4, size // 10) if size > 1 else 1 for size in largest)
    border = max(2, min((size for size in largest if size > 1), default=12) // (6 if is_grid else 2))
    # Zeros all around are the same after every turn: a view that was turned tells it by a border on one side.
    border = (border, border if is_grid else 0)
    task = Task(channels, shape, border, _batch_size(config), _threshold(opened.parser), notes)
    if channels * math.prod(task.padded_shape) > _MOST:
        raise ValueError(
            f"a fixture must have at most {_MOST} voxels; found {channels} channels of "
            f"{' x '.join(map(str, task.padded_shape))}, which the crop {largest} needs; give a smaller --crop_size "
            "or fewer --modalities, or audit your images with --data own"
        )
    opened.parser[CHAIN] = switched_off(chain, without)
    return task


def task_chain(parser: ConfigParser) -> tuple[Compose, Compose, tuple[float, ...]]:
    """Build the chain behind the last transform that reads a file.

    Args:
        parser: of a bundle that :func:`find_task` has been through.

    Returns:
        The transforms up to the first random one; that and all behind it; and the voxel size in millimeters that the
        chain resamples to, () where nothing resamples.
    """
    chain = parser.get_parsed_content(CHAIN)
    chain = chain.flatten() if type(chain) is Compose else Compose(chain)
    parts = list(chain.transforms)
    reading = [number for number, part in enumerate(parts) if type(part).__name__.startswith("Load")]
    parts = parts[reading[-1] + 1 :] if reading else parts
    first = next((number for number, part in enumerate(parts) if is_random(part)), len(parts))
    spacings = [part.spacing_transform.pixdim for part in parts if hasattr(part, "spacing_transform")]
    spacing = () if not spacings else tuple(float(size) for size in np.ravel(spacings[-1]))
    ways = {"map_items": chain.map_items, "unpack_items": chain.unpack_items, "lazy": chain.lazy}
    return Compose(parts[:first], **ways), Compose(parts[first:], **ways), spacing


def _chain(opened: OpenBundle) -> Any:
    chain = plain(opened.parser, CHAIN)
    if chain is None:
        raise ValueError(
            f"an audit needs a training config with '{CHAIN}'; found none in {opened.file.name} of {opened.name}; "
            "name a bundle of pre-training, or its train.json by --config"
        )
    for component in components_of(chain):
        keys = component.get("keys", ())
        if "Load" in str(component["_target_"]) and "label" in ([keys] if isinstance(keys, str) else keys):
            raise ValueError(
                f"an audit needs a pretext task, which makes its own labels; {opened.name} reads labels from files; "
                "name a bundle of pre-training, such as cpc3d"
            )
    return chain


def _shrink(chain: Any) -> list[str]:
    """Shrink the sizes of whole views in a chain and return what to say about it."""
    found = {
        key: size for component in components_of(chain) for key in _SIZES if (size := _numbers(component.get(key)))
    }
    largest = max(found.values(), key=math.prod, default=())
    if math.prod(largest) <= _LARGEST:
        return []
    factor = (_LARGEST / math.prod(largest)) ** (1 / sum(size > 1 for size in largest))
    for component in components_of(chain):
        for key in _SIZES:
            if size := _numbers(component.get(key)):
                component[key] = [max(1, round(one * factor)) for one in size]
    shown, smaller = (" x ".join(map(str, size)) for size in (largest, [max(1, round(s * factor)) for s in largest]))
    return [
        f"Views of {shown} voxels were audited as {smaller}, which takes a fraction of the time. Statistics of fewer "
        "voxels vary more, so that a slight shortcut may stay unseen: --full_size audits them whole."
    ]


def _needed(component: Mapping[str, Any]) -> tuple[int, ...]:
    """Return how large an image a transform needs, () where it does not say."""
    for key in _SIZES:
        size = _numbers(component.get(key))
        if size and (key != "patch_size" or _cells(component) == 1):
            return size
        if size:
            return _extent(component, size)
    return ()


def _extent(component: Mapping[str, Any], patch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the extent of a grid of patches that has no stated crop."""
    axes = max(len(patch), len(_numbers(component["grid"])))
    patch, grid = (one * axes if len(one) == 1 else one for one in (patch, _numbers(component["grid"])))
    stride = _numbers(component.get("stride"))
    if stride:
        stride = stride * axes if len(stride) == 1 else stride
        return tuple((g - 1) * s + p for g, s, p in zip(grid, stride, patch, strict=True))
    gap = _numbers(component.get("min_gap", 2))
    gap = gap * axes if len(gap) == 1 else gap
    return tuple(g * (p + m + 2) if g > 1 else p for g, p, m in zip(grid, patch, gap, strict=True))


def _cells(component: Mapping[str, Any]) -> int:
    return math.prod(_numbers(component.get("grid")) or (1,))


def _numbers(value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, (list, tuple)) else [value]
    right = all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in values)
    return tuple(values) if right else ()


def _batch_size(config: Mapping[str, Any]) -> int:
    size = config.get("batch_size")
    return min(max(2, size), FEWEST) if isinstance(size, int) else 2


def _threshold(parser: ConfigParser) -> float:
    network = plain(parser, "network")
    stated = network.get("foreground_threshold") if isinstance(network, dict) else None
    return float(stated) if isinstance(stated, (int, float)) else 0.1
