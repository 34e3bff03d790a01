"""The record that a pretext transform leaves of what it drew; docs/previews.md states its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Record", "read_record"]


@dataclass(frozen=True)
class Record:
    """What a pretext transform drew for one sample, checked.

    Attributes:
        boxes: ``(N, 2, D)`` start and stop (excluded) of each patch or view, in voxels of the transform's input image;
            ``(0, 2, D)`` if there are none.
        crop: ``(2, D)`` start and stop of the region that was used, or None.
        grid: patches per axis, or empty.
        answer: the class in words, or "".
        names: a name for each box; its number, if the record gives none. Without boxes, a name for each view.
        roles: what each box is in the task, or empty.
        permutation: for each place of the network's input, which box stands there; or empty.
        keys: the sample's keys whose entries, one after another, are what was cut at the boxes.

    Example:
        >>> read_record({"class": 3}, 3).answer
        '3'
    """

    boxes: np.ndarray
    crop: np.ndarray | None
    grid: tuple[int, ...]
    answer: str
    names: tuple[str, ...]
    roles: tuple[str, ...]
    permutation: tuple[int, ...]
    keys: tuple[str, ...]


def read_record(record: Any, num_axes: int) -> Record:
    """Check a record and give its absent entries a value; entries of other names are left alone.

    Args:
        record: what stands under ``pretext`` in a sample.
        num_axes: spatial axes of the image.

    Raises:
        ValueError: an entry is not what docs/previews.md says.

    Example:
        >>> record = read_record({"boxes": [[[0, 0], [4, 4]], [[4, 0], [8, 4]]], "permutation": [1, 0]}, 2)
        >>> record.boxes.shape, record.names, record.permutation
        ((2, 2, 2), ('0', '1'), (1, 0))
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"the record 'pretext' must be a dict; found {type(record).__name__}; {_REMEDY}")
    boxes = _places("boxes", record.get("boxes"), num_axes)
    crop = _places("crop", None if record.get("crop") is None else [record["crop"]], num_axes)
    count = len(boxes)
    permutation = _list("permutation", record.get("permutation"))
    if permutation and sorted(permutation) != list(range(len(permutation))):
        raise ValueError(
            f"'permutation' of the record 'pretext' must hold every number from 0 to {len(permutation) - 1} once; "
            f"found {list(permutation)}; {_REMEDY}"
        )
    if count and permutation and len(permutation) != count:
        raise ValueError(
            f"'permutation' of the record 'pretext' must have one number for each of the {count} boxes; found "
            f"{len(permutation)}; {_REMEDY}"
        )
    words = {key: tuple(str(word) for word in _list(key, record.get(key))) for key in ("names", "roles")}
    for key, found in words.items():
        if found and count and len(found) != count:
            raise ValueError(
                f"'{key}' of the record 'pretext' must have one word for each of the {count} boxes; found "
                f"{len(found)}; {_REMEDY}"
            )
    answer = record.get("class")
    several = isinstance(answer, Sequence) and not isinstance(answer, str)
    return Record(
        boxes=boxes,
        crop=crop[0] if len(crop) else None,
        grid=tuple(int(cells) for cells in _list("grid", record.get("grid"))),
        answer="" if answer is None else ", ".join(map(str, answer)) if several else str(answer),
        names=words["names"] or tuple(str(number) for number in range(count)),
        roles=words["roles"],
        permutation=tuple(int(place) for place in permutation),
        keys=tuple(str(key) for key in _list("keys", record.get("keys"))) or ("image",),
    )


_REMEDY = "correct the transform that leaves it (see docs/previews.md)"


def _list(key: str, value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, (str, Mapping)) or not hasattr(value, "__len__"):
        raise ValueError(f"'{key}' of the record 'pretext' must be a list; found {value!r}; {_REMEDY}")
    return list(value)


def _places(key: str, value: Any, num_axes: int) -> np.ndarray:
    """Return ``(N, 2, D)`` integers."""
    if value is None or len(_list(key, value)) == 0:
        return np.zeros((0, 2, num_axes), dtype=int)
    try:
        places = np.array(value, dtype=float)
    except (TypeError, ValueError):
        places = np.zeros(0)
    right = places.shape[1:] == (2, num_axes) and (places == np.round(places)).all()
    if not right or (places[:, 1] <= places[:, 0]).any():
        raise ValueError(
            f"'{key}' of the record 'pretext' must be [start, stop] with {num_axes} whole numbers each, stop above "
            f"start; found {str(value)[:80]}; {_REMEDY}"
        )
    return places.astype(int)
