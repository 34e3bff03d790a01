"""What the two files hold."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from medvol.bundles.embedding.file import Embeddings, as_npz, as_parquet

TABLE = pd.DataFrame({
    "case": pd.array(["a", "b<>ß"], dtype="string[python]"), "patient": pd.array(["p", "q"], dtype="string[python]"),
    "age": pd.array([41.0, pd.NA], dtype="Float64"), "old": pd.array([True, pd.NA], dtype="boolean"),
    "e0": pd.array(["x", "y"], dtype="string[python]"),
})  # fmt: skip
FEATURES = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)
FOUND = Embeddings(TABLE, np.array([3, 7]), FEATURES, np.array([1, 1, 1]), record={"b": 1, "a": "é"})


def test_parquet() -> None:
    content = as_parquet(FOUND)
    table = pq.read_table(io.BytesIO(content))
    assert table.column_names == ["case", "patient", "age", "old", "column_e0", "e0", "e1", "e2"]
    assert table["age"].to_pylist() == [41.0, None]
    assert table["old"].to_pylist() == [True, None]
    assert {str(table.schema.field(name).type) for name in ("e0", "e1", "e2")} == {"float"}
    assert table["e1"].to_pylist() == [2, 5]
    assert json.loads(table.schema.metadata[b"medvol"]) == {"a": "é", "b": 1}
    assert content == as_parquet(FOUND)


def test_npz_needs_no_pickle() -> None:
    with np.load(io.BytesIO(as_npz(FOUND)), allow_pickle=False) as found:
        assert found["cases"].tolist() == ["a", "b<>ß"]
        assert found["patients"].tolist() == [3, 7]
        assert found["patients"].dtype == np.int64
        assert found["patient_names"].tolist() == ["p", "q"]
        assert found["embeddings"].dtype == np.float32
        assert found["embeddings"].tolist() == FEATURES.tolist()
        assert found["stages"].tolist() == [1, 1, 1]
        assert json.loads(str(found["record"])) == {"a": "é", "b": 1}
    assert as_npz(FOUND) == as_npz(FOUND)


def test_names_of_stages() -> None:
    found = Embeddings(TABLE, np.zeros(2), np.zeros((2, 5), np.float32), np.array([1, 1, 4, 4, 4]), per_stage=True)
    assert found.names == ["s1_0", "s1_1", "s4_0", "s4_1", "s4_2"]
