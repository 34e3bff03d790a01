"""What each box of a record is in its task, in words and colors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medvol.figures import COLORS

from .geometry import Geometry
from .panels import line
from .prediction import Prediction
from .record import Record

__all__ = ["Roles", "box_roles"]

# Strongest first: vermilion, blue, sky blue, green, yellow, orange, purple.
_ORDER = (COLORS[4], COLORS[5], COLORS[1], COLORS[2], COLORS[6], COLORS[0], COLORS[3])
_PLAIN = ("white", "-", 0.8)  # a box without a role of its own


@dataclass
class Roles:
    """Colors of boxes.

    Attributes:
        of: role of each box.
        looks: role -> color, line style, line width, and whether it is worth a slice and a place in the strip.
        names: name of each box.
        permutation: as in the record.
        dashed: boxes that are drawn with dashes.
        point: voxel that the slices go through, if it was chosen for the task.
        notes: further entries of the legend.
    """

    of: list[str]
    looks: dict[str, tuple[str, str, float, bool]]
    names: tuple[str, ...]
    permutation: tuple[int, ...] = ()
    dashed: frozenset[int] = frozenset()
    point: np.ndarray | None = None
    notes: list[Any] = field(default_factory=list)

    @property
    def order(self) -> list[int]:
        """The boxes, the ones worth seeing last, so that they lie on top."""
        return sorted(range(len(self.of)), key=lambda number: self.looks[self.of[number]][3])

    def look(self, number: int) -> tuple[str, str, float, bool]:
        """Return color, line style, line width and worth of a box."""
        color, style, width, worth = self.looks[self.of[number]]
        return color, "--" if number in self.dashed else style, width, worth

    def chosen(self, count: int, places: int) -> list[int]:
        """Return entries for a strip of so many places: of each role in turn, or in order where there are no roles."""
        if count != len(self.of):
            return list(range(min(count, places)))
        groups: dict[str, list[int]] = {role: [] for role in self.looks}
        for number in sorted(range(count), key=lambda number: number in self.dashed):
            groups[self.of[number]].append(number)
        worth = [group for role, group in groups.items() if self.looks[role][3]]
        rounds = itertools.chain(*itertools.zip_longest(*worth), *(groups[r] for r in groups if not self.looks[r][3]))
        taken = list(itertools.islice((number for number in rounds if number is not None), places))
        ranks = list(self.looks)
        return sorted(taken, key=lambda number: (ranks.index(self.of[number]), number))

    def center(self, boxes: np.ndarray, crop: np.ndarray | None, shape: Sequence[int]) -> list[int]:
        """Return the voxel that the slices go through: the middle of the foremost box, or of the most central one."""
        if self.point is not None:
            middle = self.point
        elif not len(boxes):
            middle = np.asarray(shape) / 2 if crop is None else crop.mean(axis=0)
        else:
            middles = boxes.mean(axis=1)
            ranks = list(self.looks)
            first = min((ranks.index(role) for role in self.of if self.looks[role][3]), default=None)
            if first is None or self.of.count(ranks[first]) > 1:
                whole = np.array([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)]).mean(axis=0)
                middle = middles[np.abs(middles - whole).sum(axis=1).argmin()]
            else:
                middle = middles[self.of.index(ranks[first])]
        return [int(np.clip(value, 0, size - 1)) for value, size in zip(middle, shape, strict=True)]

    def label(self, number: int) -> str:
        """Return what is written into a box: nothing where the legend names it, since views lie inside each other."""
        role = self.of[number]
        return "" if role and self.of.count(role) == 1 and not self.names[number].isdigit() else self.names[number]

    def color(self, number: int) -> str:
        """Return the color of a box; gray for what has none."""
        color = self.looks[self.of[number]][0] if number < len(self.of) else "0.6"
        return "0.6" if color == "white" else color

    def entry_name(self, place: int) -> str:
        """Name an entry of the network's input."""
        if self.permutation and place < len(self.permutation):
            name = self.names[self.permutation[place]] if self.names else str(self.permutation[place])
            return f"{place} \N{LEFTWARDS ARROW} {name}"
        return self.names[place] if place < len(self.names) else f"view {place}"

    def note(self, words: str, color: str, style: str, width: float) -> None:
        """Add an entry to the legend."""
        self.notes.append(line(words, color, style, width))

    def handles(self) -> list[Any]:
        """Return the legend."""
        present = [role for role in self.looks if role in self.of and role]
        return [*(line(role, *self.looks[role][:3]) for role in present), *self.notes]


