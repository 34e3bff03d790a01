import pytest

from medvol.data.layouts.ukb import import_ukb

T1, FLAIR = "T1/T1_brain.nii.gz", "T2_FLAIR/T2_FLAIR_brain.nii.gz"


@pytest.fixture
def folder(tmp_path, write_image):
    for visit in (2, 3):
        write_image(tmp_path / f"1000012_20252_{visit}_0/{T1}")
        write_image(tmp_path / f"1000012_20253_{visit}_0/{FLAIR}")
    write_image(tmp_path / f"more/1000037_20252_2_0/{T1}")
    write_image(tmp_path / f"1000041/20252_2_0/{T1}")
    return tmp_path


def test_visits_belong_to_one_patient(folder):
    manifest = import_ukb(folder, modalities="t1")
    manifest.check()
    assert manifest.patients("training") == ["1000012", "1000037", "1000041"]
    items = manifest.sections["training"]
    assert [(item["case"], item["columns"]["visit"]) for item in items[:2]] == [
        ("1000012_2_0", 2),
        ("1000012_3_0", 3),
    ]
    assert items[2]["image"] == [f"more/1000037_20252_2_0/{T1}"]


def test_a_visit_without_flair_is_refused_or_left_out(folder):
    with pytest.raises(ValueError, match=r"2 lack one: 1000037 visit 2 \(T2_FLAIR"):
        import_ukb(folder)
    manifest = import_ukb(folder, partial=True)
    manifest.check()
    assert manifest.modalities == ("t1", "flair")
    assert [item["case"] for item in manifest.sections["training"]] == ["1000012_2_0", "1000012_3_0"]


def test_modalities_keep_the_wanted_order(folder):
    manifest = import_ukb(folder, modalities="flair, t1", partial=True)
    assert [path.split("/")[1] for path in manifest.sections["training"][0]["image"]] == ["T2_FLAIR", "T1"]


def test_zipped_files_are_refused_with_the_remedy(folder):
    (folder / "1000055_20252_2_0.zip").touch()
    with pytest.raises(ValueError, match=r"unzip 1000055_20252_2_0\.zip -d 1000055_20252_2_0"):
        import_ukb(folder, modalities="t1")
    (folder / "1000012_20252_2_0.zip").touch()  # unpacked beside it
    (folder / "1000055_20252_2_0.zip").unlink()
    assert len(import_ukb(folder, modalities="t1").sections["training"]) == 4


def test_refusals(folder):
    with pytest.raises(ValueError, match="modalities must be t1, flair or both; found 't2'"):
        import_ukb(folder, modalities="t2")
    with pytest.raises(FileNotFoundError, match="no visit has all of"):
        import_ukb(folder, brain=False)
    (folder / "more/1000012_20252_2_0").mkdir()
    with pytest.raises(ValueError, match="one folder per field"):
        import_ukb(folder)


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_ukb(folder, partial=True)) == []
