"""Labels: their names and numbers, where they are cut, and that outlines lie on their voxels."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.colors import to_hex
from monai.data import MetaTensor

from medvol.bundles.previews.geometry import Geometry
from medvol.bundles.previews.observation import Observation
from medvol.bundles.previews.outlines import draw_labels, label_parts
from medvol.bundles.previews.page import Page
from medvol.bundles.previews.record import read_record
from medvol.figures import COLORS

RAS = Geometry((1.0, 1.0, 4.0), (("L", "R"), ("P", "A"), ("I", "S")))
SHAPE = (12, 14, 6)


def sample(channels: int = 1, corner: int = 3) -> dict:
    image, label = torch.rand(channels, *SHAPE), torch.zeros(1, *SHAPE)
    label[0, corner : corner + 4, 5:9, 2:4] = 1
    label[0, corner : corner + 2, 6:8, 2:3] = 2
    return {"image": image, "label": label}


def seen(given: dict, plain: dict | None = None, record: dict | None = None, chance: bool = True) -> Observation:
    known = None if record is None else read_record(record, 3)
    return Observation("case", 0, given["image"], False, chance, plain, given, known, RAS)


def outlined(panel) -> dict:
    """Color of each outline -> left, right, bottom, top in millimeters."""
    boxes = {}
    for lines in panel.collections:
        points = np.concatenate([path.vertices for path in lines.get_paths()])
        boxes[to_hex(lines.get_edgecolor()[0]).upper()] = [
            *points[:, 0][[points[:, 0].argmin(), points[:, 0].argmax()]],
            points[:, 1].min(),
            points[:, 1].max(),
        ]
    return boxes


def test_parts_have_the_names_of_the_config() -> None:
    label = np.zeros((1, 4), int)
    label[0] = [0, 1, 2, 4]
    assert [part[0] for part in label_parts(label, {"classes": ["anterior", "posterior"]})] == [
        "anterior",
        "posterior",
        "label 4",
    ]
    named = label_parts(label, {"label_map": {"background": 0, "core": 1, "edema": 2, "cyst": 3, "enhancing": 4}})
    assert [(name, number) for name, number, _ in named] == [("core", 0), ("edema", 1), ("enhancing", 3)]
    regions = label_parts(np.array([[1, 0], [1, 1]]), {"regions": ["TC", "WT"]})
    assert [(name, part.tolist()) for name, _, part in regions] == [("TC", [[True, False]]), ("WT", [[True, True]])]
    # The classes win where one channel could be both.
    assert label_parts(label, {"regions": ["whole"], "classes": ["a"]})[0][0] == "a"
    assert label_parts(np.zeros((1, 4)), {}) == []


def test_before_and_after_stand_side_by_side_with_their_names() -> None:
    page = Page()
    draw_labels(page, seen(sample(3), sample(3, 6)), ["t1", "t2", "pd"], {"classes": ["core", "rim"]})
    panels = page.figure.axes
    assert [panel.get_title() for panel in panels] == [
        f"{m} {s}" for s in ("before", "after") for m in ("t1", "t2", "pd")
    ]
    assert [sorted(text.get_text() for text in panel.texts) for panel in panels] == [list("ALPR")] * 3 + [[]] * 3
    assert [text.get_text() for text in page.figure.legends[0].get_texts()] == ["core", "rim"]
    # Both are cut where they have the most labels: slice 2, voxels 6..9 and 3..6 on the first axis.
    for panel, left in ((panels[0], 6.0), (panels[3], 3.0)):
        assert np.allclose(outlined(panel)[COLORS[0]], [left, left + 4, 5, 9], atol=0.35)
        assert np.allclose(outlined(panel)[COLORS[1]], [left, left + 2, 6, 8], atol=0.35)
    words = " ".join(text.get_text() for text in page.figure.texts)
    assert "12 x 14 x 6 voxels before random changes, axial, slice 2" in words


def test_one_modality_is_drawn_in_three_planes_of_true_proportions() -> None:
    page = Page()
    draw_labels(page, seen(sample(), chance=False), ["t1"], {})
    assert [panel.get_title() for panel in page.figure.axes] == [
        "t1, axial, slice 2",
        "t1, coronal, slice 6",
        "t1, sagittal, slice 4",
    ]
    assert [panel.images[0].get_extent() for panel in page.figure.axes] == [
        [0, 12, 0, 14],
        [0, 12, 0, 24],
        [0, 14, 0, 24],
    ]
    assert len(page.figure.axes[0].texts) == 4


def test_at_most_four_modalities() -> None:
    page = Page()
    draw_labels(page, seen(sample(6), chance=False), [f"m{n}" for n in range(6)], {})
    assert len(page.figure.axes) == 4


def test_a_label_on_other_voxels_is_not_drawn() -> None:
    given = sample()
    given["image"] = MetaTensor(given["image"], affine=torch.eye(4))
    given["label"] = MetaTensor(given["label"], affine=torch.diag(torch.tensor([-1.0, 1, 1, 1])))
    page = Page()
    draw_labels(page, seen(given, chance=False), ["t1"], {})
    assert not page.figure.axes[0].collections
    assert not page.figure.legends


def test_values_that_are_no_numbers_are_no_parts() -> None:
    assert [name for name, _, _ in label_parts(np.array([[np.nan, 1.0, 0.0]]), {})] == ["label 1"]
