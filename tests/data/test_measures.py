import nibabel
import numpy as np
import pytest
from PIL import Image

from medvol.data import Manifest
from medvol.data.measures import measure, measure_manifest, with_columns
from medvol.data.quality import image_quality
from medvol.data.where import select

RANDOM = np.random.default_rng(0)
LABELS = {"background": 0, "tumor core": 1, "edema": 2}


def save(file, values, spacing=(1, 2, 3)):
    nibabel.save(nibabel.Nifti1Image(values, np.diag([*spacing, 1])), file)
    return values


@pytest.fixture
def volume(tmp_path):
    values = RANDOM.normal(10, 1, (10, 11, 12)).astype(np.float32)
    values[:5] += 100
    return save(tmp_path / "a.nii.gz", values)


@pytest.fixture
def label(tmp_path):
    values = np.zeros((10, 11, 12), np.uint8)
    values[0, :10, 0], values[1, :5, 0] = 1, 2
    return save(tmp_path / "a_seg.nii.gz", values)


def test_a_volume_with_its_label(volume, label, tmp_path):
    found = measure({"image": "a.nii.gz", "label": "a_seg.nii.gz", "patient": "a"}, tmp_path, ("t1",), LABELS)
    low, middle, high = np.percentile(volume, [1, 50, 99])
    expected = {
        "size_x": 10, "size_y": 11, "size_z": 12, "spacing_x": 1.0, "spacing_y": 2.0, "spacing_z": 3.0, "extent": 10.0,
        "dtype": "float32", "channels": 1, "modality": "t1", "foreground": 0.5, "intensity_p01": low,
        "intensity_p50": middle, "intensity_p99": high, "quality": round(image_quality(volume), 2),
        "labelled_fraction": 15 / 1320, "volume_tumor_core": 0.06, "volume_edema": 0.03,
    }  # fmt: skip
    sharp = found.pop("sharpness")
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5)), name
    assert sharp > 0.25


def test_quality_is_that_of_the_worst_modality_and_the_rest_of_the_first(volume, tmp_path):
    noisy = save(tmp_path / "b.nii.gz", volume + RANDOM.normal(0, 30, volume.shape).astype(np.float32))
    first, both = (measure({"image": i, "patient": "a"}, tmp_path, m) for i, m in
                   (("a.nii.gz", ("t1",)), (["a.nii.gz", "b.nii.gz"], ("t1", "t2"))))  # fmt: skip
    assert both["quality"] == round(image_quality(noisy), 2) < first["quality"]
    assert "modality" not in both
    same = {key for key in first if key not in ("quality", "modality")}
    assert {key: both[key] for key in same} == {key: first[key] for key in same}
    save(tmp_path / "four.nii.gz", np.stack([volume, noisy], -1))
    four = measure({"image": "four.nii.gz", "patient": "a"}, tmp_path, ("t1", "t2"))
    assert four == both | {"channels": 2}


def test_a_radiograph(tmp_path):
    gray = RANDOM.integers(0, 255, (20, 30)).astype(np.uint8)
    Image.fromarray(np.stack([gray] * 3, -1)).save(tmp_path / "a.png")
    Image.fromarray((gray > 127).astype(np.uint8)).save(tmp_path / "a_seg.png")
    item = {"image": "a.png", "label": "a_seg.png", "patient": "a"}
    found = measure(item, tmp_path, ("xray",), {"background": 0, "lung": 1})
    assert (found["size_rows"], found["size_columns"], found["channels"], found["dtype"]) == (20, 30, 3, "uint8")
    assert not [name for name in found if name.startswith(("spacing", "extent", "volume", "size_x"))]
    assert found["intensity_p50"] == pytest.approx(np.median(gray))
    assert found["fraction_lung"] == found["labelled_fraction"] == pytest.approx((gray > 127).mean(), rel=1e-4)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_what_a_flat_image_does_not_allow_is_left_out(value, tmp_path):
    save(tmp_path / "a.nii", np.full((6, 6, 6), value, np.float32))
    found = measure({"image": "a.nii", "patient": "a"}, tmp_path, ("t1",))
    assert not {"quality", "sharpness", "foreground"} & set(found)
    assert ("intensity_p50" in found) == (value == 0)


def test_nan_and_infinity_do_not_count(volume, tmp_path):
    values = volume.copy()
    values[0, 0, :5] = [np.nan, np.inf, -np.inf, np.nan, np.nan]
    save(tmp_path / "nan.nii.gz", values)
    found = measure({"image": "nan.nii.gz", "patient": "a"}, tmp_path, ("t1",))
    assert found["intensity_p50"] == pytest.approx(np.median(values[np.isfinite(values)]), rel=1e-5)
    assert all(np.isfinite(value) for value in found.values() if isinstance(value, float))


def test_a_long_axis_is_thinned(tmp_path):
    values = np.zeros((300, 4, 4), np.float32)
    values[::3] = 1  # every third plane, the ones that count
    save(tmp_path / "long.nii", values)
    assert measure({"image": "long.nii", "patient": "a"}, tmp_path, ("t1",))["intensity_p50"] == 1


def test_channels_that_do_not_fit(volume, tmp_path):
    with pytest.raises(ValueError, match=r"a\.nii\.gz must have a channel for each of 2 modalities; it has 1; correct"):
        measure({"image": "a.nii.gz", "patient": "a"}, tmp_path, ("t1", "t2"))


def manifest_of(folder, cases=6):
    rows = []
    for i in range(cases):
        save(folder / f"c{i}.nii.gz", RANDOM.normal(0, 1, (6, 6, 6 + i)).astype(np.float32))
        rows.append({"image": f"c{i}.nii.gz", "patient": f"p{i}", "columns": {"age": 60 + i, "size_z": -1}})
    return Manifest("m", folder, ("t1",), {}, True, {"training": rows[:4], "test": rows[4:]})


def test_a_manifest(tmp_path):
    manifest = manifest_of(tmp_path)
    alone, together = measure_manifest(manifest, jobs=1), measure_manifest(manifest, jobs=3)
    assert alone == together
    assert [alone[f"c{i}"]["size_z"] for i in range(6)] == [6, 7, 8, 9, 10, 11]
    measured = with_columns(manifest, alone)
    assert measured.sections["test"][0]["columns"] == {"age": 64, **alone["c4"]}
    assert manifest.sections["test"][0]["columns"] == {"age": 64, "size_z": -1}
    assert len(select(measured.sections["training"], "size_z > 7 and quality < 60 and age > 61", "m")) == 2


def test_no_bar_unless_wanted(tmp_path, capsys):
    manifest = manifest_of(tmp_path, 2)
    measure_manifest(manifest, jobs=1)
    assert capsys.readouterr() == ("", "")
    measure_manifest(manifest, jobs=1, progress=True)
    assert "2/2" in capsys.readouterr().err


def test_files_that_do_not_read_are_counted_and_named(tmp_path):
    manifest = manifest_of(tmp_path)
    for i in (1, 4):
        (tmp_path / f"c{i}.nii.gz").write_text("no image")
    with pytest.raises(ValueError, match=r"2 of 6 are not: .*c1\.nii\.gz.*c4\.nii\.gz.*manifest verify"):
        measure_manifest(manifest)
    (tmp_path / "c1.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"c1\.nii\.gz"):
        measure_manifest(manifest)


def test_columns_of_a_stranger(tmp_path):
    manifest = manifest_of(tmp_path, 1)
    with pytest.raises(ValueError, match="must be of manifest 'm'; found x; measure it again"):
        with_columns(manifest, {"x": {"a": 1}})
    assert with_columns(manifest, {}) == manifest
