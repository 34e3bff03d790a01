"""medvol.engines.pictures"""

from __future__ import annotations

import pytest

from medvol.engines import pictures
from medvol.engines.pictures import choose_names, draw, draw_curves, remove_overlays


def write_log(folder, *steps):
    lines = [f"{step},{2 * step},loss,0.5\n" for step in steps]
    (folder / "log.csv").write_text("".join(["step,examples,name,value\n", *lines]))


def test_curves_of_a_log(tmp_path):
    write_log(tmp_path, 1, 2, 3)
    draw_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.png", "log.csv"]


@pytest.mark.parametrize("steps", [(), (5,)])
def test_a_point_is_no_curve(tmp_path, steps):
    write_log(tmp_path, *steps)
    draw_curves(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_no_log_no_curves(tmp_path):
    draw_curves(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_log_that_cannot_be_read_is_one_warning(tmp_path):
    (tmp_path / "log.csv").write_bytes(b"step,examples,name,value\n1,2,loss,\xff\xfe\n1,2\n")
    with pytest.warns(UserWarning, match=r"expected to draw .*curves\.png") as caught:
        draw_curves(tmp_path)
    assert len(caught) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_a_full_disk_is_one_warning(tmp_path, monkeypatch):
    def full(log, png, names):
        png.with_name(f".partial-{png.name}").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "save_curves", full)
    write_log(tmp_path, 1, 2)
    with pytest.warns(UserWarning, match=r"expected to draw .*curves\.png, found OSError: .*No space left") as caught:
        draw_curves(tmp_path)
    assert len(caught) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


def test_draw_says_whether_it_did(tmp_path):
    assert draw(tmp_path / "a.png", lambda: None)
    with pytest.warns(UserWarning, match="ZeroDivisionError"):
        assert not draw(tmp_path / "a.png", lambda: 1 / 0)


def test_names_of_a_segmentation():
    names = [f"val_{region}_{metric}" for metric in ("dice", "hd95") for region in ("TC", "WT", "ET", "mean")]
    names += ["loss", *(f"learning_rate_{k}" for k in range(4)), "gradient_norm"]
    assert choose_names(names) == ["loss", "val_mean_dice", "val_mean_hd95"]


def test_few_names_are_all_drawn_losses_first():
    assert choose_names(["accuracy", "val_accuracy", "loss", "learning_rate", "val_loss"]) == [
        "loss", "val_loss", "val_accuracy", "accuracy"
    ]  # fmt: skip


def test_a_learning_rate_alone_is_better_than_nothing():
    assert choose_names(["learning_rate"]) == ["learning_rate"]


def test_never_more_panels_than_fit():
    assert len(choose_names([f"metric{k}" for k in range(40)])) == pictures.MAX_PANELS
    assert len(choose_names([f"val_metric{k}" for k in range(40)])) == pictures.MAX_PANELS


def test_remove_overlays(tmp_path):
    remove_overlays(tmp_path / "missing")
    folder = tmp_path / "overlays"
    folder.mkdir()
    for name in ("best_a.png", "median_b.png", "worst_c.png", ".partial-best_a.png", "mine.png"):
        (folder / name).touch()
    remove_overlays(folder, keep=frozenset({"best_a.png"}))
    assert sorted(p.name for p in folder.iterdir()) == ["best_a.png", "mine.png"]
    remove_overlays(folder)
    assert [p.name for p in folder.iterdir()] == ["mine.png"]
    (folder / "mine.png").unlink()
    remove_overlays(folder)
    assert not folder.exists()
