import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medvol.data import load_manifest
from medvol.data.table import write_table

TARGETS = {"effusion": ["absent", "present"], "side": ["left", "right", "both"]}


HEAD = {"name": "m", "modalities": ["t1"], "label_map": {"x": 1}, "targets": TARGETS}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"section": "train"}, "'section' in row 1 must be one of"),
        ({"image": ["/a.nii"]}, "'image' in row 1 must be relative to the manifest's root"),
        ({"image": ["b/../../a.nii"]}, "'image' in row 1 must be relative"),
        ({"image": ["C:/a.nii"]}, "'image' in row 1 must be relative"),
        ({"image": [None]}, "'image' in row 1 must be relative"),
        ({"image": ["a.nii", "b.nii"]}, "'image' in row 1 must be one path"),
        ({"image": None}, "'image' in row 1 must be one path"),
        ({"label": "./a.nii"}, "'label' in row 1 must be relative"),
        ({"patient": None}, "'patient' in row 1 must be text .it is never guessed.; found None"),
        ({"patient": ""}, "'patient' in row 1 must be text"),
        ({"group": ""}, "'group' in row 1 must be text"),
        ({"named": None}, "'named' in row 1 must be true or false"),
        ({"sha256": [b"0" * 32] * 3}, "'sha256' in row 1 must be as long"),
        ({"targets": {"effusion": "maybe", "side": None}}, "'targets' in row 1 must be for 'effusion' one of absent"),
        ({"columns": {"age": float("nan")}}, "'columns' in row 1 must be finite"),
        ({"patient": "A"}, "found row 1 out of order"),
        ({"section": "test", "patient": "P0"}, "found 'P0' in test and training"),
        ({"case": "c0"}, r"case must be a name of its own.*\['c0'\]"),
    ],
)
def test_bad_rows_of_a_foreign_file_are_refused_when_it_is_opened(tmp_path, change, message):
    rows = [("training", {"image": f"{n}.nii", "patient": f"P{n}", "case": f"c{n}", "columns": {"age": 1.5},
                          "targets": {"effusion": "absent"}}) for n in range(2)]  # fmt: skip
    path = write_table(tmp_path / "m.parquet", HEAD, rows)
    table = pq.read_table(path)
    plain = table.to_pylist()
    plain[1] |= change
    pq.write_table(pa.Table.from_pylist(plain, table.schema), path)
    with pytest.raises(ValueError, match=message):
        load_manifest(path)
