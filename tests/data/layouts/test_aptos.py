import pytest

from medvol.data.layouts.aptos import import_aptos


@pytest.fixture
def folder(tmp_path, write_image):
    (tmp_path / "train.csv").write_text("id_code,diagnosis\n000c1434d8d7,2\n001639a390f0,4\n002c21358ce6,0\n")
    for name in ("000c1434d8d7", "001639a390f0", "002c21358ce6"):
        write_image(tmp_path / f"train_images/{name}.png", channels=3)
    return tmp_path


def test_grades_have_names(folder):
    manifest = import_aptos(folder, patient="case")
    manifest.check()
    found = [item["targets"]["retinopathy"] for item in manifest.sections["training"]]
    assert found == ["moderate", "proliferative", "none"]
    assert manifest.patients("training") == ["000c1434d8d7", "001639a390f0", "002c21358ce6"]


def test_the_colors_are_channels_by_name(folder):
    item = import_aptos(folder, patient="case").items("training", modalities=["green"])[0]
    assert item["channels"] == [1]


def test_patients_are_never_guessed(folder):
    with pytest.raises(ValueError, match=r"the option patient must be .*train_images/000c1434d8d7"):
        import_aptos(folder)
    assert import_aptos(folder, patient=r"/(\d{3})").patients("training") == ["000", "001", "002"]


def test_refusals(folder):
    (folder / "train.csv").write_text("id_code,diagnosis\n000c1434d8d7,5\n")
    with pytest.raises(ValueError, match="found 5"):
        import_aptos(folder, patient="case")
    (folder / "train.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"train\.csv"):
        import_aptos(folder, patient="case")


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_aptos(folder, patient="case")) == []
