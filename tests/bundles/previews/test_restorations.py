"""Restorations: the panels of target, input and output show the right voxels, and NaN spoils none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medvol.bundles.previews.geometry import Geometry
from medvol.bundles.previews.observation import Observation
from medvol.bundles.previews.page import Page
from medvol.bundles.previews.pictures import draw_sample
from medvol.bundles.previews.record import read_record
from medvol.bundles.previews.restorations import draw_input, is_restoration, restores
from medvol.bundles.previews.trained import Restored

RAS = Geometry((1.0, 1.0, 4.0), (("L", "R"), ("P", "A"), ("I", "S")))
SHAPE = (12, 14, 6)


@pytest.fixture
def target() -> torch.Tensor:
    """No two voxels are alike, so that every turn and flip shows."""
    return torch.arange(np.prod(SHAPE), dtype=torch.float32).reshape(1, *SHAPE) / 100 + 1


@pytest.fixture
def mask() -> torch.Tensor:
    hidden = torch.zeros(1, *SHAPE)
    hidden[:, 4:8, :7] = 1
    return hidden


def seen(given: dict, record: dict | None = None) -> Observation:
    known = None if record is None else read_record(record, 3)
    return Observation("case", 0, given["image"], False, True, None, given, known, RAS)


def axial(volume: torch.Tensor) -> np.ndarray:
    """The middle slice as it is drawn, rows from below."""
    return volume[0, :, :, 3].T.numpy()


def shown(page: Page, number: int) -> np.ndarray:
    return np.ma.filled(page.figure.axes[number].images[0].get_array().astype(float), np.nan)


def test_a_restoration_shows_target_input_and_what_is_hidden(target) -> None:
    tokens = torch.zeros(1, 3, 2, 3)
    tokens[0, 1, 0, 1] = 1  # voxels 4..7, 0..6, 2..3
    page = Page()
    draw_input(page, seen({"image": target * 0.5, "label": target, "mask": tokens}, {}), ["t1"], {})
    panels = page.figure.axes
    assert len(panels) == 6
    assert np.allclose(shown(page, 0), axial(target))
    assert np.allclose(shown(page, 3), axial(target) * 0.5)
    tint = panels[3].images[1]
    assert np.argwhere(tint.get_array()[..., 3].T > 0).tolist() == [[1, 0]]
    assert tint.get_extent() == list(panels[3].images[0].get_extent())  # tokens as coarse as they are
    assert page.figure.legends[0].get_texts()[0].get_text() == "hidden from the network"


def test_without_a_mask_the_input_has_a_gray_window_of_its_own(target, mask) -> None:
    def windows(**more) -> list[tuple[float, float]]:
        page = Page()
        given = {"image": target * 5 - 40, "label": target, **more}
        draw_input(page, seen(given, {}), ["t1"], {})
        return [page.figure.axes[number].images[0].get_clim() for number in (0, 3)]

    shown, asked = windows()[::-1]
    assert shown == tuple(pytest.approx(5 * end - 40) for end in asked)
    assert len(set(windows(mask=mask))) == 1


def test_what_a_network_can_be_asked_to_restore(target, mask) -> None:
    labels = (target > 5).long()
    for given in ({"label": target}, {"label": labels, "mask": mask}, {"label": labels, "pretext": {}}):
        assert is_restoration({"image": target, **given})
    for given in ({}, {"label": labels}, {"label": labels.float()}, {"label": 3}):
        assert not is_restoration({"image": target, **given})


def test_hidden_voxels_are_not_to_be_seen_in_the_input(target, mask) -> None:
    page = Page()
    draw_sample(page, seen({"image": target, "label": target.clone(), "mask": mask}), ["t1"], {})
    assert len(page.figure.axes) == 6  # a mask and an image as label need no record
    assert np.allclose(shown(page, 0), axial(target))
    assert np.allclose(shown(page, 3), axial(target * (1 - mask)))
    tint = page.figure.axes[3].images[1].get_array()[..., 3]
    assert np.array_equal(tint > 0, axial(mask) > 0)
    # Hidden voxels are one even color, which no visible voxel has to have.
    assert len(np.unique(shown(page, 3)[axial(mask) > 0])) == 1


def test_what_is_not_counted_spoils_neither_panel_nor_gray_window(target) -> None:
    label = target.clone()
    label[:, :6] = torch.nan
    page = Page()
    draw_input(page, seen({"image": target, "label": label}, {}), ["t1"], {})
    assert np.isnan(shown(page, 0)).sum() == 6 * 14
    assert np.isfinite(page.figure.axes[0].images[0].get_clim()).all()
    assert [text.get_text() for text in page.figure.legends[0].get_texts()] == ["not counted by the loss"]
    page = Page()
    draw_input(page, seen({"image": target, "label": label * torch.nan}, {}), ["t1"], {})
    low, high = page.figure.axes[0].images[0].get_clim()
    assert high - low > 1


def test_output_composite_and_error_of_a_trained_network(target, mask) -> None:
    error = np.where(mask > 0, 0.25, np.nan)
    made = Restored(target.numpy() + 0.25, target.numpy(), error, (target + 0.25 * mask).numpy(), 0)
    page = Page()
    draw_sample(page, seen({"image": target, "label": target, "mask": mask}), ["t1"], {}, restored=made)
    words = [text.get_text() for text in page.figure.texts]
    assert "mean absolute error 0.25 over the counted voxels of all channels" in words
    assert [word for word in words if word in ("target", "input", "output", "composite", "error")] == [
        "target", "input", "output", "composite", "error",
    ]  # fmt: skip
    assert len(page.figure.axes) == 16  # five rows of three, and the scale
    assert np.allclose(shown(page, 6), axial(target) + 0.25)
    assert np.allclose(shown(page, 9), axial(target + 0.25 * mask))
    assert np.array_equal(np.isnan(shown(page, 12)), axial(mask) == 0)
    assert page.figure.axes[12].images[0].get_cmap().name == "inferno"
    assert page.figure.axes[12].images[0].get_clim() == page.figure.axes[15].images[0].get_clim()


def test_classes_are_drawn_beside_the_outlines_of_their_map() -> None:
    fusion_map = torch.zeros(1, *SHAPE, dtype=torch.long)
    fusion_map[:, 2:6, 3:9, 1:5] = 4
    told = fusion_map.clone()
    told[0, 2, 3, 3] = 1
    error = (told != fusion_map).numpy().astype(float)
    made = Restored(told.numpy(), fusion_map.numpy(), error, None, 5)
    page = Page()
    draw_sample(page, seen({"image": torch.rand(4, *SHAPE), "label": fusion_map}, {}), list("abcd"), {}, restored=made)
    titles = [text.get_text() for text in page.figure.texts]
    assert {"input", "target", "output", "wrong"} <= set(titles)
    assert f"wrong in {1 / error.size:.1%} of the counted voxels" in titles
    # Before these rows the volume itself is drawn in three planes.
    first = len(page.figure.axes) - 12
    index = first + 3
    assert page.figure.axes[index].images[0].get_clim() == (0.0, 4.0)
    assert page.figure.axes[first].collections  # outlines of the label


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (torch.rand(1, *SHAPE), True),
        (torch.rand(2, *SHAPE), False),
        (torch.zeros(1, *SHAPE, dtype=torch.int), False),
        (None, False),
        ("a.nii", False),
    ],
)
def test_what_counts_as_a_restoration(label, expected) -> None:
    assert restores({"image": torch.rand(1, *SHAPE), "label": label}) is expected


def test_a_foreground_mask_beside_a_label_makes_no_restoration() -> None:
    """One region of one modality has the type and shape of an image, and no mask of hidden voxels beside it."""
    label = torch.zeros(1, *SHAPE)
    label[:, 3:6, 3:6, 2:5] = 1
    page = Page()
    draw_sample(page, seen({"image": torch.rand(1, *SHAPE), "label": label}), ["t1"], {"regions": ["whole"]})
    assert "target" not in [text.get_text() for text in page.figure.texts]


def test_a_slice_is_one_panel_a_row(target, mask) -> None:
    page = Page()
    given = {"image": target[..., 3:4], "label": target[..., 3:4], "mask": mask[..., 3:4]}
    made = Restored(*(target[..., 3:4].numpy() for _ in "abcd"), 0)
    draw_sample(page, seen(given), ["t1"], {}, restored=made)
    assert len(page.figure.axes) == 6
    assert np.allclose(shown(page, 1), axial(target * (1 - mask)))
