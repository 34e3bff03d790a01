"""The provenance record: canonical, without time, beside its weights."""

import json

import numpy as np
import pytest
import torch

from medvol.passport import compare_passports, read_passport, write_passport

RECORD = {
    "run": "1a2b3c4d",
    "bundle": "cpc3d",
    "modalities": ["t1", "flair"],
    "data": {"name": "phantom", "hash": "00" * 32, "synthetic": True},
    "steps": 300,
    "metrics": {"accuracy": 0.25},
}


def test_write_then_read_is_the_identity(tmp_path):
    path = write_passport(tmp_path, RECORD)
    assert path == tmp_path / "passport.json"
    assert read_passport(tmp_path / "model.pt") == RECORD
    assert read_passport(tmp_path) == read_passport(path) == RECORD
    assert write_passport(tmp_path / "model.pt", RECORD) == path
    assert [p.name for p in tmp_path.iterdir()] == ["passport.json"]


def test_equal_records_give_equal_bytes(tmp_path):
    one = write_passport(tmp_path / "one.json", RECORD).read_bytes()
    two = write_passport(tmp_path / "two.json", dict(reversed(RECORD.items()))).read_bytes()
    assert one == two
    assert list(json.loads(one)) == sorted(RECORD)


def test_numbers_become_plain(tmp_path):
    metrics = {
        "a": np.float32(0.5),
        "b": torch.tensor(2),
        "c": float("nan"),
        "d": np.int64(3),
        "e": (1, np.inf),
        "f": None,
    }
    write_passport(tmp_path, {"metrics": metrics})
    assert read_passport(tmp_path)["metrics"] == {"a": 0.5, "b": 2, "c": None, "d": 3, "e": [1, None], "f": None}


def test_what_does_not_belong_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"found \['stepz'\]; Did you mean 'steps'"):
        write_passport(tmp_path, {"stepz": 3})
    with pytest.raises(ValueError, match=r"found Tensor at passport\.metrics\.w"):
        write_passport(tmp_path, {"metrics": {"w": torch.ones(2)}})
    assert not list(tmp_path.iterdir())


def test_no_passport_and_broken_ones(tmp_path):
    assert read_passport(tmp_path / "model.pt") is None
    for content in ("{", "[1]"):
        (tmp_path / "passport.json").write_text(content)
        with pytest.raises(ValueError, match=r"a passport expects (a )?JSON.*passport\.json"):
            read_passport(tmp_path / "model.pt")


def test_compare():
    other = {**RECORD, "data": {**RECORD["data"], "synthetic": False}, "seed": 1}
    assert compare_passports(RECORD, RECORD) == {}
    assert compare_passports(RECORD, other) == {"data.synthetic": (True, False), "seed": (None, 1)}
