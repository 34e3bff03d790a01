import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts.dicom import find_series, import_dicom
from medvol.data.layouts.folder import create_manifest
from medvol.data.reading import read_image


@pytest.fixture
def tree(tmp_path, write_series):
    root = tmp_path / "archive"
    write_series(root / "a" / "s1", "1.2.1.1")
    write_series(root / "a" / "s2", "1.2.1.2", description="FLAIR axial")
    write_series(root / "b" / "s1", "1.2.2.1", patient="P2", study="1.2.2")
    write_series(root / "b" / "s2", "1.2.2.2", patient="P2", study="1.2.2", description="flair")
    (root / "a" / "s1" / "notes.txt").write_text("x")
    (root / "a" / "README").write_text("x")
    (root / "c").mkdir()
    return root


def test_a_folder_is_an_item(tree):
    manifest = import_dicom(tree)
    assert manifest.modalities == ("mr",)
    assert manifest.sections["training"][0] == {
        "image": "a/s1",
        "patient": "P1",
        "case": "a_s1",
        "columns": {"dicom_modality": "MR", "series_description": "t1 mprage"},
    }
    assert [item["image"] for item in manifest.sections["training"]] == ["a/s1", "a/s2", "b/s1", "b/s2"]
    assert manifest.patients("training") == ["P1", "P2"]
    assert load_manifest(write_manifest(tree / "m.json", manifest)) == manifest
    manifest.check()
    _, values = read_image(tree / "a" / "s1")
    assert values.shape == (6, 8, 4)
    rule = import_dicom(tree, patient=r"^(\w)/", modalities="t1", name="n", section="test")
    assert rule.patients("test") == ["a", "b"]
    assert (rule.modalities, rule.name) == (("t1",), "n")


def test_series_of_a_study_as_channels(tree):
    series = {"flair": "flair", "t1": "^t1"}
    manifest = import_dicom(tree, series=series)
    assert manifest.modalities == ("flair", "t1")
    assert [item["image"] for item in manifest.sections["training"]] == [["a/s2", "a/s1"], ["b/s2", "b/s1"]]
    assert [item["patient"] for item in manifest.sections["training"]] == ["P1", "P2"]
    assert len({item["case"] for item in manifest.sections["training"]}) == 2
    with pytest.raises(
        ValueError, match=r"one series for t2 \('t2'\); study 1.2.1 .* has 0 among 'FLAIR axial', 't1 mprage'"
    ):
        import_dicom(tree, series={"t2": "t2"})
    with pytest.raises(ValueError, match="has 2 among"):
        import_dicom(tree, series={"any": "."})


def test_several_series_in_one_folder(tmp_path, write_series):
    root = tmp_path / "archive"
    write_series(root / "x", "1.2.3.1", description="scout", start=0)
    write_series(root / "x", "1.2.3.2", description="t1", start=20)
    with pytest.raises(
        ValueError, match=r"exactly one DICOM series; .*x holds 2 series \(one is 'scout'\); give convert="
    ):
        import_dicom(root)
    manifest = import_dicom(root, convert=tmp_path / "out")
    assert len(manifest.sections["training"]) == 2
    only = import_dicom(root, convert=tmp_path / "few", series={"t1": "^t1$"})
    assert len(only.sections["training"]) == 1
    assert len(list((tmp_path / "few").rglob("*.nii.gz"))) == 1
    with pytest.raises(ValueError, match=r"one DICOM series.*x holds 2.*layout 'dicom' with convert"):
        create_manifest(root, ".", modalities=["t1"], patient="folder")


def test_radiographs_are_items_by_file(tmp_path, write_series):
    write_series(tmp_path / "p1", "1.2.3.1", modality="DX", positions=(0, 0), description="")
    manifest = import_dicom(tmp_path)
    assert [item["image"] for item in manifest.sections["training"]] == ["p1/8.dcm", "p1/9.dcm"]
    assert manifest.modalities == ("dx",)
    folder = create_manifest(tmp_path, ".", modalities=["xray"], patient="folder")
    assert [item["image"] for item in folder.sections["training"]] == ["p1/8.dcm", "p1/9.dcm"]


def test_other_refusals(tmp_path, tree, write_series):
    with pytest.raises(FileNotFoundError, match="found none"):
        import_dicom(tree / "c")
    with pytest.raises(ValueError, match="inside the tree"):
        import_dicom(tree / "a" / "s1")
    write_series(tree / "d", "1.2.4.1", patient="", study="1.2.4", modality="CT")
    with pytest.raises(ValueError, match=r"DICOM's PatientID; d has"):
        import_dicom(tree, modalities=["any"])
    with pytest.raises(ValueError, match=r"DICOM says ct, mr; name it"):
        import_dicom(tree)
    with pytest.raises(ValueError, match="never guessed"):
        import_dicom(tree, modalities=["any"], patient="")


def test_series_in_own_folders_as_a_plain_folder(tree):
    manifest = create_manifest(tree, ".", modalities=["mr"], patient=r"^(\w)/", case="path")
    assert [item["image"] for item in manifest.sections["training"]] == ["a/s1", "a/s2", "b/s1", "b/s2"]
    assert [item["case"] for item in manifest.sections["training"]] == ["a_s1", "a_s2", "b_s1", "b_s2"]
    assert create_manifest(tree, "*/s1", modalities=["mr"], patient=r"^(\w)/", case="path").patients("training") == [
        "a",
        "b",
    ]


def test_an_import_passes_verify(tree, tmp_path, errors_of):
    for one in (import_dicom(tree), import_dicom(tree, convert=tmp_path / "out")):
        assert [error for error in errors_of(one) if "duplicate" not in error] == []


def test_slices_are_in_the_order_of_their_positions(tree):
    (series,) = [one for one in find_series(tree) if one.path == "a/s1"]
    assert [file[-5:] for file in series.files] == ["9.dcm", "8.dcm", "7.dcm", "6.dcm"]


def test_a_damaged_slice_is_named(tree):
    file = tree / "a" / "s1" / "7.dcm"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(ValueError, match=r"a/s1 1 are not: 7.dcm"):
        import_dicom(tree)
