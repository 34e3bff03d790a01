from pathlib import Path

import pytest

from medvol.data.layouts.listing import image_files, list_files, require_choice, safe_path


def test_files_without_hidden_ones_and_each_once(tmp_path):
    for name in ("b/x.nii", "a.nii", ".hidden/y.nii", "__MACOSX/z.nii", "b/._x.nii", "b/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "c").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert list_files(tmp_path) == ["a.nii", "b/x.nii"]
    assert "b/x.nii" in list_files(tmp_path, "b")
    assert list_files(tmp_path, "nowhere") == []


def test_images_by_suffix():
    files = ["a.NII.GZ", "b.hdr", "b.img", "c.hdr", "d.txt", "e.png", "f.raw", "f.mhd"]
    assert image_files(files) == ["a.NII.GZ", "b.img", "c.hdr", "e.png", "f.mhd"]
    assert image_files(files, (".png",)) == ["e.png"]


@pytest.mark.parametrize("path", ["../a", "/a", "", ".", None, "a/../../b", 3])
def test_paths_that_leave(path):
    with pytest.raises(ValueError, match=r"the paths in list must be inside data; found"):
        safe_path(path, Path("data"), "list")


def test_choice():
    with pytest.raises(ValueError, match=r"option case must be one that is known; found 'nam'; did you mean 'name'"):
        require_choice("case", "nam", ["name", "path"])
