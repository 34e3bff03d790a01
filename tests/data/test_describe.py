import json
from pathlib import Path

import pytest

from medvol.data import Manifest
from medvol.data.describe import describe


def row(i, **more):
    columns = {"age": 60 + i, "sex": "f" if i % 2 else "m", "volume_tumor": i / 2}
    return {"image": f"images/c{i}.nii.gz", "patient": f"p{i // 2}", "columns": columns, **more}


def made(**more):
    training = [row(i, group="site_a" if i < 3 else "site_b", targets={"effusion": "present"} if i else {})
                for i in range(5)]  # fmt: skip
    training[0]["label"] = "labels/c0.nii.gz"
    head = {"licence": "CC BY 4.0", "reference": "Someone 2020", "targets": {"effusion": ["absent", "present"]},
            "provenance": [{"step": "import", "layout": "folder", "options": {"patient": "case"}}]}  # fmt: skip
    return Manifest("demo", Path(), ("t1",), {"background": 0, "tumor": 1}, True,
                    {"training": training, "test": [row(6)]}, **{**head, **more})  # fmt: skip


def test_sections():
    found = describe(made())
    assert found.sections["training"] == {
        "cases": 5, "patients": 3, "cases_per_patient": {"1": 1, "2": 2}, "labelled": 1,
        "groups": {"site_a": 3, "site_b": 2}, "targets": {"effusion": {"absent": 0, "present": 4, "unknown": 1}},
    }  # fmt: skip
    assert found.sections["test"]["cases"] == 1
    assert found.sections["validation"]["cases"] == 0


def test_columns():
    found = describe(made()).columns
    assert found["age"] == {"measured": 6, "min": 60, "median": 62.5, "max": 66}
    assert found["sex"] == {"measured": 6, "counts": {"m": 4, "f": 2}}
    assert found["volume_tumor"]["max"] == 3


def test_a_column_of_some_and_one_of_many_texts():
    rows = [{"image": f"{i}.png", "patient": f"{i}", "columns": {"site": f"s{i}", **({"flag": True} if i else {})}}
            for i in range(9)]  # fmt: skip
    found = describe(Manifest("demo", Path(), ("xray",), {}, True, {"training": rows})).columns
    assert found["flag"] == {"measured": 8, "counts": {"True": 8}}
    assert found["site"]["counts"]["(others)"] == 3
    assert sum(found["site"]["counts"].values()) == found["site"]["measured"] == 9


def test_a_column_may_be_named_as_a_target():
    manifest = made()
    manifest.sections["training"][0]["columns"]["effusion"] = 3
    assert describe(manifest).columns["effusion"] == {"measured": 1, "min": 3, "median": 3, "max": 3}


def test_measured_columns_and_where():
    found = describe(made(), {"c1": {"quality": 20.5}}, where="quality is not None and quality > 20")
    assert found.facts["where"] == "quality is not None and quality > 20"
    assert found.sections["training"]["cases"] == 1
    assert found.sections["test"]["cases"] == 0
    assert found.patients == {"p0": ["c1"]}
    with pytest.raises(ValueError, match="keeps none"):
        describe(made(), where="age > 99")


def test_first_patients():
    rows = [{"image": f"{i:02}.png", "patient": f"p{i:02}"} for i in reversed(range(12))]
    found = describe(Manifest("demo", Path(), ("xray",), {}, True, {"training": rows}))
    assert list(found.patients) == [f"p{i:02}" for i in range(10)]
    assert found.patients["p03"] == ["03"]


def test_text_says_all_in_100_characters():
    manifest = made(description="a long story " * 30, reference="x" * 300)
    text = describe(manifest).text()
    assert max(map(len, text.splitlines())) <= 100
    for part in (
        "CC BY 4.0", "synthetic    True", "1 with 1, 2 with 2", "site_a: 3, site_b: 2", "volume_tumor",
        "absent: 0, present: 4, unknown: 1", "p0  c0, c1", "m: 4, f: 2", "layout: folder",
    ):  # fmt: skip
        assert part in text, part
    lines = text.splitlines()
    numbers = next(line.split() for line in lines if line.startswith("age"))
    assert numbers == ["age", "6", "60", "62.5", "66"]
    assert next(line.split() for line in lines if line.startswith("volume_tumor"))[1] == "ml"
    assert next(line.split() for line in lines if line.startswith("training")) == ["training", "5", "3", "1"]


def test_names_as_long_as_they_like_stay_in_the_line():
    rows = [{"image": f"{i}.png", "patient": "p" * 90 + str(i), "columns": {"c" * 120: i}} for i in range(3)]
    text = describe(Manifest("demo", Path(), ("xray",), {}, True, {"training": rows})).text()
    assert max(map(len, text.splitlines())) <= 100


def test_json_holds_the_same():
    found = describe(made())
    content = json.loads(found.json())
    assert content["sections"] == found.sections
    assert content["columns"]["age"]["median"] == 62.5
    assert content["provenance"][0]["layout"] == "folder"


def test_an_empty_manifest():
    found = describe(Manifest("demo", Path(), ("t1",), {}, True, {}))
    assert found.sections["training"]["patients"] == 0
    assert "training" in found.text()
