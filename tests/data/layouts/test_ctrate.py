import pytest

from medvol.data.layouts.ctrate import import_ctrate


@pytest.fixture
def folder(tmp_path, write_image):
    labels, metadata = (tmp_path / f"dataset/{name}" for name in ("multi_abnormality_labels", "metadata"))
    labels.mkdir(parents=True)
    metadata.mkdir()
    head = "VolumeName,Cardiomegaly,Lung nodule\n"
    train = "train_1_a_1.nii.gz,0,1\ntrain_1_a_2.nii.gz,0,1\ntrain_2_b_1.nii.gz,1,0\n"
    (labels / "train_predicted_labels.csv").write_text(head + train)
    (labels / "valid_predicted_labels.csv").write_text(head + "valid_1_a_1.nii.gz,0,0\n")
    people = "VolumeName,PatientSex,PatientAge\ntrain_1_a_1.nii.gz,M,054Y\n"
    (metadata / "train_metadata.csv").write_text(people)
    for path in ("train_1/train_1_a/train_1_a_1", "train_1/train_1_a/train_1_a_2", "train_2/train_2_b/train_2_b_1"):
        write_image(tmp_path / f"dataset/train/{path}.nii.gz")
    write_image(tmp_path / "dataset/valid/valid_1/valid_1_a/valid_1_a_1.nii.gz")
    return tmp_path


def test_names_tell_patient_scan_and_reconstruction(folder):
    manifest = import_ctrate(folder)
    manifest.check()
    assert {section: manifest.patients(section) for section in manifest.sections} == {
        "training": ["train_1", "train_2"],
        "validation": ["valid_1"],
        "test": [],
    }
    first, second, third = manifest.sections["training"]
    assert first["columns"] == {"study": "train_1_a", "reconstruction": 1, "sex": "M", "age": 54}
    assert second["columns"] == {"study": "train_1_a", "reconstruction": 2}
    assert first["targets"] == second["targets"] == {"Cardiomegaly": "absent", "Lung nodule": "present"}
    assert third["targets"]["Cardiomegaly"] == "present"


def test_the_inner_folder_and_the_fixed_volumes(folder):
    (folder / "dataset/train").rename(folder / "dataset/train_fixed")
    manifest = import_ctrate(folder / "dataset")
    manifest.check()
    image = manifest.sections["training"][0]["image"]
    assert image == "train_fixed/train_1/train_1_a/train_1_a_1.nii.gz"


def test_the_training_part_alone(folder):
    (folder / "dataset/multi_abnormality_labels/valid_predicted_labels.csv").unlink()
    assert import_ctrate(folder).sections["validation"] == []


def test_refusals(folder):
    table = folder / "dataset/multi_abnormality_labels/train_predicted_labels.csv"
    text = table.read_text()
    table.write_text(text.replace("train_2_b_1", "train_2_1"))
    with pytest.raises(ValueError, match=r"called like train_1_a_1\.nii\.gz; found train_2_1"):
        import_ctrate(folder)
    table.write_text(text.replace(",1,0", ",0.7,0"))
    with pytest.raises(ValueError, match=r"found 0\.7"):
        import_ctrate(folder)
    table.write_text(text.replace("Lung nodule", "Nodule"))
    with pytest.raises(ValueError, match=r"valid_predicted_labels\.csv must have the columns"):
        import_ctrate(folder)
    with pytest.raises(FileNotFoundError, match="multi_abnormality_labels"):
        import_ctrate(folder / "dataset/train")


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_ctrate(folder)) == []
