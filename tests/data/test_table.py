import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medvol.data import load_manifest
from medvol.data import table as table_module
from medvol.data.table import write_table

TARGETS = {"effusion": ["absent", "present"], "side": ["left", "right", "both"]}


HEAD = {"name": "m", "modalities": ["t1"], "label_map": {"x": 1}, "targets": TARGETS}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("training", {"image": "../a.nii", "patient": "P"})], "relative to the manifest's root"),
        ([("training", {"image": "a.nii"})], "'patient' in row 0"),
        ([("train", {"image": "a.nii", "patient": "P"})], "the section of row 0 must be one of"),
        ([(s, {"image": f"{s}.nii", "patient": "P"}) for s in ("test", "training")], "'P' in test and training"),
        ([("test", {"image": f"{n}/a.nii", "patient": n}) for n in "12"], r"case must be a name of its own.*\['a'\]"),
        ([("test", {"image": "a.nii", "patient": "P", "targets": {"effusion": "maybe"}})], "absent, present"),
    ],
)
def test_bad_rows_are_not_written(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        write_table(tmp_path / "m.parquet", HEAD, rows)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_manifest_is_refused(tmp_path):
    path = tmp_path / "m.parquet"
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match="has its head under the key 'medvol'"):
        load_manifest(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match="has its head under the key 'medvol'"):
        load_manifest(path)
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"medvol": json.dumps(HEAD)}), path)
    with pytest.raises(ValueError, match=r"with the columns section, image.*; found 'no section \(string\)"):
        load_manifest(path)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    rows = [("training", {"image": "a.nii", "patient": "P"})]
    monkeypatch.setattr(table_module, "_sort", full)
    with pytest.raises(OSError, match=r"a manifest needs a folder it can be written to.*No space left.*make room"):
        write_table(tmp_path / "m.parquet", HEAD, rows)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "cache"))
    path = write_table(tmp_path / "m.parquet", HEAD, rows)
    monkeypatch.setattr(table_module, "_convert", full)
    with pytest.raises(OSError, match=r"the cache needs a folder it can write to.*MEDVOL_CACHE"):
        load_manifest(path)
    assert list((tmp_path / "cache/manifests").iterdir()) == []
