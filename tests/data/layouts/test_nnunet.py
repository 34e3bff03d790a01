import json

import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts.nnunet import import_nnunet

HEAD = {
    "channel_names": {"0": "FLAIR", "1": "T1w"}, "labels": {"background": 0, "edema": 1, "tumor": 2},
    "file_ending": ".nii.gz", "numTraining": 3,
}  # fmt: skip


def make(folder, ending=".nii.gz", channels=2, **changes):
    for case in "abc":
        for part, letter in (("imagesTr", case), ("imagesTs", f"test_{case}")):
            (folder / part).mkdir(exist_ok=True)
            for k in range(channels):
                (folder / part / f"p{letter}_1_{k:04d}{ending}").touch()
        (folder / "labelsTr").mkdir(exist_ok=True)
        (folder / "labelsTr" / f"p{case}_1{ending}").touch()
    (folder / "imagesTr" / "._pa_1_0000.nii.gz").touch()
    head = {key: value for key, value in {**HEAD, **changes}.items() if value is not None}
    (folder / "dataset.json").write_text(json.dumps(head))
    return folder


def test_version_two(tmp_path):
    manifest = import_nnunet(make(tmp_path), name="n", patient=r"/(p[a-z_]+)_1")
    assert manifest.modalities == ("FLAIR", "T1w")
    assert manifest.label_map == HEAD["labels"]
    assert manifest.sections["training"][0] == {
        "image": ["imagesTr/pa_1_0000.nii.gz", "imagesTr/pa_1_0001.nii.gz"],
        "label": "labelsTr/pa_1.nii.gz",
        "case": "pa_1",
        "patient": "pa",
    }
    assert manifest.patients("test") == ["ptest_a", "ptest_b", "ptest_c"]
    assert "label" not in manifest.sections["test"][0]
    assert load_manifest(write_manifest(tmp_path / "m.json", manifest)) == manifest
    manifest.check()


def test_version_one_and_labels_of_the_test(tmp_path):
    make(tmp_path, channel_names=None, modality={"0": "FLAIR", "1": "T1w"}, labels={"0": "background", "1": "x"})
    (tmp_path / "labelsTs").mkdir()
    (tmp_path / "labelsTs" / "ptest_a_1.nii.gz").touch()
    manifest = import_nnunet(tmp_path, patient="case")
    assert manifest.label_map == {"background": 0, "x": 1}
    assert [item.get("label") for item in manifest.sections["test"]] == ["labelsTs/ptest_a_1.nii.gz", None, None]


def test_regions_are_kept_beside_one_name_per_integer(tmp_path):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
    manifest = import_nnunet(make(tmp_path, labels=labels), patient="case")
    assert manifest.label_map == {"background": 0, "label_1": 1, "label_2": 2, "enhancing": 3}
    assert manifest.provenance[0]["regions"] == {"whole": [1, 2, 3], "core": [2, 3]}


def test_a_colored_picture_holds_its_channels(tmp_path):
    make(tmp_path, ending=".png", channels=1, file_ending=".png")
    manifest = import_nnunet(tmp_path, patient="case")
    assert manifest.sections["training"][0]["image"] == "imagesTr/pa_1_0000.png"


def test_cases_that_the_head_lists(tmp_path):
    listed = {"x": {"images": ["./a/x_f.nii.gz", "./a/x_t.nii.gz"], "label": "./a/x_s.nii.gz"}}
    manifest = import_nnunet(make(tmp_path, dataset=listed, numTraining=1), patient="case")
    assert manifest.sections["training"] == [
        {"image": ["a/x_f.nii.gz", "a/x_t.nii.gz"], "label": "a/x_s.nii.gz", "case": "x", "patient": "x"}
    ]


def test_a_fold(tmp_path):
    make(tmp_path)
    folds = [{"train": ["pa_1"], "val": ["pb_1"]}, {"train": ["pb_1", "pc_1"], "val": ["pa_1"]}]
    (tmp_path / "splits_final.json").write_text(json.dumps(folds))
    manifest = import_nnunet(tmp_path, patient="case", fold=1)
    assert manifest.patients("training") == ["pb_1", "pc_1"]
    assert manifest.patients("validation") == ["pa_1"]
    assert manifest.split == {"official": "splits_final.json", "fold": 1}
    assert import_nnunet(tmp_path, patient="case", fold=0).provenance[0]["left_out"] == 1
    for bad in (2, -1, "x"):
        with pytest.raises(ValueError, match="it has 2 folds"):
            import_nnunet(tmp_path, patient="case", fold=bad)
    with pytest.raises(ValueError, match="section"):  # one patient on both sides
        import_nnunet(tmp_path, patient=r"/(p)", fold=0)
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": ["zz"], "val": []}]))
    with pytest.raises(ValueError, match="names zz"):
        import_nnunet(tmp_path, patient="case", fold=0)
    with pytest.raises(FileNotFoundError, match="option splits"):
        import_nnunet(tmp_path, patient="case", fold=0, splits=tmp_path / "no.json")


@pytest.mark.parametrize(
    ("remove", "add", "match"),
    [
        ("imagesTr/pb_1_0001.nii.gz", None, r"case 'pb_1' .*missing: imagesTr/pb_1_0001.nii.gz, too many: none"),
        ("labelsTr/pb_1.nii.gz", None, r"case 'pb_1' .*missing: labelsTr/pb_1.nii.gz"),
        (None, "imagesTr/pb_1_0002.nii.gz", r"case 'pb_1' .*too many: imagesTr/pb_1_0002.nii.gz"),
        (None, "labelsTr/pz_1.nii.gz", r"labelsTr/pz_1.nii.gz has none"),
    ],
)
def test_cases_that_do_not_fit(tmp_path, remove, add, match):
    make(tmp_path)
    if remove:
        (tmp_path / remove).unlink()
    if add:
        (tmp_path / add).touch()
    with pytest.raises(ValueError, match=match):
        import_nnunet(tmp_path, patient="case")


def test_other_refusals(tmp_path):
    with pytest.raises(ValueError, match="'numTraining' is 9, and there are 3"):
        import_nnunet(make(tmp_path, numTraining=9), patient="case")
    with pytest.raises(ValueError, match="never guessed"):
        import_nnunet(make(tmp_path))
    with pytest.raises(ValueError, match="integers or lists"):
        import_nnunet(make(tmp_path, labels={"background": 0, "x": ["1"]}), patient="case")
    with pytest.raises(FileNotFoundError, match=r"imagesTr/case_0000\.mha; found none"):
        import_nnunet(make(tmp_path, file_ending=".mha"), patient="case")
