"""One example of every pretext task of docs/previews.md is drawn as its record says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from medvol.bundles.previews.geometry import Geometry
from medvol.bundles.previews.observation import Observation
from medvol.bundles.previews.page import Page
from medvol.bundles.previews.pictures import draw_sample
from medvol.bundles.previews.record import read_record

RAS = (("L", "R"), ("P", "A"), ("I", "S"))
SHAPE = (24, 28, 20)
VOLUME = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
BOXES = [
    [[2 + 8 * i, 3 + 9 * j, 4 + 8 * k], [8 + 8 * i, 9 + 9 * j, 10 + 8 * k]]
    for i in (0, 1)
    for j in (0, 1)
    for k in (0, 1)
]


def cut(box, source=VOLUME):
    return source[(slice(None), *(slice(a, b) for a, b in zip(*box, strict=True)))]


PATCHES = torch.stack([cut(box) for box in BOXES])
LOCAL = [[[n, n, n], [n + 6, n + 6, n + 6]] for n in (1, 5, 9)]
GLOBAL = [[[0, 2, 1], [16, 18, 17]], [[6, 10, 3], [22, 26, 19]]]
ORDER = [3, 1, 0, 2, 7, 6, 5, 4]
MASK = torch.zeros(1, *SHAPE)
EXAMPLES = {
    "rotation": ({"class": [3], "names": ["270° axis 2"]}, {"image": VOLUME.flip(1)[None]}),
    "location": (
        {"boxes": [BOXES[0], BOXES[3]], "roles": ["center", "neighbor"], "class": "left"},
        {"image": PATCHES[[0, 3]]},
    ),
    "jigsaw": ({"boxes": BOXES, "permutation": ORDER, "class": 17}, {"image": PATCHES[ORDER]}),
    "views": ({"boxes": GLOBAL, "names": ["query", "key"]}, {"image": torch.stack([cut(box) for box in GLOBAL])}),
    "local views": (
        {"boxes": GLOBAL + LOCAL, "names": ["g0", "g1", "l0", "l1", "l2"], "keys": ["image", "local"]},
        {"image": torch.stack([cut(b) for b in GLOBAL]), "local": torch.stack([cut(b) for b in LOCAL])},
    ),
    "restoration": ({"class": ["cutout"], "boxes": [BOXES[2]]}, {"image": VOLUME * 0.5, "label": VOLUME, "mask": MASK}),
    "fusion": ({}, {"image": VOLUME, "label": (VOLUME[:1] > 0.7).long()}),
}


def draw(record, sample, source=VOLUME, turned=False, geometry=None, **more) -> Page:
    axes = source.ndim - 1
    geometry = geometry or Geometry((1.0, 2.0, 3.0), RAS)
    page = Page()
    seen = Observation("case", 0, source, turned, True, None, sample, read_record(record, axes), geometry)
    draw_sample(page, seen, ["t1", "t2"][: source.shape[0]], {}, **more)
    return page


def rectangles(panel) -> list:
    found = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    return [[*p.get_xy(), p.get_x() + p.get_width(), p.get_y() + p.get_height()] for p in found]


@pytest.mark.parametrize("task", EXAMPLES)
def test_every_task_is_drawn(task) -> None:
    record, sample = EXAMPLES[task]
    page = draw(record, sample)
    assert len(page.figure.axes) >= 6
    words = [text.get_text() for text in page.figure.texts]
    answer = {
        "rotation": "class: 3",
        "location": "class: left",
        "jigsaw": "class: 17",
        "restoration": "class: cutout",
    }
    assert task not in answer or answer[task] in words


def test_boxes_lie_on_the_voxels_that_were_cut() -> None:
    """In a volume whose patches are painted, each rectangle covers exactly one painted area."""
    painted = torch.zeros(1, *SHAPE)
    for number, box in enumerate(BOXES):
        cut(box, painted)[:] = number + 1
    page = draw({"boxes": BOXES * 2}, {"image": torch.stack([cut(box, painted) for box in BOXES * 2])}, painted)
    for panel, (dx, dy) in zip(page.figure.axes[:3], ((1.0, 2.0), (1.0, 3.0), (2.0, 3.0)), strict=True):
        plane = np.asarray(panel.images[0].get_array())  # (up, across)
        found = sorted(set(map(tuple, rectangles(panel))))
        assert len(found) == 4  # the slice passes the other four by
        for left, bottom, right, top in found:
            inside = plane[round(bottom / dy) : round(top / dy), round(left / dx) : round(right / dx)]
            assert inside.size == 36
            assert len(np.unique(inside)) == 1
            assert inside[0, 0] > 0
        area = sum((r[2] - r[0]) * (r[3] - r[1]) for r in found) / (dx * dy)
        assert area == (plane > 0).sum()
        numbers = {text.get_text() for text in panel.texts} - set("LRAPIS")
        assert len(numbers) >= 4


def test_letters_stand_only_where_nothing_was_turned() -> None:
    record, sample = EXAMPLES["views"]
    assert {text.get_text() for text in draw(record, sample).figure.axes[0].texts} == set("LRAP")
    assert not draw(record, sample, turned=True).figure.axes[0].texts


def test_views_have_the_color_of_their_box() -> None:
    page = draw(*EXAMPLES["views"])
    first, views = page.figure.axes[0], page.figure.axes[3:]
    colors = [to_hex(patch.get_edgecolor()) for patch in first.patches if isinstance(patch, Rectangle)]
    assert [to_hex(panel.spines["left"].get_edgecolor()) for panel in views] == [colors[0]] * 3 + [colors[1]] * 3
    assert views[0].get_title().startswith("query")
    assert [text.get_text() for text in page.figure.legends[0].get_texts()] == ["query", "key"]


def test_a_permutation_is_written_on_the_tiles() -> None:
    page = draw(*EXAMPLES["jigsaw"])
    tiles = page.figure.axes[3:]
    assert len(tiles) == 16  # eight tiles in two modalities
    assert [tile.get_title() for tile in tiles[:8]] == [f"{place} ← {patch}" for place, patch in enumerate(ORDER)]
    assert np.allclose(tiles[0].images[0].get_array(), PATCHES[ORDER[0], 0, :, :, 3].T)
    assert np.allclose(tiles[8].images[0].get_array(), PATCHES[ORDER[0], 1, :, :, 3].T)


def test_entries_of_several_keys_follow_each_other() -> None:
    page = draw(*EXAMPLES["local views"])
    assert [panel.get_title() for panel in page.figure.axes[3:8]] == ["g0", "g1", "l0", "l1", "l2"]
    assert np.allclose(page.figure.axes[5].images[0].get_array(), cut(LOCAL[0])[0, :, :, 3].T)


@pytest.mark.parametrize("shape", [(18, 22), (18, 22, 1)])
def test_pictures_and_volumes_of_depth_one_have_one_panel(shape) -> None:
    image = torch.rand(1, *shape)
    boxes = [[[2, 3, 0], [8, 9, 1]], [[9, 3, 0], [15, 9, 1]], [[2, 12, 0], [8, 18, 1]]]
    boxes = [[side[: len(shape)] for side in box] for box in boxes]
    sample = {"image": torch.stack([cut(box, image) for box in boxes])}
    page = draw(
        {"boxes": boxes, "crop": [boxes[0][0], boxes[1][1]]},
        sample,
        image,
        geometry=Geometry((1.0,) * len(shape), down=0),
    )
    panel, *strip = page.figure.axes
    assert len(strip) == 3
    # Rows run down: the box that starts at row 2 ends two rows below the upper edge.
    assert [3.0, 10.0, 9.0, 16.0] in rectangles(panel)
    assert np.allclose(panel.images[0].get_array()[::-1], image.reshape(18, 22))
    assert np.allclose(strip[0].images[0].get_array()[::-1], sample["image"][0].reshape(6, 6))
