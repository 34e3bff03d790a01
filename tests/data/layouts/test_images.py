import pytest

from medvol.data.layouts.images import find_images, label_expression


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_and_patterns(tmp_path):
    touch(tmp_path, "x/a.nii.gz", "x/deep/b.nii", "y/c.nii.gz", "y/c.json", "x/._a.nii.gz", "x/a_seg.nii.gz")
    assert find_images(tmp_path, ".") == ["x/a.nii.gz", "x/deep/b.nii", "y/c.nii.gz"]
    assert find_images(tmp_path, "x") == ["x/a.nii.gz", "x/deep/b.nii"]
    assert find_images(tmp_path, "*/*.nii.gz") == ["x/a.nii.gz", "y/c.nii.gz"]
    assert find_images(tmp_path, ["y", "x/deep/*"]) == ["x/deep/b.nii", "y/c.nii.gz"]


def test_what_the_label_pattern_describes_is_no_image(tmp_path):
    touch(tmp_path, "a.nii.gz", "labels/a.nii.gz", "x/b.nii.gz", "x/b-truth.nii.gz", "x/vb.nii.gz")
    assert "labels/a.nii.gz" in find_images(tmp_path, ".")
    assert "labels/a.nii.gz" not in find_images(tmp_path, ".", "labels/{case}.nii.gz")
    assert find_images(tmp_path, "x", "{folder}/{case}-tr*.nii.gz") == ["x/b.nii.gz", "x/vb.nii.gz"]
    with pytest.raises(FileNotFoundError, match="describes every file"):
        find_images(tmp_path, ".", "{folder}{case}.nii.gz")
    assert not label_expression("l.x/{case}").fullmatch("lax/c")


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        ("no", FileNotFoundError, "there is no folder 'no'"),
        ("/tmp", ValueError, "below"),
        ("../x", ValueError, "below"),
        ("*.mha", FileNotFoundError, r"found none among 0 files of \*.mha"),
    ],
)
def test_refusals(tmp_path, images, error, match):
    touch(tmp_path, "a.nii.gz")
    with pytest.raises(error, match=match):
        find_images(tmp_path, images)


def test_formats_are_not_mixed(tmp_path):
    touch(tmp_path, "a.nii.gz", "b.nii", "preview/a.png")
    with pytest.raises(
        ValueError, match=r"2 of NIfTI \(a.nii.gz\) and 1 of pictures \(preview/a.png\).*\*\*/\*\.nii\.gz"
    ):
        find_images(tmp_path, ".")
    assert find_images(tmp_path, "**/*.png") == ["preview/a.png"]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        find_images(tmp_path / "nowhere", ".")


def test_bytes_tell_dicom_where_the_name_does_not(tmp_path):
    touch(tmp_path, "a.nii.gz", "README", "VERSION")
    assert find_images(tmp_path, ".") == ["a.nii.gz"]
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(ValueError, match="1 of DICOM"):
        find_images(tmp_path, ".")
