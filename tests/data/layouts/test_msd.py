import json
import os
from pathlib import Path

import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts.msd import import_msd, numbered_names

DATA = os.environ.get("MEDVOL_TEST_DATA")
HEAD = {
    "name": "Task", "description": "d", "reference": "r", "licence": "CC", "tensorImageSize": "4D",
    "modality": {"0": "FLAIR", "1": "T1w"}, "labels": {"0": "background", "1": "edema", "2": "tumor"},
    "numTraining": 2, "numTest": 1,
    "training": [{"image": f"./imagesTr/B_{i}.nii.gz", "label": f"./labelsTr/B_{i}.nii.gz"} for i in (1, 2)],
    "test": ["./imagesTs/B_3.nii.gz"],
}  # fmt: skip


def write(folder, **changes):
    head = {key: value for key, value in {**HEAD, **changes}.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(head))
    return folder


def test_a_task(tmp_path):
    manifest = import_msd(write(tmp_path))
    assert manifest.name == "Task"
    assert manifest.modalities == ("FLAIR", "T1w")
    assert manifest.label_map == {"background": 0, "edema": 1, "tumor": 2}
    assert (manifest.licence, manifest.reference, manifest.description) == ("CC", "r", "d")
    assert manifest.sections == {
        "training": [
            {"image": f"imagesTr/B_{i}.nii.gz", "label": f"labelsTr/B_{i}.nii.gz", "patient": f"B_{i}"} for i in (1, 2)
        ],
        "validation": [],
        "test": [{"image": "imagesTs/B_3.nii.gz", "patient": "B_3"}],
    }
    assert load_manifest(write_manifest(tmp_path / "m.json", manifest)) == manifest


def test_both_orders_and_both_names_of_the_channels(tmp_path):
    labels = {"background": 0, "edema": 1, "tumor": 2}
    manifest = import_msd(write(tmp_path, labels=labels, modality=None, channel_names={"FLAIR": 0, "T1w": 1}))
    assert manifest == import_msd(write(tmp_path))
    assert numbered_names({"1": "b", "0": "a"}, "x") == {0: "a", 1: "b"}
    for bad in (["a"], {"0": "a", "1": "a"}, {"a": "b"}, {"0": "a", "x": "b"}, {"a": True}):
        with pytest.raises(ValueError, match="numbers to different names"):
            numbered_names(bad, "labels")


def test_names_and_patients(tmp_path):
    manifest = import_msd(write(tmp_path), name="own", patient=r"/B_(\d)")
    assert manifest.name == "own"
    assert manifest.patients("training") == ["1", "2"]
    with pytest.raises(ValueError, match="B"):  # one patient in training and test
        import_msd(write(tmp_path), patient="(B)_")
    with pytest.raises(ValueError, match="finds none"):
        import_msd(write(tmp_path), patient=r"(C_\d)")


def test_files_of_apple_are_no_cases(tmp_path):
    training = [*HEAD["training"], {"image": "./imagesTr/._B_1.nii.gz", "label": "./labelsTr/._B_1.nii.gz"}]
    for count in (2, 3):
        manifest = import_msd(write(tmp_path, training=training, numTraining=count))
        assert [item["patient"] for item in manifest.sections["training"]] == ["B_1", "B_2"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"numTraining": 3}, r"'numTraining' is 3, and 'training' lists 2"),
        ({"numTest": 2}, r"'numTest' is 2, and 'test' lists 1"),
        ({"modality": None}, r"must have the key 'modality' or 'channel_names'; found name"),
        ({"training": [], "test": [], "numTraining": 0, "numTest": 0}, "both empty"),
        ({"training": {}}, "must be a list"),
        ({"test": ["../B_3.nii.gz"]}, "must be inside"),
        ({"test": ["/x/B_3.nii.gz"]}, "must be inside"),
        ({"labels": {"0": "edema"}, "training": [{"image": ""}] * 2}, "must be inside"),
    ],
)
def test_refusals(tmp_path, changes, match):
    with pytest.raises(ValueError, match=match):
        import_msd(write(tmp_path, **changes))


def test_no_json(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has the file dataset.json; there is none in"):
        import_msd(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(ValueError, match="must be JSON"):
        import_msd(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(ValueError, match="must hold a JSON object; found list"):
        import_msd(tmp_path)


@pytest.mark.skipif(not DATA, reason="MEDVOL_TEST_DATA does not name a folder with real data")
def test_the_real_hippocampus():
    manifest = import_msd(Path(DATA) / "hippocampus")
    assert {section: len(items) for section, items in manifest.sections.items()} == {
        "training": 156, "validation": 38, "test": 1,
    }  # fmt: skip
    assert manifest.label_map == {"background": 0, "Anterior": 1, "Posterior": 2}
    manifest.check()
