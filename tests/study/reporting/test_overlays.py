"""Pictures of test cases."""

import io

import numpy as np
from PIL import Image
from reported import png

from medvol.figures import COLORS, save_overlay
from medvol.study.reporting.overlays import legend_text, read_overlays


def _draw(folder, run, name, width=60, content=None):
    place = folder / run / "test" / "overlays"
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(png(width, 20) if content is None else content)


def test_best_median_worst_and_both_arms_side_by_side(tmp_path):
    for run in "ab":
        for word in ("worst", "median", "best"):
            _draw(tmp_path, run, f"{word}_case_{run}.png")
    found = read_overlays(tmp_path, [("scratch", "a"), ("cpc3d", "b")], {("scratch", "case_a"): "Dice 0.9"})
    assert [p.caption for p in found[:3]] == [
        "scratch, best case: case_a, Dice 0.9", "cpc3d, best case: case_b", "scratch, median case: case_a, Dice 0.9",
    ]  # fmt: skip
    assert all(picture.private and picture.alt and picture.wide for picture in found)


def test_the_colors_of_a_picture_are_told_in_words(tmp_path):
    names = {"background": 0, "enhancing": 4, "necrosis": 1}
    assert legend_text(names, is_volume=True) == (
        "Filled: prediction; line: reference; orange: necrosis; sky blue: enhancing. "
        "The left of the body is on the left, and the front is on the right in the sagittal slice."
    )
    _draw(tmp_path, "a", "best_x.png")
    (picture,) = read_overlays(tmp_path, [("scratch", "a")], legend="Orange: tumor.")
    assert picture.caption == "scratch, best case: x. Orange: tumor."


def test_the_told_colors_are_those_that_a_run_draws(tmp_path):
    """A label alone in a picture has the color of its place among all labels of the data set."""
    label = np.full((8, 8), 4)
    save_overlay(np.zeros((8, 8)), label, None, (1, 1), tmp_path / "a.png", {"tumor": 1, "cyst": 4}, ras=False)
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    drawn = {tuple(pixel) for pixel in pixels.reshape(-1, 3).tolist()}
    orange, blue = (tuple(bytes.fromhex(color[1:])) for color in COLORS[:2])
    assert blue in drawn
    assert orange not in drawn
    assert "sky blue: cyst" in legend_text({"tumor": 1, "cyst": 4}, is_volume=False)


def test_large_pictures_shrink_in_proportion_and_small_ones_stay(tmp_path):
    _draw(tmp_path, "a", "best_x.png", width=2800)
    _draw(tmp_path, "a", "worst_y.png", width=60)
    large, small = read_overlays(tmp_path, [("scratch", "a")])
    assert (large.width, large.height, small.width) == (1400, 10, 60)


def test_gray_levels_survive(tmp_path):
    content = io.BytesIO()
    ramp = np.tile(np.arange(0, 256, dtype=np.uint8), (4, 1))
    Image.fromarray(ramp).save(content, format="PNG")
    _draw(tmp_path, "a", "best_x.png", content=content.getvalue())
    shown = np.asarray(Image.open(io.BytesIO(read_overlays(tmp_path, [("scratch", "a")])[0].content)).convert("L"))
    assert np.abs(shown.astype(int) - ramp).max() <= 2


def test_no_pictures_and_cut_ones_are_left_out(tmp_path):
    _draw(tmp_path, "a", "best_x.png", content=b"\x89PNG\r\n\x1a\n cut")
    assert read_overlays(tmp_path, [("scratch", "a"), ("cpc3d", "nowhere")]) == []


def test_pictures_of_the_section_that_the_study_scores(tmp_path):
    place = tmp_path / "a" / "validation" / "overlays"
    place.mkdir(parents=True)
    (place / "best_x.png").write_bytes(png(60, 20))
    assert read_overlays(tmp_path, [("scratch", "a")]) == []
    (picture,) = read_overlays(tmp_path, [("scratch", "a")], section="validation")
    assert picture.alt.startswith("best validation case of scratch: x;")
