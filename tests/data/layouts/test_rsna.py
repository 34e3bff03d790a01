import json

import pytest

from medvol.data.layouts.rsna import import_rsna

LABELS = """patientId,x,y,width,height,Target
aaa,,,,,0
bbb,264.0,152.0,213.0,379.0,1
bbb,562.0,152.0,256.0,453.0,1
ccc,,,,,0
"""
INFO = """patientId,class
aaa,No Lung Opacity / Not Normal
bbb,Lung Opacity
bbb,Lung Opacity
ccc,Normal
"""


@pytest.fixture
def folder(tmp_path, write_image):
    (tmp_path / "stage_2_train_labels.csv").write_text(LABELS)
    (tmp_path / "stage_2_detailed_class_info.csv").write_text(INFO)
    for name in ("aaa", "bbb", "ccc"):
        write_image(tmp_path / f"stage_2_train_images/{name}.dcm")
    return tmp_path


def test_boxes_are_gathered_by_image(folder):
    manifest = import_rsna(folder)
    manifest.check()
    items = {item["patient"]: item for item in manifest.sections["training"]}
    assert list(items) == ["aaa", "bbb", "ccc"]
    assert items["bbb"]["targets"] == {"pneumonia": "present"}
    assert items["bbb"]["columns"] == {"num_boxes": 2, "boxes": "264 152 213 379; 562 152 256 453"}
    assert items["aaa"]["columns"] == {"num_boxes": 0}
    assert items["aaa"]["targets"] == items["ccc"]["targets"] == {"pneumonia": "absent"}
    assert [items[name]["group"] for name in "aaa bbb ccc".split()] == [
        "No Lung Opacity / Not Normal",
        "Lung Opacity",
        "Normal",
    ]


def test_one_positive_row_makes_an_image_positive(folder):
    (folder / "stage_2_train_labels.csv").write_text(LABELS + "ccc,1,2,3,4,1\n")
    items = {item["patient"]: item for item in import_rsna(folder).sections["training"]}
    assert items["ccc"]["targets"] == {"pneumonia": "present"}
    assert items["ccc"]["columns"] == {"num_boxes": 1, "boxes": "1 2 3 4"}


def test_the_mapping_names_the_patients_of_chestxray14(folder):
    mapping = [
        {"subset_img_id": i, "img_id": f"0001{n}_00{n % 2}.png"} for i, n in (("aaa", 10), ("bbb", 11), ("ccc", 10))
    ]
    (folder / "pneumonia-challenge-dataset-mappings_2018.json").write_text(json.dumps(mapping))
    manifest = import_rsna(folder)
    assert manifest.patients("training") == ["110", "111"]
    assert manifest.sections["training"][1]["columns"]["nih_image"] == "000111_001.png"


@pytest.mark.parametrize("content", ["[]", "{", '[{"img_id": 1}]'])
def test_a_mapping_that_cannot_be_used_is_refused(folder, content):
    (folder / "pneumonia-challenge-dataset-mappings_2018.json").write_text(content)
    with pytest.raises(ValueError, match="take it out of the folder"):
        import_rsna(folder)


def test_refusals(folder):
    (folder / "stage_2_detailed_class_info.csv").write_text(INFO.replace("ccc,Normal\n", ""))
    with pytest.raises(ValueError, match="1 have none, for instance ccc"):
        import_rsna(folder)
    (folder / "stage_2_detailed_class_info.csv").write_text(INFO.replace("ccc,Normal", "ccc,Fine"))
    with pytest.raises(ValueError, match="found 'Fine'"):
        import_rsna(folder)
    (folder / "stage_2_train_labels.csv").write_text(LABELS.replace("Target", "target"))
    with pytest.raises(ValueError, match="missing Target"):
        import_rsna(folder)


def test_the_result_passes_verify(folder, errors_of):
    assert errors_of(import_rsna(folder)) == []
