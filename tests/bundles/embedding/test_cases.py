"""Folder, file or manifest: what is found, what is known of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medvol.bundles.embedding import cases as embedding_cases
from medvol.bundles.embedding.cases import count_voxels, find_cases


def save(file: Path, shape: tuple[int, ...] = (4, 5, 6), spacing: tuple[float, ...] = (1, 1, 1)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.diag([*spacing, 1])), file)
    return file


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    for name in "abcd":
        save(tmp_path / f"{name}.nii.gz")
    items = {
        "training": [
            {"image": "b.nii.gz", "patient": "P2", "group": "S1", "columns": {"age": 40, "site": "x"}},
            {"image": "a.nii.gz", "patient": "P9", "group": "S2", "targets": {"sick": "no"}, "columns": {"age": 41.5}},
        ],
        "test": [{"image": "c.nii.gz", "patient": "P1"}, {"image": "d.nii.gz", "patient": "P1", "case": "A"}],
    }
    content = {"name": "demo", "modalities": ["t1"], "targets": {"sick": ["no", "yes"]}, **items}
    (tmp_path / "m.json").write_text(json.dumps(content))
    return tmp_path / "m.json"


def test_a_manifest_gives_all_sections_with_what_it_knows(manifest: Path) -> None:
    found = find_cases(manifest, ["t1"])
    assert found.name == "demo"
    assert [item["case"] for item in found.items] == found.table["case"].tolist() == ["A", "a", "b", "c"]
    assert found.table.columns.tolist() == ["case", "patient", "section", "group", "sick", "age", "site"]
    assert found.table["patient"].tolist() == ["P1", "P9", "P2", "P1"]
    assert found.table["section"].tolist() == ["test", "training", "training", "test"]
    assert found.column("age") == [None, 41.5, 40.0, None]
    assert found.column("sick") == [None, "no", None, None]
    assert all("label" not in item for item in found.items)


def test_one_section_and_some_of_it(manifest: Path) -> None:
    found = find_cases(manifest, ["t1"], section="test")
    assert found.table.columns.tolist() == ["case", "patient", "section"]
    kept = found.keep([1])
    assert (kept.items[0]["case"], kept.table["case"].tolist()) == ("c", ["c"])
    with pytest.raises(ValueError, match=r"must have cases in validation; found .*'training': 2"):
        find_cases(manifest, ["t1"], section="validation")


def test_a_parquet_manifest_gives_the_same(manifest: Path, tmp_path: Path) -> None:
    from medvol.data import load_manifest, write_manifest

    write_manifest(tmp_path / "m.parquet", load_manifest(manifest))
    one, two = find_cases(manifest, ["t1"]), find_cases(tmp_path / "m.parquet", ["t1"])
    assert [item["image"] for item in one.items] == [item["image"] for item in two.items]
    pd.testing.assert_frame_equal(one.table, two.table)


def test_a_missing_file_is_met_at_once(manifest: Path) -> None:
    (manifest.parent / "a.nii.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of them are missing: a\.nii\.gz"):
        find_cases(manifest, ["t1"])


def test_colors_must_exist(manifest: Path) -> None:
    found = find_cases(manifest, ["t1"])
    with pytest.raises(ValueError, match="found 'ages'; did you mean 'age'"):
        found.column("ages")
    with pytest.raises(ValueError, match="found no value of 'site'"):
        found.keep([0, 1]).column("site")


def test_folders_and_files(tmp_path: Path) -> None:
    save(tmp_path / "in" / "q.nii.gz")
    save(tmp_path / "in" / "deep" / "p.nii.gz")
    found = find_cases(tmp_path / "in", ["t1"])
    assert found.name == "in"
    assert [(item["case"], item["patient"]) for item in found.items] == [("p", 0), ("q", 1)]
    one = find_cases(tmp_path / "in" / "q.nii.gz", ["t1"])
    assert one.items == [{"case": "q", "image": [str(tmp_path / "in" / "q.nii.gz")], "patient": 0}]
    assert one.table["patient"].tolist() == ["q"]
    stacked = find_cases(save(tmp_path / "four.nii.gz", (4, 5, 6, 2)), ["t1", "t2"])
    assert stacked.items[0]["channels"] == [0, 1]


def test_what_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    for name in ("a/x.nii.gz", "b/x.nii.gz"):
        save(tmp_path / "twice" / name)
    (tmp_path / "phantom").mkdir()
    two = save(tmp_path / "two.nii.gz", (4, 5, 6, 2))
    for images, message in (
        ("empty", "found none in"), ("notes.txt", "must end in one of"), ("twice", "one file per channel; found"),
        ("phantom", r"'phantom' is a folder here and a manifest; write './phantom'"),
    ):  # fmt: skip
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            find_cases(images, ["t1"])
    with pytest.raises(ValueError, match="must hold the 3 channels a, b, c, found 2 in"):
        find_cases(two, ["a", "b", "c"])
    with pytest.raises(ValueError, match="a section belongs to a manifest"):
        find_cases(two, ["a", "b"], section="test")


def test_a_folder_of_a_manifests_name_is_taken_by_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "hippocampus" / "q.nii.gz")
    with pytest.raises(ValueError, match=r"write './hippocampus' for the folder"):
        find_cases("hippocampus", ["t1"])
    monkeypatch.setattr("os.sep", "\\")  # as on Windows, where './' works, too
    monkeypatch.setattr(embedding_cases, "_is_manifest", lambda _: True)
    assert find_cases("./hippocampus", ["t1"]).table["case"].tolist() == ["q"]


def test_headers_tell_the_size_before_a_voxel_is_read(tmp_path: Path) -> None:
    file = save(tmp_path / "a.nii.gz", (10, 20, 30), (1.0, 2.0, 3.0))
    assert count_voxels({"image": [str(file)]}) == 6000
    assert count_voxels({"image": [str(file)]}, (2.0, 2.0, 2.0)) == pytest.approx(6000 * 6 / 8)
    Image.new("L", (8, 4)).save(tmp_path / "p.png")
    assert count_voxels({"image": [str(tmp_path / "p.png")]}, (1.0, 1.0)) == 32
    several = save(tmp_path / "b.nii.gz", (4, 5, 6, 3))
    with pytest.raises(ValueError, match=r"must hold one channel; found 3 of shape .*b\.nii\.gz; write one file"):
        count_voxels({"image": [str(several)]})
    assert count_voxels({"image": str(several), "channels": [2]}) == 120
    (tmp_path / "c.nii.gz").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"c\.nii\.gz"):
        count_voxels({"image": [str(tmp_path / "c.nii.gz")]})
    with pytest.raises(FileNotFoundError, match=r"must be an existing file; found no file .*d\.nii\.gz; correct"):
        count_voxels({"image": [str(tmp_path / "d.nii.gz")]})