def box_roles(
    record: Record, geometry: Geometry, prediction: Prediction | None = None, background: Sequence[bool] = ()
) -> Roles:
    """Say what each box is: by an example of a prediction, by the record's roles, or each by itself where they are few.

    Args:
        record: the record.
        geometry: names directions.
        prediction: an example of what is predicted from what.
        background: for each box whether it is background.

    Example:
        >>> from .record import read_record
        >>> record = read_record({"boxes": [[[0], [4]], [[4], [8]]], "roles": ["center", "neighbor"]}, 1)
        >>> box_roles(record, Geometry((1.0,))).of
        ['center', 'neighbor']
    """
    count = len(record.boxes)
    if prediction is not None:
        return _of_prediction(record, geometry, prediction, background)
    if record.roles:
        of = list(record.roles)
    elif count <= len(_ORDER) and not record.permutation:
        of = [f"view {name}" if name.isdigit() else name for name in record.names[:count]]
    else:
        of = [""] * count
    looks: dict[str, tuple[str, str, float, bool]] = {}
    for role in dict.fromkeys(of):
        looks[role] = (_ORDER[len(looks) % len(_ORDER)], "-", 1.6, True) if role else (COLORS[1], "-", 1.0, False)
    return Roles(of, looks, record.names, record.permutation)


def _of_prediction(record: Record, geometry: Geometry, prediction: Prediction, background: Sequence[bool]) -> Roles:
    toward = geometry.toward(prediction.axis, prediction.forward)
    layers = "layer" if prediction.step == 1 else "layers"
    target = (
        f"target: patch {prediction.target}, {prediction.step} {layers} further {toward} "
        f"(l = {prediction.step}, l_min = {prediction.least_step})"
    )
    words = {0: f"context: its own layer, patch {prediction.source}"}
    other = "other patches: negatives"
    looks = {target: (_ORDER[0], "-", 2.2, True)}
    for back in sorted(set(prediction.layers.values())):
        words.setdefault(back, f"context: {back} layer{'s' if back > 1 else ''} before")
        looks[words[back]] = (_ORDER[1 + back % (len(_ORDER) - 1)], "-", 1.8, True)
    looks[other] = (*_PLAIN, False)
    numbers = range(len(record.boxes))
    of = [words[prediction.layers[number]] if number in prediction.layers else other for number in numbers]
    of[prediction.target] = target
    dashed = frozenset(number for number in numbers if number < len(background) and background[number])
    roles = Roles(of, looks, record.names, record.permutation, dashed, _point(record, prediction))
    if dashed:
        roles.note("dashed: background, no target and no negative, a learned token in a context", "white", "--", 0.8)
    return roles


def _point(record: Record, prediction: Prediction) -> np.ndarray:
    """Return the middle of the target, but along the prediction's axis that of a layer with several context patches."""
    middles = record.boxes.mean(axis=1)
    point = middles[prediction.target].copy()
    before = [number for number, back in prediction.layers.items() if back == 1] or [prediction.source]
    aside = np.delete(np.arange(len(point)), prediction.axis)
    nearest = min(before, key=lambda number: np.abs(middles[number] - point)[aside].sum())
    point[prediction.axis] = middles[nearest, prediction.axis]
    return point
