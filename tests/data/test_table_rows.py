import pytest

from medvol.data import load_manifest
from medvol.data import table as table_module
from medvol.data.table import write_table


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_rows_in_many_pieces_and_any_order_come_out_sorted(tmp_path, monkeypatch):
    monkeypatch.setattr(table_module, "_PIECE", 7)
    rows = [("test" if n % 2 else "training", {"image": f"{n}.nii", "patient": f"{n % 2}-{n * 37 % 50:02d}"})
            for n in range(50)]  # fmt: skip
    large = load_manifest(write_table(tmp_path / "m.parquet", {"name": "m", "modalities": ["t1"]}, iter(rows)))
    assert len(large.sections["training"].table.batches) > 5
    for name in ("training", "test"):
        expected = sorted((item for section, item in rows if section == name), key=lambda item: item["patient"])
        assert list(large.sections[name]) == expected
        assert [large.sections[name][i] for i in range(25)] == expected
