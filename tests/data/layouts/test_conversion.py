import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its documented short name)

from medvol.data.layouts.dicom import import_dicom
from medvol.data.reading import read_image


def test_conversion_changes_nothing(tmp_path, write_series):
    tree = tmp_path / "archive"
    write_series(tree / "a" / "s1", "1.2.1.1")
    write_series(tree / "a" / "s2", "1.2.1.2", description="FLAIR axial")
    manifest = import_dicom(tree, convert=tmp_path / "out")
    assert manifest.root == tmp_path / "out"
    item = manifest.sections["training"][0]
    assert item["image"].startswith("P1/")
    assert item["image"].endswith(".nii.gz")
    by_case = {item["columns"]["series_description"]: item for item in manifest.sections["training"][:2]}
    old_header, old = read_image(tree / "a" / "s1")
    header, values = read_image(manifest.root / by_case["t1 mprage"]["image"])
    np.testing.assert_array_equal(values, old)
    assert values.dtype == old.dtype
    np.testing.assert_allclose(header.affine, old_header.affine, atol=1e-6)
    assert header.spacing == pytest.approx((0.5, 0.5, 2.0))
    files = sorted((tmp_path / "out").rglob("*"))
    times = [file.stat().st_mtime_ns for file in files]
    again = import_dicom(tree, convert=tmp_path / "out")
    assert again == manifest
    assert [file.stat().st_mtime_ns for file in files] == times
    assert sorted((tmp_path / "out").rglob("*")) == files


def test_a_missing_slice_is_refused_and_leaves_nothing(tmp_path, write_series):
    write_series(tmp_path / "archive" / "x", "1.2.3.1", positions=(0, 1, 3, 4))
    with pytest.raises(ValueError, match=r"evenly spaced.*found: slices lie 2 to 4 mm apart"):
        import_dicom(tmp_path / "archive", convert=tmp_path / "out")
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_nothing_half_written_when_the_folder_is_full(tmp_path, monkeypatch, write_series):
    write_series(tmp_path / "archive" / "x", "1.2.3.1")

    def full(image, name, **_):
        with open(name, "wb") as stream:  # noqa: PTH123
            stream.write(b"half")
        raise RuntimeError("no space left")

    monkeypatch.setattr(sitk, "WriteImage", full)
    with pytest.raises(OSError, match=r"must be a folder with room.*no space left"):
        import_dicom(tmp_path / "archive", convert=tmp_path / "out")
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


def test_a_tilted_gantry_is_refused_by_the_conversion(tmp_path, write_series):
    write_series(tmp_path / "archive" / "x", "1.2.3.1", shift=1.0)
    with pytest.raises(ValueError, match=r"tilted by 26.6 degrees"):
        import_dicom(tmp_path / "archive", convert=tmp_path / "out")
