import nibabel as nib
import numpy as np
import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts.folder import create_manifest, import_folder


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_each_way_of_naming(tmp_path, suffix):
    files = {
        "end": ["p1_t1", "p1_flair", "p2_t1", "p2_flair"],
        "name": ["p1/t1", "p1/flair", "p2/t1", "p2/flair"],
        "number": ["p1_0000", "p1_0001", "p2_0000", "p2_0001"],
    }
    for way, names in files.items():
        touch(tmp_path / way, *(name + suffix for name in names))
        manifest = create_manifest(tmp_path / way, ".", modalities=["t1", "flair"], patient="case")
        assert [item["image"] for item in manifest.sections["training"]] == [
            [name + suffix for name in names[:2]], [name + suffix for name in names[2:]],
        ]  # fmt: skip
        assert [item["case"] for item in manifest.sections["training"]] == ["p1", "p2"]
        assert manifest.patients("training") == ["p1", "p2"]
        assert load_manifest(write_manifest(tmp_path / "m.json", manifest)) == manifest
        manifest.check()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".nii"])
def test_one_file_per_case(tmp_path, suffix):
    touch(tmp_path, f"b_1{suffix}", f"a_7{suffix}")
    manifest = create_manifest(tmp_path, ".", modalities="xray", patient=r"([ab])_", name="n", section="test")
    assert manifest.sections["test"] == [
        {"image": f"a_7{suffix}", "patient": "a", "case": "a_7"},
        {"image": f"b_1{suffix}", "patient": "b", "case": "b_1"},
    ]
    assert manifest.name == "n"
    assert manifest.provenance[0]["unlabelled"] == 2


