import pytest

from medvol.data.layouts.chestxray import FINDINGS, import_chestxray

TABLE = """Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position
00000001_000.png,Cardiomegaly|Effusion,0,1,057Y,M,PA
00000001_001.png,No Finding,1,1,58,M,AP
00000002_000.png,Hernia,0,2,412,F,PA
"""


@pytest.fixture
def folder(tmp_path, write_image):
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text(TABLE)
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    (tmp_path / "test_list.txt").write_text("00000002_000.png")
    write_image(tmp_path / "images_001/images/00000001_000.png")
    write_image(tmp_path / "images_002/images/00000001_001.png")
    write_image(tmp_path / "images_002/images/00000002_000.png")
    return tmp_path


def test_official_lists_are_the_sections(folder):
    manifest = import_chestxray(folder, name="cxr14")
    manifest.check()
    assert manifest.name == "cxr14"
    assert [len(items) for items in manifest.sections.values()] == [2, 0, 1]
    assert manifest.patients("training") == ["1"]
    first = manifest.sections["training"][0]
    assert first["image"] == "images_001/images/00000001_000.png"
    assert first["columns"] == {"view": "PA", "sex": "M", "age": 57, "follow_up": 0}
    assert "age" not in manifest.sections["test"][0]["columns"]  # 412 years


def test_every_finding_is_known(folder):
    first, second = import_chestxray(folder).sections["training"]
    assert len(FINDINGS) == 14
    assert set(first["targets"]) == {*FINDINGS, "No Finding"}
    assert {k for k, v in first["targets"].items() if v == "present"} == {"Cardiomegaly", "Effusion"}
    assert {k for k, v in second["targets"].items() if v == "present"} == {"No Finding"}


def test_no_list_is_refused_or_asked_for(folder):
    (folder / "test_list.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"test_list\.txt is missing"):
        import_chestxray(folder)
    assert len(import_chestxray(folder, official_split=False).sections["training"]) == 3


def test_an_image_in_no_list_is_refused(folder):
    (folder / "test_list.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"1 do not, for instance 00000002_000\.png"):
        import_chestxray(folder)


def test_an_unknown_finding_is_refused(folder):
    (folder / "Data_Entry_2017_v2020.csv").write_text(TABLE.replace("Hernia", "Hernya"))
    with pytest.raises(ValueError, match="found Hernya"):
        import_chestxray(folder)


def test_images_elsewhere_are_refused_with_the_place(folder):
    for file in folder.rglob("*.png"):
        file.unlink()
    with pytest.raises(FileNotFoundError, match=r"images must be at images/ or images_001"):
        import_chestxray(folder)


def test_part_of_a_download(folder):
    (folder / "images_001/images/00000001_000.png").unlink()
    assert len(import_chestxray(folder).sections["training"]) == 2
    assert len(import_chestxray(folder, partial=True).sections["training"]) == 1


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_chestxray(folder)) == []
