"""The provenance record: canonical, without time, beside its weights."""

import json

import numpy as np
import pytest
import torch

from medvol.passport import KEYS, compare_passports, passport_problems, read_passport, write_passport

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


COMPLETE = {
    "bundle": "cpc3d",
    "run": "1a2b3c4d",
    "hash": "00" * 32,
    "weights": "00" * 32,
    "architecture": {"_target_": "monai.networks.nets.DynUNet"},
    "preprocessing": [{"_target_": "monai.transforms.LoadImaged"}],
    "modalities": ["t1"],
    "data": {
        "name": "phantom",
        "hash": "00" * 32,
        "synthetic": True,
        "licence": "",
        "reference": "",
        "sections": {"training": {"cases": 16, "patients": 16}},
    },
    "pretrained": None,
    "arm": "scratch",
    "steps": 300,
    "examples": 600,
    "seed": 0,
    "permutations": "00" * 32,
    "recipe": {"steps": 300, "output": "$@run_dir + '/metrics.csv'", "rate": "1/s"},
    "versions": {"medvol": "0.1.0", "code": "00" * 32, "torch": "2.14.1", "monai": "1.6.1"},
    "metrics": {},
    "licence": "Apache-2.0 (code); trained on phantom: licence not stated",
    "intended_use": "Research only.",
}


def test_every_key_may_be_written(tmp_path):
    assert set(COMPLETE) == set(KEYS)
    write_passport(tmp_path, COMPLETE)
    assert read_passport(tmp_path) == COMPLETE


def test_a_complete_passport_has_no_problems():
    assert passport_problems(COMPLETE) == []


@pytest.mark.parametrize("key", [key for key in KEYS if key != "permutations"])  # only a jigsaw has them
def test_every_key_is_needed(key):
    problems = passport_problems({k: v for k, v in COMPLETE.items() if k != key})
    assert len(problems) == 1
    assert problems[0].startswith(f"{key} must")
    assert problems[0].endswith("found none")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"seed": True}, "seed must be a number; found True"),
        ({"steps": "300"}, "steps must be a number; found '300'"),
        ({"modalities": []}, "modalities must be a list; found []"),
        ({"licence": ""}, "licence must be text; found ''"),
        ({"data": {**COMPLETE["data"], "synthetic": None}}, "data.synthetic must be true or false; found none"),
        ({"versions": {"medvol": "1", "torch": "2", "monai": "1"}}, "versions.code must be text; found none"),
        ({"host": "x"}, "host is no key of a passport"),
    ],
)
def test_a_wrong_value_is_named(change, problem):
    assert passport_problems({**COMPLETE, **change}) == [problem]


@pytest.mark.parametrize("place", ["/data/x.nii", "~/x", "~me/x", "C:\\x", "D:/x", "\\\\host\\share", "file:///x/y",
                                   "see /home/me/x", "$open('/home/me/x')", "in (~/x)", "a=C:\\x"])  # fmt: skip
def test_a_place_on_one_machine_is_named(place):
    record = {**COMPLETE, "recipe": {"parts": [{"path": place}]}}
    assert passport_problems(record) == [f"recipe.parts.0.path must not name a place on one machine; found {place!r}"]


def test_old_passports_without_the_young_keys_are_still_read(tmp_path):
    young = ["weights", "preprocessing", "licence", "intended_use"]
    old = {k: v for k, v in COMPLETE.items() if k not in young}
    write_passport(tmp_path, old)
    assert read_passport(tmp_path) == old
    assert [line.partition(" ")[0] for line in passport_problems(old)] == young
