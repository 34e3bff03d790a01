"""Pictures of test cases."""

import io

import numpy as np
from PIL import Image
from reported import png

from medvol.study.reporting.overlays import read_overlays


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
    assert all(picture.private and picture.alt for picture in found)


def test_large_pictures_shrink_in_proportion_and_small_ones_stay(tmp_path):
    _draw(tmp_path, "a", "best_x.png", width=1800)
    _draw(tmp_path, "a", "worst_y.png", width=60)
    large, small = read_overlays(tmp_path, [("scratch", "a")])
    assert (large.width, large.height, small.width) == (900, 10, 60)


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
