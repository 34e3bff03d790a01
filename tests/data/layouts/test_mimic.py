import gzip

import pytest

from medvol.data.layouts.chexpert import OBSERVATIONS
from medvol.data.layouts.mimic import import_mimic

PLACE = "files/p10/p10000032/s50414267/"


@pytest.fixture
def folder(tmp_path, write_image):
    def table(what, *lines):
        (tmp_path / f"mimic-cxr-2.0.0-{what}.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))

    table(
        "split",
        "dicom_id,study_id,subject_id,split",
        "aa-1,50414267,10000032,train",
        "aa-2,50414267,10000032,train",
        "bb-1,53189527,10000764,validate",
        "cc-1,59999999,10000935,test",
    )
    table("metadata", "dicom_id,subject_id,study_id,ViewPosition", "aa-1,1,1,PA", "aa-2,1,1,LATERAL", "bb-1,1,1,")
    states = {"Edema": "-1.0", "Pneumonia": "0.0", "Fracture": "1.0"}
    first = ",".join(states.get(name, "") for name in OBSERVATIONS)
    second = ",".join("1.0" if name == "No Finding" else "" for name in OBSERVATIONS)
    head = "subject_id,study_id," + ",".join(OBSERVATIONS)
    table("chexpert", head, f"10000032,50414267,{first}", f"10000764,53189527,{second}")
    for path in ("aa-1", "aa-2"):
        write_image(tmp_path / f"{PLACE}{path}.jpg")
    write_image(tmp_path / "files/p10/p10000764/s53189527/bb-1.jpg")
    write_image(tmp_path / "files/p10/p10000935/s59999999/cc-1.jpg")
    return tmp_path


def test_tables_meet(folder):
    manifest = import_mimic(folder)
    manifest.check()
    assert {section: manifest.patients(section) for section in manifest.sections} == {
        "training": ["p10000032"],
        "validation": ["p10000764"],
        "test": ["p10000935"],
    }
    first, second = manifest.sections["training"]
    assert first["image"] == PLACE + "aa-1.jpg"
    assert first["columns"] == {"view": "PA", "study": "s50414267"}
    assert first["targets"] == second["targets"]  # labels belong to a study
    assert first["targets"] == {"Edema": "uncertain", "Pneumonia": "negative", "Fracture": "positive"}


def test_a_study_without_labels_is_unknown(folder):
    assert "targets" not in import_mimic(folder).sections["test"][0]


def test_reports_are_paths(folder):
    item = import_mimic(folder, reports=True).sections["training"][0]
    assert item["columns"]["report"] == "files/p10/p10000032/s50414267.txt"


def test_no_labels_on_request(folder):
    (folder / "mimic-cxr-2.0.0-chexpert.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"mimic-cxr-\*-chexpert\.csv"):
        import_mimic(folder)
    manifest = import_mimic(folder, labeler="none")
    assert manifest.targets == {}
    assert "targets" not in manifest.sections["training"][0]


@pytest.mark.parametrize(("option", "value"), [("labeler", "chexbert"), ("suffix", ".png")])
def test_unknown_options_are_refused(folder, option, value):
    with pytest.raises(ValueError, match=f"{option} must be one of .*; found '{value}'"):
        import_mimic(folder, **{option: value})


def test_dicom_files_are_looked_for_where_asked(folder):
    with pytest.raises(FileNotFoundError, match=r"for instance files/p10/p10000032/s50414267/aa-1\.dcm"):
        import_mimic(folder, suffix=".dcm")


def test_an_unknown_part_is_refused(folder):
    text = "dicom_id,study_id,subject_id,split\naa-1,50414267,10000032,dev\n"
    (folder / "mimic-cxr-2.0.0-split.csv").write_text(text)
    (folder / "mimic-cxr-2.0.0-split.csv.gz").unlink()
    with pytest.raises(ValueError, match="found 'dev'"):
        import_mimic(folder)


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_mimic(folder)) == []
