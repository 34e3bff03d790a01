"""Pictures: what they show and where, not how they look."""

import ast
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from medvol import figures
from medvol.figures import COLORS, gray_range, save_curves, save_overlay

LABELS = {"background": 0, "necrosis": 1, "oedema": 2, "enhancing": 4}
SHAPE, SPACING = (20, 24, 9), (1.0, 1.5, 4.0)


def case():
    """Two regions of the reference (the larger around (12, 14, 5)), a shifted prediction, and a marked corner."""
    reference = np.zeros(SHAPE, dtype=np.uint8)
    reference[9:16, 11:18, 4:7] = 2
    reference[11:14, 13:16, 5] = 4
    reference[1:3, 1:3, 1:3] = 1
    image = np.zeros(SHAPE)
    image[-1, -1, :] = 9.0  # right, anterior
    image[0, :, -1] = 5.0  # left, superior
    return image, np.roll(reference, 1, axis=0), reference


@pytest.fixture
def drawn(monkeypatch):
    """Keep the figures instead of writing them."""
    kept = []
    monkeypatch.setattr(figures, "_save", lambda figure, png: kept.append(figure))
    return kept


def test_slices_cut_the_largest_region_with_true_proportions(drawn):
    image, prediction, reference = case()
    save_overlay(image, prediction, reference, SPACING, "x.png", LABELS)
    axial, coronal, sagittal = drawn[0].axes
    # The box is full everywhere; the first of the equal slices is taken.
    assert [panel.get_title() for panel in drawn[0].axes] == [
        "axial, slice 4",
        "coronal, slice 11",
        "sagittal, slice 9",
    ]
    assert np.array_equal(axial.images[0].get_array(), image[:, :, 4].T)
    assert np.array_equal(coronal.images[0].get_array(), image[:, 11, :].T)
    assert np.array_equal(sagittal.images[0].get_array(), image[9].T)
    assert [panel.images[0].get_extent() for panel in drawn[0].axes] == [[0, 20, 0, 36], [0, 20, 0, 36], [0, 36, 0, 36]]
    assert all(panel.get_aspect() == 1.0 and panel.images[0].origin == "lower" for panel in drawn[0].axes)


def test_letters_stand_at_the_right_ends(drawn):
    image, prediction, reference = case()
    save_overlay(image, prediction, reference, SPACING, "x.png", LABELS)
    letters = [{text.get_text(): text.get_position() for text in panel.texts} for panel in drawn[0].axes]
    assert [set(found) for found in letters] == [set("LRAP"), set("LRSI"), set("APSI")]
    for found in letters:
        for low, high, axis in (("L", "R", 0), ("I", "S", 1)):
            assert low not in found or found[low][axis] < found[high][axis]
    assert letters[0]["P"][1] < letters[0]["A"][1]
    assert letters[2]["P"][0] < letters[2]["A"][0]
    # The marked corner, right and anterior, lies at the top right of the axial picture.
    assert drawn[0].axes[0].images[0].get_array()[-1, -1] == 9.0
    save_overlay(image, prediction, reference, SPACING, "x.png", LABELS, ras=False)
    assert not any(panel.texts for panel in drawn[1].axes)
    assert drawn[1].axes[0].get_xlabel() == "axis 0"


def test_reference_is_outlined_prediction_filled_and_both_named(drawn):
    image, prediction, reference = case()
    prediction[prediction == 4] = 0
    save_overlay(image, prediction, reference, SPACING, "x.png", LABELS)
    axial = drawn[0].axes[0]
    outlined = {to_hex(lines.get_edgecolor()[0]).upper() for lines in axial.collections}
    assert outlined == {COLORS[1]}  # slice 4 has oedema only
    filled = axial.images[2].get_array()  # image, necrosis, oedema, enhancing
    assert np.array_equal(filled[..., 3] > 0, (prediction[:, :, 4] == 2).T)
    assert to_hex(filled[filled[..., 3] > 0][0][:3]).upper() == COLORS[1]
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts == ["necrosis", "oedema", "enhancing", "filled: prediction", "line: reference"]


def test_colors_belong_to_labels_not_to_what_a_case_happens_to_have(drawn):
    image, _, reference = case()
    for labels in (reference, np.where(reference == 4, 4, 0), np.where(reference == 4, 7, 0)):
        save_overlay(image, None, labels, SPACING, "x.png", LABELS)
    legends = [
        {t.get_text(): h for t, h in zip(f.legends[0].get_texts(), f.legends[0].legend_handles, strict=True)}
        for f in drawn
    ]
    assert to_hex(legends[0]["enhancing"].get_facecolor()) == to_hex(legends[1]["enhancing"].get_facecolor())
    assert set(legends[1]) == {"enhancing", "line: reference"}
    assert set(legends[2]) == {"label 7", "line: reference"}


def test_without_a_reference_the_prediction_is_cut_and_without_both_the_middle(drawn):
    image, prediction, reference = case()
    save_overlay(image, prediction, np.zeros_like(reference), SPACING, "x.png")
    save_overlay(image, None, None, SPACING, "x.png")
    titles = [[panel.get_title() for panel in figure.axes] for figure in drawn]
    assert titles[0] == ["axial, slice 4", "coronal, slice 11", "sagittal, slice 10"]
    assert titles[1] == ["axial, slice 4", "coronal, slice 12", "sagittal, slice 10"]
    assert not drawn[1].legends


