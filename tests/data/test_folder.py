import nibabel as nib
import numpy as np
import pytest

from medvol.data import Manifest, folder_items, inference_items, write_manifest


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def volume(path, shape):
    nib.save(nib.Nifti1Image(np.zeros(shape, dtype=np.uint8), np.eye(4)), path)


def names(row):
    return [path.split("/")[-1] for path in row["image"]]


@pytest.mark.parametrize(
    ("files", "modalities", "expected"),
    [
        (
            ["b/b_flair.nii.gz", "b/b_t1ce.nii.gz", "b/b_t2.nii.gz"],
            ["t1ce", "flair"],
            ["b_t1ce.nii.gz", "b_flair.nii.gz"],
        ),
        (["b-1-t2f.nii.gz", "b-1-t1c.nii.gz"], ["flair", "t1ce"], ["b-1-t2f.nii.gz", "b-1-t1c.nii.gz"]),
        (["b-1-t1n.nii.gz", "b-1-t2w.nii.gz"], ["t2", "t1"], ["b-1-t2w.nii.gz", "b-1-t1n.nii.gz"]),
        (["b_T1.nii", "b_FLAIR.nii"], ["flair", "t1"], ["b_FLAIR.nii", "b_T1.nii"]),
        (["b/t1.nii.gz", "b/flair.nii.gz"], ["flair", "t1"], ["flair.nii.gz", "t1.nii.gz"]),
        (["b_0000.nii.gz", "b_0001.nii.gz"], ["flair", "t1"], ["b_0000.nii.gz", "b_0001.nii.gz"]),
        (["b_adc.nii.gz"], "adc", ["b_adc.nii.gz"]),
    ],
)
def test_layouts(tmp_path, files, modalities, expected):
    touch(tmp_path, *files, "b/b_seg.nii.gz", "b-1-seg.nii.gz", "notes.txt", "._b_t1.nii.gz")
    (row,) = folder_items(tmp_path, modalities)
    assert names(row) == expected
    assert row["case"] in ("b", "b-1")
    assert set(row) == {"image", "patient", "case", "identity"}


def test_cases_are_sorted_and_each_is_a_patient(tmp_path):
    touch(tmp_path, "c_t1.nii.gz", "a/a_t1.nii.gz", "b_t1.nii.gz")
    rows = folder_items(tmp_path, ["t1"])
    assert [(row["case"], row["patient"]) for row in rows] == [("a", 0), ("b", 1), ("c", 2)]
    assert len({row["identity"] for row in rows}) == 3


def test_one_file_per_case(tmp_path):
    volume(tmp_path / "a_1.nii.gz", (3, 4, 5, 2))
    (row,) = folder_items(tmp_path, ["flair", "t1"])
    assert row["image"] == str(tmp_path / "a_1.nii.gz")
    assert row["channels"] == [0, 1]
    with pytest.raises(ValueError, match=r"case 'a_1' must have 1 channels \(t1\).* has 2"):
        folder_items(tmp_path, ["t1"])
    volume(tmp_path / "a_1.nii.gz", (3, 4, 5))
    (row,) = folder_items(tmp_path, ["t1"])
    assert row["image"] == [str(tmp_path / "a_1.nii.gz")]
    assert "channels" not in row
    with pytest.raises(ValueError, match=r"must have 2 channels.* has 1"):
        folder_items(tmp_path, ["flair", "t1"])


@pytest.mark.parametrize(
    ("files", "modalities", "message"),
    [
        (["a_t1.nii.gz", "a_flair.nii.gz", "b_t1.nii.gz"], ["t1", "flair"], "case 'b'.*it has t1 and lacks flair"),
        (["a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz"], ["t1", "t2"], "case 'a'.*a_0001 = t2.*missing 0001"),
        (["a_0000.nii.gz", "a_0001.nii.gz"], ["t1"], "case 'a'.*found 0000, 0001, missing none"),
        (["scan_0007.nii.gz"], ["t1"], "missing 0000.*if the number belongs to the name"),
        (["a_t1.nii.gz", "b_0000.nii.gz"], ["t1"], "one layout.*a_t1.nii.gz.*b_0000.nii.gz"),
        (["a_t1.nii.gz", "b.nii.gz"], ["t1"], "one layout"),
        (["a_t1.nii.gz", "x/a_t1.nii"], ["t1"], "case 'a' must have one file per channel"),
        (["a-t1c.nii.gz", "a_t1ce.nii.gz"], ["t1ce"], "case 'a' must have one file per channel"),
        (["a_t1.nii.gz"], [], "at least one"),
        (["a_t1.nii.gz"], ["t1", "t1"], "different names"),
    ],
)
def test_ambiguous_and_incomplete_folders_are_refused(tmp_path, files, modalities, message):
    touch(tmp_path, *files)
    with pytest.raises(ValueError, match=message):
        folder_items(tmp_path, modalities)


def test_empty_and_missing_folders_are_refused(tmp_path):
    touch(tmp_path, "notes.txt", "a_seg.nii.gz", "x/y/too_deep.nii.gz")
    with pytest.raises(FileNotFoundError, match="found none in"):
        folder_items(tmp_path, ["t1"])
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        folder_items(tmp_path / "nowhere", ["t1"])


def test_inference_takes_the_folder_or_else_the_manifest_without_labels(tmp_path):
    touch(tmp_path, "a_t1.nii.gz", "a_seg.nii.gz")
    row = {"image": "a_t1.nii.gz", "label": "a_seg.nii.gz", "patient": "P"}
    manifest = Manifest("demo", tmp_path, ("t1",), {"background": 0, "tumor": 1}, False, {"test": [row]})
    file = write_manifest(tmp_path / "m.json", manifest)
    assert inference_items(tmp_path, "not read", None, "test", ["t1"]) == folder_items(tmp_path, ["t1"])
    (found,) = inference_items(None, file, None, "test", ["t1"])
    assert found["image"] == [str(tmp_path / "a_t1.nii.gz")]
    assert "label" not in found
