import pytest

from medvol.data.layouts.covidx import import_covidx

TRAIN = "3 a (1).png COVID-19 cohen\n3 b.png pneumonia rsna\n4 c.png normal rsna\n"


@pytest.fixture
def folder(tmp_path, write_image):
    (tmp_path / "train.txt").write_text(TRAIN)
    (tmp_path / "test.txt").write_text("9 d.png normal rsna\n\n")
    for path in ("train/a (1).png", "train/b.png", "train/c.png", "test/d.png"):
        write_image(tmp_path / path)
    return tmp_path


def test_three_classes(folder):
    manifest = import_covidx(folder)
    manifest.check()
    assert manifest.targets == {"pneumonia": ["normal", "pneumonia", "COVID-19"]}
    first = manifest.sections["training"][0]
    assert first["image"] == "train/a (1).png"
    assert first["case"] == "train_a (1).png"
    assert first["targets"] == {"pneumonia": "COVID-19"}
    assert first["group"] == first["columns"]["source"] == "cohen"
    assert [len(items) for items in manifest.sections.values()] == [3, 0, 1]


def test_equal_numbers_of_two_sources_are_two_patients(folder):
    assert import_covidx(folder).patients("training") == ["cohen-3", "rsna-3", "rsna-4"]


def test_two_classes_validation_and_a_version(folder, write_image):
    (folder / "train_v7B.txt").write_text("3 a (1).png positive cohen\n4 c.png negative rsna\n")
    (folder / "test_v7B.txt").write_text("9 d.png negative rsna\n")
    (folder / "val_v7B.txt").write_text("8 e.png negative rsna\n")
    write_image(folder / "val/e.png")
    manifest = import_covidx(folder, suffix="_v7B")
    manifest.check()
    assert manifest.targets == {"covid19": ["negative", "positive"]}
    assert manifest.patients("validation") == ["rsna-8"]


@pytest.mark.parametrize(
    ("line", "message"),
    [("3 a.png COVID-19\n", "must be 'patient file class source'"), ("5 e.png positive cohen\n", "do not mix lists")],
)
def test_other_lines_are_refused(folder, line, message):
    (folder / "train.txt").write_text(TRAIN + line)
    with pytest.raises(ValueError, match=message):
        import_covidx(folder)


def test_lists_are_needed(folder):
    with pytest.raises(FileNotFoundError, match=r"needs train_v9\.txt .* found test\.txt, train\.txt"):
        import_covidx(folder, suffix="_v9")


def test_a_patient_in_two_parts_is_refused(folder):
    (folder / "test.txt").write_text("4 d.png normal rsna\n")
    with pytest.raises(ValueError, match="'rsna-4' in test and training"):
        import_covidx(folder)


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_covidx(folder)) == []
