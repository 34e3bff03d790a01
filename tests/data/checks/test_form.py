import json

import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.checks.form import read_draft

HEAD = {"name": "m", "modalities": ["t1", "t2"], "label_map": {"background": 0, "tumor": 1}}
SUM = "0" * 64


def written(tmp_path, **content):
    file = tmp_path / "m.json"
    file.write_text(json.dumps({**HEAD, **content}))
    return file


def kinds(findings):
    return sorted((finding.problem.kind, finding.case) for finding in findings)


def test_a_sound_manifest_has_no_finding(tmp_path):
    item = {"image": ["./a_t1.nii", "a_t2.nii"], "patient": "P", "label": "s.nii", "sha256": {"./a_t1.nii": SUM}}
    draft, findings = read_draft(written(tmp_path, training=[item]))
    (row,) = draft.rows
    assert findings == []
    assert (row.images, row.label, row.sums) == (("a_t1.nii", "a_t2.nii"), "s.nii", {"a_t1.nii": SUM})
    assert (row.case, row.section, row.stacked) == ("a", "training", False)
    assert draft.modalities == ("t1", "t2")


def test_one_file_of_several_modalities_is_stacked(tmp_path):
    draft, _ = read_draft(written(tmp_path, training=[{"image": "a.nii", "patient": "P"}]))
    assert draft.rows[0].stacked


BAD = {
    "unknown key": ({"image": "a.nii", "patient": "P", "labell": "x"}, "form", 1),
    "no patient": ({"image": "a.nii"}, "form", 1),
    "patient is a number": ({"image": "a.nii", "patient": 3}, "form", 1),
    "no image": ({"case": "a", "patient": "P"}, "form", 0),
    "image leaves": ({"image": "../a.nii", "patient": "P"}, "outside-root", 0),
    "image is absolute": ({"image": "/x/a.nii", "patient": "P"}, "outside-root", 0),
    "label leaves": ({"image": "a.nii", "patient": "P", "label": "../b.nii"}, "outside-root", 1),
    "too few files": ({"image": ["a.nii"], "patient": "P"}, "channels", 1),
    "short hash": ({"image": "a.nii", "patient": "P", "sha256": {"a.nii": "abc"}}, "form", 1),
    "hash of a stranger": ({"image": "a.nii", "patient": "P", "sha256": {"b.nii": SUM}}, "form", 1),
    "hash is a list": ({"image": "a.nii", "patient": "P", "sha256": []}, "form", 1),
    "unknown target": ({"image": "a.nii", "patient": "P", "targets": {"x": "y"}}, "form", 1),
    "column of lists": ({"image": "a.nii", "patient": "P", "columns": {"x": []}}, "form", 1),
}


@pytest.mark.parametrize(("item", "kind", "rows"), BAD.values(), ids=BAD)
def test_a_defect_is_one_finding_and_the_rest_is_kept(tmp_path, item, kind, rows):
    good = {"image": "g.nii", "patient": "G"}
    draft, findings = read_draft(written(tmp_path, training=[item, good]))
    assert kinds(findings) == [(kind, "a")]
    assert len(draft.rows) == rows + 1
    assert draft.rows[-1].case == "g"


def test_every_defect_of_one_item_is_named(tmp_path):
    item = {
        "image": ["a.nii", "../b.nii"],
        "label": "/s.nii",
        "group": 3,
        "sha256": {"a.nii": SUM, "c.nii": "x"},
        "x": 1,
    }
    draft, findings = read_draft(written(tmp_path, test=[item]))
    assert [kind for kind, _ in kinds(findings)] == ["form"] * 4 + ["outside-root"] * 2
    assert draft.rows[0].images == ("a.nii",)
    assert draft.rows[0].sums == {"a.nii": SUM}


def test_a_bad_head_leaves_the_items(tmp_path):
    bad = {"label_map": {"a": "x"}, "modalites": [], "synthetic": 3, "root": 5, "validation": {}}
    items = [{"image": "a.nii", "patient": "P", "label": "s.nii"}]
    draft, findings = read_draft(written(tmp_path, training=items, **bad))
    assert len(findings) == 5
    assert draft.label_map is None
    assert draft.rows[0].label == "s.nii"
    assert any("perhaps meant as 'modalities'" in finding.problem.found for finding in findings)


def test_labels_need_a_label_map_once(tmp_path):
    items = [{"image": f"{i}.nii", "patient": "P", "label": "s.nii"} for i in range(3)]
    _, findings = read_draft(written(tmp_path, training=items, label_map={}))
    assert len(findings) == 1


def test_text_that_is_no_json(tmp_path):
    (tmp_path / "m.json").write_text('{"name": ')
    draft, findings = read_draft(tmp_path / "m.json")
    assert kinds(findings) == [("form", "")]
    assert draft.rows == []


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="must be a folder"):
        read_draft(written(tmp_path), tmp_path / "nowhere")


def test_a_parquet_manifest_gives_the_same_rows(tmp_path):
    items = [{"image": ["a.nii", "b.nii"], "patient": "P", "case": "x", "sha256": {"a.nii": SUM}}]
    file = written(tmp_path, training=items)
    table = write_manifest(tmp_path / "m.parquet", load_manifest(file))
    assert read_draft(table)[0].rows == read_draft(file)[0].rows
