import json

import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts.bids import import_bids


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def study(tmp_path):
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "Study", "License": "CC0"}))
    lines = ["participant_id\tage\tsex\tHand edness", "sub-01\t41\tF\tright", "sub-02\tn/a\tM\tleft"]
    (tmp_path / "participants.tsv").write_text("\n".join(lines) + "\n")
    for session in ("01", "02"):
        start = f"sub-01/ses-{session}/anat/sub-01_ses-{session}"
        touch(tmp_path, f"{start}_T1w.nii.gz", f"{start}_FLAIR.nii.gz", f"{start}_T1w.json")
    touch(tmp_path, "sub-02/anat/sub-02_T1w.nii.gz", "sub-02/func/sub-02_task-rest_bold.nii.gz")
    touch(tmp_path, "derivatives/masks/sub-01/ses-02/anat/sub-01_ses-02_space-T1w_desc-lesion_mask.nii.gz")
    touch(tmp_path, "derivatives/masks/sub-02/anat/sub-02_T1w.nii.gz", "sourcedata/sub-01_T1w.nii.gz")
    return tmp_path


def test_sessions_are_items(study):
    manifest = import_bids(study, suffixes="T1w")
    assert (manifest.name, manifest.licence, manifest.modalities) == ("Study", "CC0", ("T1w",))
    assert manifest.sections["training"] == [
        {
            "image": f"sub-01/ses-{session}/anat/sub-01_ses-{session}_T1w.nii.gz",
            "patient": "sub-01",
            "case": f"sub-01_ses-{session}",
            "columns": {"session": session, "age": 41, "sex": "F", "Hand_edness": "right"},
        }
        for session in ("01", "02")
    ] + [
        {
            "image": "sub-02/anat/sub-02_T1w.nii.gz",
            "patient": "sub-02",
            "case": "sub-02",
            "columns": {"sex": "M", "Hand_edness": "left"},
        }
    ]
    assert load_manifest(write_manifest(study / "m.json", manifest)) == manifest
    manifest.check()


def test_several_suffixes_are_channels_and_incomplete_sessions_are_counted(study):
    manifest = import_bids(study, suffixes=["FLAIR", "T1w"], modalities=["flair", "t1"], columns=["sex"], name="n")
    assert manifest.modalities == ("flair", "t1")
    assert [item["case"] for item in manifest.sections["training"]] == ["sub-01_ses-01", "sub-01_ses-02"]
    assert manifest.sections["training"][0]["image"][0].endswith("_FLAIR.nii.gz")
    assert manifest.sections["training"][0]["columns"] == {"session": "01", "sex": "F"}
    assert manifest.provenance[0]["incomplete"] == 1
    touch(study, "sub-02/anat/sub-02_T2w.nii.gz")
    with pytest.raises(ValueError, match="none has them all"):
        import_bids(study, suffixes=["FLAIR", "T2w"])


def test_labels(study):
    options = {"suffixes": "T1w", "label_map": {"lesion": 1}}
    for pattern in (
        "derivatives/masks/sub-{subject}/**/{case}_*_mask.nii.gz",
        "derivatives/masks/sub-{subject}/ses-{session}/anat/{case}_space-T1w_desc-lesion_mask.nii.gz",
    ):
        manifest = import_bids(study, labels=pattern, **options)
        found = {item["case"]: item.get("label") for item in manifest.sections["training"]}
        assert found["sub-01_ses-02"].endswith("desc-lesion_mask.nii.gz")
        assert found["sub-01_ses-01"] is None
        assert manifest.provenance[0]["unlabelled"] == 2
    with pytest.raises(FileNotFoundError, match="finds none, for instance for sub-01_ses-01"):
        import_bids(study, labels="derivatives/{case}.nii.gz", **options)
    touch(study, "derivatives/masks/sub-01/ses-02/anat/sub-01_ses-02_desc-b_mask.nii.gz")
    with pytest.raises(ValueError, match=r"one label; .*desc-b_mask.nii.gz, "):
        import_bids(study, labels="derivatives/**/{case}_*_mask.nii.gz", **options)


def test_entities_choose(study):
    touch(study, "sub-02/anat/sub-02_acq-mprage_run-1_T1w.nii.gz", "sub-02/anat/sub-02_acq-mprage_run-2_T1w.nii.gz")
    with pytest.raises(ValueError, match=r"sub-02 has 3: sub-02_T1w.nii.gz, .*choose with entities"):
        import_bids(study, suffixes="T1w")
    with pytest.raises(ValueError, match="sub-02 has 2"):
        import_bids(study, suffixes="T1w", entities={"acq": "mprage"})
    (item,) = import_bids(study, suffixes="T1w", entities={"acq": "mprage", "run": "2"}).sections["training"]
    assert item["image"].endswith("sub-02_acq-mprage_run-2_T1w.nii.gz")
    assert len(import_bids(study, suffixes="T1w", entities={"acq": None}).sections["training"]) == 3


def test_refusals(study):
    with pytest.raises(FileNotFoundError, match=r"found none with T9w.*there are: FLAIR, T1w, bold"):
        import_bids(study, suffixes="T9w")
    with pytest.raises(ValueError, match="did you mean 'age'"):
        import_bids(study, suffixes="T1w", columns=["agee"])
    (study / "participants.tsv").write_text("participant_id\tage\nsub-01\t41\n")
    with pytest.raises(ValueError, match="it has none for sub-02"):
        import_bids(study, suffixes="T1w")
    (study / "participants.tsv").unlink()
    assert "columns" not in import_bids(study, suffixes="T1w").sections["training"][2]
    with pytest.raises(FileNotFoundError, match=r"read from participants.tsv"):
        import_bids(study, suffixes="T1w", columns="age")
