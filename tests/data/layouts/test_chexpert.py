import pytest

from medvol.data.layouts.chexpert import OBSERVATIONS, import_chexpert

HEAD = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *OBSERVATIONS]


def row(path, *person, **cells):
    return ",".join([path, *person, *(cells.get(name.replace(" ", "_"), "") for name in OBSERVATIONS)])


@pytest.fixture
def folder(tmp_path, write_image):
    release = "CheXpert-v1.0-small/"
    rows = [
        ("train/patient00001/study1/view1_frontal.jpg", "Female", "68", "Frontal", "AP"),
        ("train/patient00001/study2/view1_frontal.jpg", "Female", "69", "Frontal", "PA"),
        ("train/patient00002/study1/view2_lateral.jpg", "Unknown", "0", "Lateral", ""),
    ]
    cells = [
        {"No_Finding": "1.0", "Support_Devices": "1.0"},
        {"Edema": "-1.0", "Cardiomegaly": "0.0", "Pleural_Effusion": "1.0"},
        {"Support_Devices": "1.0"},
    ]
    lines = [row(release + r[0], *r[1:], **c) for r, c in zip(rows, cells, strict=True)]
    (tmp_path / "train.csv").write_text("\n".join([",".join(HEAD), *lines]))
    valid = "valid/patient64541/study1/view1_frontal.jpg"
    line = row(release + valid, "Male", "73", "Frontal", "AP", **{n.replace(" ", "_"): "0" for n in OBSERVATIONS})
    (tmp_path / "valid.csv").write_text("\n".join([",".join(HEAD), line]))
    test = "test/patient64741/study1/view1_lateral.jpg"
    (tmp_path / "test_labels.csv").write_text("\n".join([",".join(["Path", *OBSERVATIONS]), row(test, Fracture="1")]))
    for path in (*(r[0] for r in rows), valid, test):
        write_image(tmp_path / path)
    return tmp_path


def test_four_states(folder):
    manifest = import_chexpert(folder)
    manifest.check()
    clear, edema, device = (item["targets"] for item in manifest.sections["training"])
    assert manifest.targets["Edema"] == ["negative", "positive", "uncertain"]
    assert clear == {"No Finding": "positive", "Support Devices": "positive"}
    assert edema == {"Edema": "uncertain", "Cardiomegaly": "negative", "Pleural Effusion": "positive"}
    assert device == {"Support Devices": "positive"}


def test_no_finding_is_negative_only_where_the_definition_says_so(folder):
    clear, edema, device = import_chexpert(folder, derive_no_finding=True).sections["training"]
    assert clear["targets"]["No Finding"] == "positive"
    assert edema["targets"]["No Finding"] == "negative"
    assert "No Finding" not in device["targets"]  # a device is no finding


def test_sections_patients_and_columns(folder):
    manifest = import_chexpert(folder)
    assert [len(items) for items in manifest.sections.values()] == [3, 1, 1]
    assert manifest.patients("training") == ["patient00001", "patient00002"]
    first, _, third = manifest.sections["training"]
    assert first["case"] == "patient00001_study1_view1_frontal"
    study = {"study": "patient00001_study1"}
    assert first["columns"] == {"view": "frontal", "projection": "AP", "sex": "F", "age": 68, **study}
    assert third["columns"] == {"view": "lateral", "age": 0, "study": "patient00002_study1"}
    assert manifest.sections["test"][0]["columns"]["view"] == "lateral"
    assert manifest.split == {"source": ["train.csv", "valid.csv", "test_labels.csv"]}


def test_refusals(folder):
    table = (folder / "train.csv").read_text()
    (folder / "train.csv").write_text(table.replace(",-1.0", ",-2"))
    with pytest.raises(ValueError, match=r"'Edema' in train\.csv .* found -2"):
        import_chexpert(folder)
    (folder / "train.csv").write_text(table.replace("patient00002", "p2"))
    with pytest.raises(ValueError, match=r"a path in train\.csv must be like"):
        import_chexpert(folder)
    (folder / "train.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"needs the table train\.csv"):
        import_chexpert(folder)


def test_a_patient_in_two_parts_is_refused(folder):
    table = (folder / "valid.csv").read_text().replace("patient64541", "patient00001")
    (folder / "valid.csv").write_text(table)
    with pytest.raises(ValueError, match="patient00001"):
        import_chexpert(folder)


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_chexpert(folder)) == []
