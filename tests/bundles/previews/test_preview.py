"""``python -m medvol preview``: the picture of a whole bundle, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import curved
import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image

from medvol.bundles import refusal
from medvol.bundles.previews import page
from medvol.bundles.previews import preview as preview_module
from medvol.bundles.previews.preview import preview


@pytest.fixture
def pages(monkeypatch):
    """Keep the pages instead of drawing their pixels."""
    kept = []

    def png(self, dpi=130):
        kept.append(self)
        return b"PNG"

    monkeypatch.setattr(page.Page, "png", png)
    return kept


def words(drawn) -> str:
    return " | ".join(text.get_text() for text in drawn.figure.texts)


def test_contrastive_predictive_coding(overrides, tmp_path) -> None:
    out = preview("cpc3d", tmp_path / "cpc.png", overrides=overrides("cpc3d", modalities=["t1"]), samples=1)
    assert out == tmp_path / "cpc.png"
    with Image.open(out) as picture:
        width, height = picture.size
    assert width > 1000
    assert height > 600
    assert [path.name for path in tmp_path.glob("*.p*")] == ["cpc.png"]  # no half-written neighbor


def test_the_legend_tells_target_and_context(overrides, tmp_path, pages) -> None:
    preview("cpc3d", tmp_path / "cpc.png", overrides=overrides("cpc3d", modalities=["t1"]), samples=2)
    assert "tiny, synthetic data; train.json" in words(pages[0])
    assert "seed 0, position 0; 28 x 30 x 26 voxels of 1 x 1 x 1 mm" in words(pages[0])
    assert "position 1" in words(pages[0])
    legend = [text.get_text() for text in pages[0].figure.legends[0].get_texts()]
    assert legend[0].startswith("target: patch")
    assert "l_min = 1" in legend[0]
    assert any(word.startswith("context: 1 layer before") for word in legend)


@pytest.mark.parametrize("bundle", ["unet_brats", "unet_hippocampus"])
def test_segmentation(bundle, overrides, tmp_path, pages) -> None:
    preview(bundle, tmp_path / "a.png", overrides=overrides(bundle), samples=1)
    titles = [panel.get_title() for panel in pages[0].figure.axes]
    if bundle == "unet_brats":
        assert titles == [f"{m} {s}" for s in ("before", "after") for m in ("flair", "t1", "t1ce", "t2")]
    else:
        assert [title.split(",")[0] for title in titles] == ["t1 before"] * 3 + ["t1 after"] * 3
    names = {"unet_brats": {"TC", "WT", "ET"}, "unet_hippocampus": {"anterior", "posterior"}}[bundle]
    assert {text.get_text() for legend in pages[0].figure.legends for text in legend.get_texts()} <= names


@pytest.mark.parametrize("config", ["inference.json", "evaluate.json"])
def test_other_configs_show_what_goes_in(config, dataset, tmp_path, pages) -> None:
    values = {"manifest": str(dataset), "spacing": [1.0] * 3, "weights": None}
    preview("unet_brats", tmp_path / "a.png", config, values, samples=1)
    assert [panel.get_title().split(",")[0] for panel in pages[0].figure.axes] == ["flair", "t1", "t1ce", "t2"]
    assert "position" not in words(pages[0])
    # The file's left-right axis is turned around for the image, not for the label: they do not match, so no outlines.
    assert not pages[0].figure.axes[0].collections


@pytest.fixture
def radiographs(tmp_path, marker) -> Path:
    """A manifest of square radiographs with an upright R in the upper left corner."""
    items = []
    for number in range(4):
        picture = np.random.default_rng(number).integers(20, 60, (64, 64)).astype(np.uint8)
        picture[2:7, 3:7] = 200 * marker()[0, :, :, 0].numpy()[::-1, ::-1].T[2:7, 2:6] + 20
        Image.fromarray(picture).save(tmp_path / f"x{number}.png")
        items.append({"image": f"x{number}.png", "patient": f"p{number}"})
    content = {"name": "radiographs", "modalities": ["xray"], "synthetic": True, "root": "."}
    sections = {"training": items[:2], "validation": items[2:3], "test": items[3:]}
    (tmp_path / "x.json").write_text(json.dumps({**content, **sections}), encoding="utf-8")
    return tmp_path / "x.json"


@pytest.mark.filterwarnings("ignore:axcodes")  # MONAI, of the third letter for a picture
def test_the_marker_of_a_radiograph_stays_on_its_side(radiographs, overrides, tmp_path, pages) -> None:
    sizes = {"grid": [3, 3], "patch_size": [12, 12], "crop_size": [60, 60], "spacing": [1.0, 1.0], "spatial_dims": 2}
    values = overrides("cpc3d", manifest=str(radiographs), modalities=["xray"], **sizes)
    preview("cpc3d", tmp_path / "a.png", overrides=values, samples=1)
    panel, *strip = pages[0].figure.axes
    shown = np.asarray(panel.images[0].get_array())[::-1]  # rows from the top
    bright = shown > np.percentile(shown, 99)
    upper, left = np.argwhere(bright).mean(axis=0)
    assert upper < 8
    assert left < 8
    letter = shown[2:7, 3:7] > shown[2:7, 3:7].mean()
    assert letter.astype(int).tolist() == [[1, 1, 1, 0], [1, 0, 0, 1], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1]]
    assert len(strip) == 9
    assert "no stated size" in words(pages[0])


@pytest.mark.parametrize(
    ("out", "samples", "error", "message"),
    [
        ("a.jpg", 1, ValueError, "out must be a file that ends in .png; found .*a.jpg'; choose another name"),
        ("none/a.png", 1, FileNotFoundError, "out must lie in a folder that exists; found no folder .*none; make it"),
        ("folder.png", 1, ValueError, "out must be a file; found a folder at"),
        ("a.png", 0, ValueError, "samples must be a whole number from 1 to 16; found 0; choose another"),
        ("a.png", 17, ValueError, "found 17"),
        ("a.png", 1.5, ValueError, "found 1.5"),
    ],
)
def test_wrong_places_and_numbers_are_refused(out, samples, error, message, tmp_path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(error, match=message):
        preview("cpc3d", tmp_path / out, samples=samples)


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        ({"grit": [2, 2, 2]}, "key", "grit"),
        ({"manifest": "phantum"}, "a manifest 'phantum' with readable data", "phantom"),
        ({"dataset_dir": "nowhere"}, "readable data", "there is no folder"),
        (
            {"crop_size": [90, 90, 90]},
            "whose transforms can read and cut its images",
            "axis 0: expected a volume of at",
        ),
        ({"patch_size": [5, 5, 5], "network::patch_size": [6, 6, 6], "grid": [4, 4, 4]}, "transforms", "cell"),
    ],
)
def test_what_stops_a_run_stops_a_preview(change, expected, found, overrides, tmp_path) -> None:
    with pytest.raises(refusal.GuardError) as raised:
        preview("cpc3d", tmp_path / "a.png", overrides={**overrides("cpc3d"), **change}, samples=1)
    message = str(raised.value)
    assert expected in message
    assert found in message
    assert "remedy:" in message
    assert "Traceback" not in message
    assert not (tmp_path / "a.png").exists()


def test_the_labels_of_a_pretext_task_do_not_take_the_names_of_a_manifest(overrides, tmp_path, pages) -> None:
    preview("volumefusion3d", tmp_path / "a.png", overrides=overrides("volumefusion3d"), samples=1)
    legend = {text.get_text() for text in pages[0].figure.legends[0].get_texts()}
    assert legend
    assert all(word.startswith("label ") for word in legend), legend


def test_a_config_without_a_data_set_is_refused(tmp_path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "train.json").write_text('{"steps": 3, "run": ["$@steps"]}', encoding="utf-8")
    with pytest.raises(refusal.GuardError, match=r"(?s)a data set in train.json.*the keys steps, run.*--config"):
        preview(tmp_path / "own", tmp_path / "a.png")


def test_a_network_that_cannot_be_imported_is_none_to_predict_with(tmp_path, monkeypatch) -> None:
    (tmp_path / "broken_network.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for target in ("broken_network.Net", "no_such_module.Net", "torch.nn.Linear"):
        assert preview_module._predictor(ConfigParser({"network": {"_target_": target}})) is None


def test_a_synthetic_stand_in_for_the_hippocampus(tmp_path, overrides, pages) -> None:
    """The set whose picture stands in the documentation, where real images may not."""
    manifest = curved.write_curved(tmp_path / "curved")
    values = overrides("unet_hippocampus", manifest=str(manifest), roi_size=[40, 52, 36])
    preview("unet_hippocampus", tmp_path / "a.png", overrides=values, samples=1)
    assert "curved bodies, synthetic data" in words(pages[0])
    assert [text.get_text() for text in pages[0].figure.legends[0].get_texts()] == ["anterior", "posterior"]


def test_real_hippocampi(tmp_path, overrides, pages) -> None:
    data = os.environ.get("MEDVOL_TEST_DATA")
    if not data or not (Path(data) / "hippocampus").is_dir():
        pytest.skip("MEDVOL_TEST_DATA names no folder with hippocampus")
    values = {"dataset_dir": str(Path(data) / "hippocampus"), "cache_dir": str(tmp_path / "cache")}
    preview("unet_hippocampus", tmp_path / "a.png", overrides=values, samples=1)
    assert "data: hippocampus; train.json" in words(pages[0])
