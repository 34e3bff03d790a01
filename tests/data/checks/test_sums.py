import json

import pytest

from medvol.data import load_manifest
from medvol.data.checks import Finding, Problem, Report, fill_checksums

A, B, C, OLD = "a" * 64, "b" * 64, "c" * 64, "0" * 64
COUNTS = {"files": 3}


def written(tmp_path, items):
    file = tmp_path / "m.json"
    head = {"name": "m", "modalities": ["t1"], "label_map": {"x": 1}, "description": "Größe"}
    file.write_text(json.dumps({**head, "training": items}))
    return file


def test_sound_files_get_their_sums_and_nothing_else_changes(tmp_path):
    items = [
        {"image": "./a.nii", "label": "b.nii", "patient": "P", "columns": {"age": 3}},
        {"image": "c.nii", "patient": "Q"},
        {"image": "d.nii", "patient": "R"},
    ]
    file = written(tmp_path, items)
    before = json.loads(file.read_text())
    bad = Finding(Problem("constant", "error", "a", "b", "c"), "training", "c", "c.nii")
    odd = Finding(Problem("spacing", "warning", "a", "b", "c"), "training", "a", "a.nii")
    assert fill_checksums(file, Report("m", [bad, odd], COUNTS, {"a.nii": A, "b.nii": B, "c.nii": C})) == 2
    after = json.loads(file.read_text())
    assert after["training"][0].pop("sha256") == {"a.nii": A, "b.nii": B}
    assert after == before
    assert load_manifest(file).sections["training"][0]["sha256"] == {"a.nii": A, "b.nii": B}
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_a_stated_sum_stays(tmp_path):
    file = written(tmp_path, [{"image": "a.nii", "patient": "P", "sha256": {"./a.nii": OLD}}])
    text = file.read_text()
    assert fill_checksums(file, Report("m", [], COUNTS, {"a.nii": A})) == 0
    assert file.read_text() == text


def test_what_cannot_be_filled_is_refused(tmp_path):
    file = written(tmp_path, [{"image": "a.nii", "patient": "P"}])
    with pytest.raises(ValueError, match="checksums=True"):
        fill_checksums(file, Report("m", [], COUNTS))
    (tmp_path / "m.parquet").touch()
    with pytest.raises(ValueError, match="into a JSON manifest"):
        fill_checksums(tmp_path / "m.parquet", Report("m", [], COUNTS, {"a.nii": A}))
