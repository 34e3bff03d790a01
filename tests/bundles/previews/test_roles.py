"""Roles of boxes: who gets which color, what is shown first, and what the legend says."""

from __future__ import annotations

import numpy as np

from medvol.bundles.previews.geometry import Geometry
from medvol.bundles.previews.prediction import Prediction
from medvol.bundles.previews.record import read_record
from medvol.bundles.previews.roles import box_roles

GEOMETRY = Geometry((1.0, 1.0), ())


def record(count: int, **more):
    return read_record({"boxes": [[[4 * n, 0], [4 * n + 3, 3]] for n in range(count)], **more}, 2)


def test_roles_have_colors_of_their_own_and_stand_in_the_legend() -> None:
    roles = box_roles(record(3, roles=["center", "neighbor", "neighbor"]), GEOMETRY)
    assert roles.color(0) != roles.color(1) == roles.color(2)
    assert [handle.get_label() for handle in roles.handles()] == ["center", "neighbor"]
    assert roles.center(record(3).boxes, None, (12, 3)) == [1, 1]


def test_few_boxes_are_told_apart_and_many_are_numbered() -> None:
    few, many = box_roles(record(2, names=["query", "key"]), GEOMETRY), box_roles(record(9), GEOMETRY)
    assert (few.color(0) != few.color(1), [few.label(n) for n in (0, 1)]) == (True, ["", ""])
    assert many.color(0) == many.color(8)
    assert many.label(8) == "8"
    assert not many.handles()
    assert many.center(record(9).boxes, None, (36, 3)) == [17, 1]  # the middle box
    assert many.chosen(9, 4) == [0, 1, 2, 3]


def test_a_permutation_names_the_place_and_the_patch() -> None:
    roles = box_roles(record(4, permutation=[2, 0, 3, 1]), GEOMETRY)
    assert [roles.entry_name(place) for place in range(4)] == ["0 ← 2", "1 ← 0", "2 ← 3", "3 ← 1"]
    assert roles.label(2) == "2"


def test_a_prediction_colors_target_and_layers() -> None:
    found = Prediction(target=3, source=2, step=1, least_step=1, axis=0, forward=True, layers={2: 0, 1: 1, 0: 2})
    roles = box_roles(record(5), GEOMETRY, found, [True, False, False, False, True])
    names = [handle.get_label() for handle in roles.handles()]
    assert names[0] == "target: patch 3, 1 layer further toward higher indices of axis 0 (l = 1, l_min = 1)"
    assert names[1:4] == ["context: its own layer, patch 2", "context: 1 layer before", "context: 2 layers before"]
    assert names[4] == "other patches: negatives"
    assert names[5].startswith("dashed: background")
    assert len({roles.color(n) for n in range(4)}) == 4
    assert [roles.look(n)[1] for n in range(5)] == ["--", "-", "-", "-", "--"]
    assert roles.order[-1] != 4  # what matters is drawn last, on top
    assert roles.chosen(5, 4) == [3, 2, 1, 0]
    assert roles.center(record(5).boxes, None, (20, 3)) == [5, 1]  # the layer before the source's
    outside = record(1)
    assert roles.center(np.array([[[50, 0], [60, 3]]]), None, (4, 3))[0] <= 3
    assert box_roles(outside, GEOMETRY).entry_name(5) == "view 5"