def test_several_modalities_on_the_last_axis(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    manifest = create_manifest(tmp_path, ".", modalities=["t1", "flair"], patient="case")
    assert manifest.sections["training"][0]["image"] == "a.nii.gz"
    with pytest.raises(ValueError, match=r"case 'a' must have 3 channels \(t1, flair, t2\).* has 2"):
        create_manifest(tmp_path, ".", modalities=["t1", "flair", "t2"], patient="case")


def test_labels(tmp_path):
    touch(
        tmp_path, "images/p1/v1_t1.nii.gz", "images/p2/v2_t1.nii.gz", "labels/p1-v1.nii.gz", "images/p1/v1_seg.nii.gz"
    )
    options = {"modalities": ["t1"], "patient": "folder", "label_map": {"x": 1}}
    for pattern, expected in (
        ("labels/{patient}-{case}.nii.gz", "labels/p1-v1.nii.gz"),
        ("{folder}/{case}_seg.nii.gz", "images/p1/v1_seg.nii.gz"),
        ("labels/*{case}.nii.gz", "labels/p1-v1.nii.gz"),
    ):
        manifest = create_manifest(tmp_path, "images", labels=pattern, **options)
        assert [item.get("label") for item in manifest.sections["training"]] == [expected, None]
        assert manifest.provenance[0]["unlabelled"] == 1
    with pytest.raises(FileNotFoundError, match=r"finds none \(it looked for labels/v1.nii.gz, for case 'v1'\)"):
        create_manifest(tmp_path, "images", labels="labels/{case}.nii.gz", **options)
    with pytest.raises(ValueError, match="labels need a label_map"):
        create_manifest(tmp_path, "images", labels="x", **{**options, "label_map": None})
    touch(tmp_path, "labels/b-v1.nii.gz")
    with pytest.raises(ValueError, match=r"case 'v1' must have one label; .*labels/b-v1.nii.gz, labels/p1-v1.nii.gz"):
        create_manifest(tmp_path, "images", labels="labels/*{case}.nii.gz", **options)


def test_cases_apart_by_their_folders(tmp_path):
    touch(tmp_path, "p1/s1/frontal.png", "p1/s2/frontal.png", "p2/s1/frontal.png")
    with pytest.raises(ValueError, match=r"case 'frontal' must have one file per channel.*case='path'"):
        create_manifest(tmp_path, ".", modalities=["xray"], patient=r"^(\w+)/")
    manifest = create_manifest(tmp_path, ".", modalities=["xray"], patient=r"^(\w+)/", case="path")
    assert [item["case"] for item in manifest.sections["training"]] == [
        "p1_s1_frontal", "p1_s2_frontal", "p2_s1_frontal",
    ]  # fmt: skip
    assert manifest.patients("training") == ["p1", "p2"]


def test_visits_apart_by_their_folders(tmp_path):
    touch(tmp_path, "p1/v1/t1.nii", "p1/v1/t2.nii", "p2/v1/v1_t1.nii", "p2/v1/v1_t2.nii")
    manifest = create_manifest(tmp_path, ".", modalities=["t2", "t1"], patient=r"^(\w+)/", case="path")
    assert [(item["case"], item["image"][0]) for item in manifest.sections["training"]] == [
        ("p1_v1", "p1/v1/t2.nii"), ("p2_v1", "p2/v1/v1_t2.nii"),
    ]  # fmt: skip


def test_columns_from_the_path(tmp_path):
    touch(tmp_path, "berlin/3T/a.nii", "paris/1.5T/b.nii")
    columns = {"site": r"^(\w+)/", "tesla": r"/([\d.]+)T/"}
    manifest = import_folder(tmp_path, modalities=["t1"], patient="case", columns=columns, licence="CC0")
    assert [item["columns"] for item in manifest.sections["training"]] == [
        {"site": "berlin", "tesla": 3}, {"site": "paris", "tesla": 1.5},
    ]  # fmt: skip
    assert manifest.licence == "CC0"
    with pytest.raises(ValueError, match="finds none in berlin"):
        import_folder(tmp_path, modalities=["t1"], patient="case", columns={"x": "(paris)"})


@pytest.mark.parametrize(
    ("files", "modalities", "options", "match"),
    [
        (["a_t1.nii", "a_t1.nii.gz"], ["t1"], {}, r"case 'a' must have one file per channel; found a_t1.nii and"),
        (["a_t1.nii", "b.nii"], ["t1"], {}, "one layout of names; found modality at the end: a_t1.nii"),
        (["a_t1.nii", "b_t2.nii"], ["t1"], {}, "case 'b' must have t1; it has t2 and lacks t1"),
        (["a_0000.nii", "b_0000.nii", "b_0001.nii"], ["t1", "t2"], {}, "case 'a' must have exactly"),
        (["a_t1.nii"], ["t1"], {"patient": None}, "never guessed.*a_t1.nii"),
        (["a_t1.nii"], ["t1"], {"case": "both"}, "option case must be one"),
        (["a_t1.nii", "b/x_t2.nii"], ["t1", "t2"], {}, "case 'a' must have t1, t2"),
        (["p/a_t1.nii", "q/a_t2.nii"], ["t1", "t2"], {"patient": "folder"}, "case 'a' must show one patient"),
        (["a.nii"], ["t1"], {"section": "train"}, "unknown key 'train'"),
        (["a.nii", "b.png"], ["t1"], {}, "images must be of one format"),
    ],
)
def test_refusals(tmp_path, files, modalities, options, match):
    touch(tmp_path, *files)
    with pytest.raises(ValueError, match=match):
        create_manifest(tmp_path, ".", modalities=modalities, **{"patient": "case", **options})


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="found none among 0 files"):
        create_manifest(tmp_path, ".", modalities=["t1"], patient="case")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        create_manifest(tmp_path / "x", ".", modalities=["t1"], patient="case")


def test_the_longest_channel_name_wins(tmp_path):
    touch(tmp_path, "a_post_t1.nii", "a_t1.nii")
    manifest = create_manifest(tmp_path, ".", modalities=["t1", "post_t1"], patient="case")
    assert manifest.sections["training"][0]["image"] == ["a_t1.nii", "a_post_t1.nii"]
