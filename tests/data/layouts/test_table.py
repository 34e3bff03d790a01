import pytest

from medvol.data import load_manifest, write_manifest
from medvol.data.layouts import import_manifest
from medvol.data.layouts.table import import_table

ROWS = """path,mask,subject,split,site,grade,age,scan
scans/a.nii.gz,masks/a.nii.gz,p1,train,A,high,40,1
scans/b.nii.gz,,p1,train,A,low,n/a,2
scans/c.nii.gz,n/a,p2,val,B,,50,3
"""


def table(folder, text=ROWS, name="cases.csv"):
    (folder / name).write_text(text)
    return folder


def test_all_options(tmp_path):
    manifest = import_table(
        table(tmp_path), image="path", modalities=["ct"], patient="subject", label="mask", label_map={"x": 1},
        section="split", sections={"train": "training", "val": "validation"}, group="site", targets=["grade"],
        columns=["age", "scan"], licence="CC0", name="n",
    )  # fmt: skip
    assert manifest.sections == {
        "training": [
            {
                "image": "scans/a.nii.gz", "label": "masks/a.nii.gz", "patient": "p1", "group": "A",
                "targets": {"grade": "high"}, "columns": {"age": 40, "scan": 1},
            },
            {
                "image": "scans/b.nii.gz", "patient": "p1", "group": "A", "targets": {"grade": "low"},
                "columns": {"scan": 2},
            },
        ],
        "validation": [{"image": "scans/c.nii.gz", "patient": "p2", "group": "B", "columns": {"age": 50, "scan": 3}}],
        "test": [],
    }  # fmt: skip
    assert manifest.targets == {"grade": ["high", "low"]}
    assert manifest.split == {"table": "cases.csv", "column": "split"}
    assert (manifest.name, manifest.licence) == ("n", "CC0")
    assert load_manifest(write_manifest(tmp_path / "m.json", manifest)) == manifest


def test_one_column_per_modality_and_a_rule(tmp_path):
    text = "t1\tflair\tname\n./p1/s1_t1.nii\tp1/s1_flair.nii\tx\np2/s1_t1.nii\tp2/s1_flair.nii\ty\n"
    table(tmp_path, text, "t.tsv")
    manifest = import_manifest("csv", tmp_path, modalities=["flair", "t1"], patient=r"^(p\d)/", case="name")
    assert manifest.sections["training"] == [
        {"image": [f"{p}/s1_flair.nii", f"{p}/s1_t1.nii"], "patient": p, "case": case}
        for p, case in (("p1", "x"), ("p2", "y"))
    ]
    rule = import_table(tmp_path, modalities=["flair", "t1"], patient="case", case="name", table="t.tsv")
    assert rule.patients("training") == ["x", "y"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"image": "paths"}, r"cases.csv must have the column 'paths'; .*did you mean 'path'"),
        ({"columns": ["ages"]}, "did you mean 'age'"),
        ({"image": None}, "must have the column 'ct'"),
        ({"patient": None}, "never guessed"),
        ({"patient": "subjekt"}, r"a group in \( \)"),
        ({"section": "split"}, r"'split' must be one of training.*row 1 of cases.csv has 'train'; .*sections="),
        ({"targets": "site", "group": "nothing"}, "must have the column 'nothing'"),
        ({"patient": "mask"}, "row 2 of cases.csv does not"),
        ({"image": "mask"}, "row 2 must be inside"),
        ({"label": "mask"}, "label_map"),
    ],
)
def test_refusals(tmp_path, changes, match):
    options = {"image": "path", "modalities": ["ct"], "patient": "subject", **changes}
    with pytest.raises(ValueError, match=match):
        import_table(table(tmp_path), **options)


def test_which_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="found none; name it"):
        import_table(tmp_path, modalities=["ct"], patient="case")
    table(tmp_path)
    table(tmp_path, "path\n", "empty.csv")
    with pytest.raises(FileNotFoundError, match=r"found cases.csv, empty.csv; name it"):
        import_table(tmp_path, modalities=["ct"], patient="case")
    with pytest.raises(ValueError, match="must have a row for each case"):
        import_table(tmp_path, table="empty.csv", image="path", modalities=["ct"], patient="case")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        import_table(tmp_path, table="no.csv", image="path", modalities=["ct"], patient="case")
