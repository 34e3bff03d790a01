"""Samples exactly as training draws them, and what they were before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, Transform
from monai.transforms.traits import RandomizableTrait

from .geometry import Geometry, find_geometry
from .record import Record, read_record

__all__ = ["Observation", "observe"]


@dataclass(frozen=True)
class Observation:
    """One sample on its way to the network.

    Attributes:
        case: its name.
        position: its place in the stream of examples; None where nothing is random.
        source: the image ``(C, *spatial)`` as it went into the transform that left the record, or into the first random
            one; a tensor, or an array that reads parts.
        turned: whether a random transform acted before ``source``, so that left and right may be exchanged.
        chance: whether a random transform acted at all.
        plain: the sample without its random changes: as it was after the last random transform that changed its size,
            and then through the deterministic ones; None with a record, or where that cannot be made.
        sample: the sample as the network gets it.
        record: what the pretext transform drew, or None.
        geometry: how the axes of ``source`` lie.
    """

    case: str
    position: int | None
    source: Any
    turned: bool
    chance: bool
    plain: dict[str, Any] | None
    sample: dict[str, Any]
    record: Record | None
    geometry: Geometry


def observe(parser: ConfigParser, section: str, samples: int) -> list[Observation]:
    """Draw samples from a config's own data set, as training or inference does.

    The chain of transforms gets a look-out before each random transform and at its end. A look-out is no MONAI
    transform, so that the data set's cache, its seeds and what it keeps in chunks stay what they are.

    Args:
        parser: the config with its overrides.
        section: ``"train::"`` for the training data set of the config, ``""`` for the one at its top.
        samples: how many, from the beginning of the stream.

    Raises:
        Exception: whatever a data set or a transform raises; MONAI chains its own errors to the cause.
    """
    chain = parser.get_parsed_content(f"{section}preprocessing")
    # As the data set does it: a nested Compose would count as random even where nothing in it is.
    chain = chain.flatten() if type(chain) is Compose else Compose(chain)
    parts = list(chain.transforms)
    first = next((number for number, part in enumerate(parts) if is_random(part)), len(parts))
    trail = _Trail()
    watched: list[Callable] = list(parts[:first])
    for number, part in enumerate(parts[first:], first):
        watched += [_LookOut(trail, number, part), part]
    watched.append(_LookOut(trail, len(parts), None))
    ways = {"lazy": chain.lazy, "overrides": chain.overrides, "log_stats": chain.log_stats}
    whole = Compose(watched, map_items=chain.map_items, unpack_items=chain.unpack_items, **ways)
    parser[f"{section}dataset::transform"] = whole
    loader = parser.get_parsed_content(f"{section}dataloader")
    found = []
    for index, position in islice(_places(loader), samples):
        trail.clear()
        drawn = loader.dataset[index if position is None else (index, position)]
        sample = dict(_first(drawn))
        found.append(_observation(loader.dataset.data[index], position, sample, trail, parts, first))
    return found


def is_random(part: Any) -> bool:
    """Say whether a transform is taken for random: it is one of MONAI's random ones, or no MONAI transform at all."""
    return isinstance(part, RandomizableTrait) or not isinstance(part, Transform)


class _Trail:
    """What was seen of one sample; three states of it at most, because volumes are large."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the last sample."""
        self.seen: set[int] = set()
        self.recorded = False
        self.first = self.latest = self.settled = (0, {})

    def see(self, number: int, data: Mapping[str, Any]) -> None:
        """Note a sample that has come to transform ``number``."""
        if number in self.seen:  # a transform made several samples of one; the first is drawn
            return
        self.seen.add(number)
        self.recorded = self.recorded or "pretext" in data
        if self.recorded:
            return
        self.latest = (number, _copied(data))
        if len(self.seen) == 1:
            self.first = self.latest
        if _size(self.settled[1]) != _size(data):
            self.settled = self.latest


class _LookOut:
    """Notes what passes; the transform behind it decides whether the data set hands over arrays that read parts."""

    def __init__(self, trail: _Trail, number: int, before: Any) -> None:
        self.trail, self.number = trail, number
        self.reads_parts = getattr(before, "reads_parts", False)

    def __call__(self, data: Any) -> Any:
        self.trail.see(self.number, data)
        return data


def _observation(
    item: Any, position: int | None, sample: dict[str, Any], trail: _Trail, parts: list[Callable], first: int
) -> Observation:
    number, before = trail.latest if trail.recorded else trail.first
    source = before["image"]
    num_axes = source.ndim - 1
    case = sample.get("case", item.get("case", ""))
    return Observation(
        case=str(case),
        position=position,
        source=source,
        turned=number > first,
        chance=first < len(parts),
        plain=None if trail.recorded else _without_chance(*trail.settled, parts, sample),
        sample=sample,
        record=read_record(sample["pretext"], num_axes) if trail.recorded else None,
        geometry=find_geometry(parts[:first], item, num_axes),
    )


def _without_chance(
    number: int, data: dict[str, Any], parts: list[Callable], sample: dict[str, Any]
) -> dict[str, Any] | None:
    """Return a state of a sample after the deterministic transforms that were to follow, the random ones left out."""
    if not any(is_random(part) for part in parts[number:]):
        return None
    try:
        for part in parts[number:]:
            data = data if is_random(part) else part(data)
    except Exception:  # one that needs what a random transform leaves; the picture then shows the sample alone
        return None
    return data if _size(data) == _size(sample) else None


def _places(loader: Any) -> Iterator[tuple[int, int | None]]:
    """Return (index, position) of one example after another, as the loader takes them."""
    stream = getattr(loader, "stream", None)
    if stream is None:
        return ((index, None) for index in range(len(loader.dataset)))
    return (place for batch in stream for place in batch)


def _first(drawn: Any) -> Mapping[str, Any]:
    return _first(drawn[0]) if isinstance(drawn, list) else drawn


def _copied(data: Mapping[str, Any]) -> dict[str, Any]:
    # A transform may work in place.
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in data.items()}


def _size(data: Mapping[str, Any]) -> tuple[int, ...] | None:
    image = data.get("image")
    return tuple(image.shape) if hasattr(image, "shape") else None