def test_tensors_channels_planes_and_depth_one(drawn):
    image, prediction, reference = case()
    tensors = [torch.from_numpy(array.astype(np.float32)) for array in (image, prediction, reference)]
    save_overlay(torch.stack([tensors[0], -tensors[0]]), tensors[1][None], tensors[2][None], SPACING, "x.png", LABELS)
    assert np.array_equal(drawn[0].axes[0].images[0].get_array(), image[:, :, 4].T)
    flat = [array[:, :, 5:6] for array in (image, prediction, reference)]
    save_overlay(*flat, SPACING, "x.png", LABELS)
    save_overlay(*(array[..., 0] for array in flat), SPACING[:2], "x.png", LABELS)
    for figure in drawn[1:]:
        (panel,) = figure.axes
        assert np.array_equal(panel.images[0].get_array(), image[:, :, 5].T)
        assert panel.images[0].get_extent() == [0, 20, 0, 36]


def test_a_radiograph_stands_upright(drawn):
    """Rows run down and columns to the right: the marker of the first row stays at the top."""
    image = np.zeros((6, 4))
    image[0, -1] = 1.0
    save_overlay(image, None, None, (2.0, 1.0), "x.png", ras=False)
    (panel,) = drawn[0].axes
    assert panel.images[0].get_array()[-1, -1] == 1.0  # origin is below: the last line is the top
    assert panel.images[0].get_extent() == [0, 4, 0, 12]
    assert panel.get_ylabel() == "rows"


def test_files_are_pictures_and_equal_for_equal_data(tmp_path):
    image, prediction, reference = case()
    for name in ("a", "b"):
        save_overlay(image, prediction, reference, SPACING, tmp_path / "new" / f"{name}.png", LABELS)
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "new" / "b.png").read_bytes()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "b.png"]  # nothing half-written
    pixels = matplotlib.image.imread(tmp_path / "new" / "a.png")
    assert pixels.shape[0] > 200
    assert pixels.shape[1] > 400


def test_wrong_shapes_are_refused():
    image, prediction, reference = case()
    with pytest.raises(ValueError, match=r"image's shape \(20, 24, 9\), but one has \(20, 24, 8\)"):
        save_overlay(image, prediction, reference[..., :8], SPACING, "x.png")
    with pytest.raises(ValueError, match=r"prediction must be .*\(20, 24\)"):
        save_overlay(image, prediction[..., 0], reference, SPACING, "x.png")


def log(tmp_path):
    lines = [f"{step},{2 * step},loss,{1 / step}" for step in range(1, 40)] + ["39,78,mean_dice,0.5"]
    (tmp_path / "log.csv").write_text("\n".join(["step,examples,name,value", *lines]) + "\n")
    return tmp_path / "log.csv"


def test_curves_show_every_name_in_its_own_panel(tmp_path, drawn):
    save_curves(log(tmp_path), "x.png")
    shown = {panel.get_title(): panel.lines[0] for panel in drawn[0].axes if panel.get_visible()}
    assert list(shown) == ["loss", "mean_dice"]
    assert shown["loss"].get_xdata().tolist() == list(range(1, 40))
    assert shown["loss"].get_ydata().tolist() == pytest.approx([1 / step for step in range(1, 40)])
    assert shown["mean_dice"].get_marker() == "o"
    save_curves(log(tmp_path), "x.png", names=["mean_dice"])
    assert [panel.get_title() for panel in drawn[1].axes] == ["mean_dice"]


def test_wrong_logs_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="train first"):
        save_curves(tmp_path / "none.csv", tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"\['loss', 'mean_dice'\], but got \['los'\]"):
        save_curves(log(tmp_path), tmp_path / "x.png", names=["los"])
    (tmp_path / "log.csv").write_text("step,examples,name,value\n")
    with pytest.raises(ValueError, match="let the run take a step"):
        save_curves(tmp_path / "log.csv", tmp_path / "x.png")
    (tmp_path / "log.csv").write_text("case,value\n")
    with pytest.raises(ValueError, match="must have the columns"):
        save_curves(tmp_path / "log.csv", tmp_path / "x.png")


def test_two_processes_do_not_write_into_one_half_file(tmp_path):
    """The other one's half picture lies where a fixed name would be."""
    (tmp_path / ".partial-a.png").mkdir()
    save_overlay(*case(), SPACING, tmp_path / "a.png", LABELS)
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("name", ["a$^$b", "$x$", "患者", "$\\frac{x}$"])
def test_any_name_is_drawn_as_it_stands(tmp_path, monkeypatch, name):
    kept, real = [], figures.png_bytes
    monkeypatch.setattr(figures, "png_bytes", lambda figure: kept.append(figure) or real(figure))
    save_overlay(*case(), SPACING, tmp_path / "a.png", {name: 1})
    (tmp_path / "log.csv").write_text(f"step,examples,name,value\n1,2,{name},0.5\n", encoding="utf-8")
    save_curves(tmp_path / "log.csv", tmp_path / "b.png")
    shown = kept[0].legends[0].get_texts()[0], kept[1].axes[0].title
    assert [(text.get_text(), text.get_parse_math()) for text in shown] == [(name, False)] * 2
    assert all((tmp_path / file).read_bytes()[1:4] == b"PNG" for file in ("a.png", "b.png"))


def test_gray_scales_are_shared_and_survive_odd_values(tmp_path):
    assert gray_range([np.linspace(0, 1, 1001), np.array([np.nan, np.inf])]) == pytest.approx((0.005, 0.995))
    assert gray_range([np.array([np.nan])]) == (0.0, 1.0)
    image, prediction, reference = case()
    image[3:6] = np.nan
    save_overlay(image, prediction, reference, SPACING, tmp_path / "a.png", LABELS)
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_matplotlib_is_only_loaded_when_something_is_drawn():
    tree = ast.parse(Path(figures.__file__).read_text())
    at_once = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert at_once
    assert not any("matplotlib" in line for line in at_once)
