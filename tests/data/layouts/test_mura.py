import pytest

from medvol.data.layouts.mura import import_mura

TRAIN = (
    "train/XR_WRIST/patient00001/study1_positive/image1.png",
    "train/XR_WRIST/patient00001/study1_positive/image2.png",
    "train/XR_ELBOW/patient00001/study1_negative/image1.png",
)
VALID = ("valid/XR_HAND/patient11185/study1_negative/image1.png",)


@pytest.fixture
def folder(tmp_path, write_image):
    for file, paths in (("train_image_paths.csv", TRAIN), ("valid_image_paths.csv", VALID)):
        (tmp_path / file).write_text("".join(f"MURA-v1.1/{path}\n" for path in paths))
        for path in paths:
            write_image(tmp_path / path)
    return tmp_path


def test_the_study_is_labeled(folder):
    manifest = import_mura(folder)
    manifest.check()
    wrist, again, elbow = manifest.sections["training"]
    assert wrist["targets"] == again["targets"] == {"abnormality": "abnormal"}
    assert elbow["targets"] == {"abnormality": "normal"}
    assert wrist["columns"] == again["columns"] == {"study": "XR_WRIST/patient00001/study1", "region": "wrist"}
    assert elbow["columns"]["study"] != wrist["columns"]["study"]


def test_a_patient_is_one_over_all_regions(folder):
    manifest = import_mura(folder)
    assert manifest.patients("training") == ["patient00001"]
    assert manifest.patients("validation") == ["patient11185"]


def test_a_list_is_missing(folder):
    (folder / "valid_image_paths.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"valid_image_paths\.csv is missing"):
        import_mura(folder)


def test_another_path_is_refused(folder):
    (folder / "train_image_paths.csv").write_text("MURA-v1.1/train/XR_WRIST/patient00001/study1/image1.png\n")
    with pytest.raises(ValueError, match="study1_positive"):
        import_mura(folder)


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_mura(folder)) == []
