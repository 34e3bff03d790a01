"""The commands as functions of this process; tests/cli starts the few that must be processes."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medvol.__main__ import main
from medvol.data import load_manifest


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients, seven scans of two modalities, all but one labelled."""
    root = tmp_path_factory.mktemp("scans")
    (root / "labels").mkdir()
    for k in range(7):
        rng = np.random.default_rng(k)
        case = f"P{min(k, 5):02}_{'b' if k == 6 else 'a'}"
        field = gaussian_filter(rng.standard_normal((16, 18, 14)), 1.5) * 100
        for name in ("flair", "t1"):
            values = (field + rng.standard_normal(field.shape) + 50).astype(np.float32)
            nib.save(nib.Nifti1Image(values, np.diag([1, 1, 1 + k % 2, 1])), root / f"{case}_{name}.nii")
        if k != 4:
            label = (field > 15).astype(np.uint8)
            nib.save(nib.Nifti1Image(label, np.diag([1, 1, 1 + k % 2, 1])), root / f"labels/{case}_seg.nii")
    return root


@pytest.fixture
def scans(original: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for file in original.rglob("*.nii"):
        target = folder / file.relative_to(original)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    return folder


def create(scans: Path, out: Path) -> int:
    labels = ["--labels", "labels/{case}_seg.nii", "--label_map", "background=0", "tumor=1"]
    names = ["--modalities", "flair", "t1", "--patient", r"(P\d+)"]
    return main(["manifest", "create", str(scans), *names, *labels, "--out", str(out)])


def test_own_scans_in_three_commands(scans: Path, capsys: pytest.CaptureFixture) -> None:
    mine, split = scans / "mine.json", scans / "split.json"
    assert create(scans, mine) == 0
    shown = capsys.readouterr().out
    assert "P05" in shown, "the patients are always shown"
    assert "P05_a" in shown
    assert "P05_b" in shown
    manifest = load_manifest(mine)
    assert len(manifest.sections["training"]) == 7
    assert len(manifest.patients("training")) == 6
    assert sum("label" in item for item in manifest.sections["training"]) == 6

    assert main(["manifest", "verify", str(mine), "--write", "--html", str(scans / "r.html")]) == 0
    assert len(load_manifest(mine).sections["training"][0]["sha256"]) == 3
    assert "<html" in (scans / "r.html").read_text()
    assert main(["manifest", "split", str(mine), "--validation", "1", "--test", "20%", "--out", str(split)]) == 0
    parts = {s: load_manifest(split).patients(s) for s in ("training", "validation", "test")}
    assert [len(part) for part in parts.values()] == [4, 1, 1]
    assert [step["step"] for step in load_manifest(split).provenance] == ["import", "split"]


def test_a_damaged_file_is_named_and_the_code_is_one(scans: Path, capsys: pytest.CaptureFixture) -> None:
    create(scans, scans / "mine.json")
    file = scans / "P02_a_t1.nii"
    file.write_bytes(file.read_bytes()[:3000])
    capsys.readouterr()
    assert main(["manifest", "verify", str(scans / "mine.json"), "--json", str(scans / "r.json")]) == 1
    assert "P02_a_t1.nii" in capsys.readouterr().out
    assert "unreadable" in (scans / "r.json").read_text()


def test_measure_choose_and_fold(scans: Path, capsys: pytest.CaptureFixture) -> None:
    mine, thin = scans / "mine.json", scans / "thin.json"
    create(scans, mine)
    assert main(["manifest", "filter", str(mine), "--where", "spacing_z < 1.5", "--out", str(thin)]) == 2
    assert "describe" in capsys.readouterr().err
    assert main(["manifest", "describe", str(mine), "--write"]) == 0
    assert load_manifest(mine).sections["training"][0]["columns"]["size_y"] == 18
    assert main(["manifest", "filter", str(mine), "--where", "spacing_z < 1.5", "--out", str(thin)]) == 0
    assert len(load_manifest(thin).sections["training"]) == 4
    assert main(["manifest", "split", str(mine), "--folds", "3", "--out", str(scans / "cv.json")]) == 0
    folds = [load_manifest(scans / f"cv_fold{k}.json").patients("validation") for k in range(3)]
    assert sorted(patient for fold in folds for patient in fold) == load_manifest(mine).patients("training")


def test_import_takes_options_and_refuses_unknown_ones(scans: Path, capsys: pytest.CaptureFixture) -> None:
    images = [file.name for file in sorted(scans.glob("*_t1.nii"))]
    rows = "\n".join(f"{name},{name[:3]},{60 + k}" for k, name in enumerate(images))
    (scans / "table.csv").write_text(f"file,who,age\n{rows}\n")
    words = ["manifest", "import", "csv", str(scans), "--out", str(scans / "t.json"), "--option", "image=file"]
    assert main([*words, "patient=who", 'columns=["age"]', 'modalities=["t1"]', "table=table.csv"]) == 0
    manifest = load_manifest(scans / "t.json")
    assert manifest.name == "scans"
    assert manifest.sections["training"][0]["columns"] == {"age": 60}
    assert main([*words, "patint=who"]) == 2
    assert "did you mean 'patient'" in capsys.readouterr().err


def test_layouts_and_public_sets_are_known_by_name(scans: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["manifest", "import", "brats2O21", str(scans), "--out", str(scans / "m.json")]) == 2
    shown = capsys.readouterr().err
    assert "did you mean 'brats2021'" in shown
    assert "nnunet" in shown


def test_create_reads_columns_out_of_the_path(scans: Path) -> None:
    words = ["--modalities", "flair", "t1", "--patient", r"(P\d+)", "--images", "*.nii", "--columns", r"visit=_([ab])_"]
    assert main(["manifest", "create", str(scans), *words, "--section", "test", "--out", str(scans / "m.json")]) == 0
    assert load_manifest(scans / "m.json").sections["test"][-1]["columns"] == {"visit": "b"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label_map", "tumor"], "KEY=VALUE"),
        (["--label_map", "tumor=one"], "NAME=INTEGER"),
        (["--out", "no/such/folder/m.json"], "a folder that exists"),
    ],
)
def test_create_refuses(scans: Path, words: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    base = ["manifest", "create", str(scans), "--modalities", "flair", "t1", "--patient", "case", "--images", "*.nii"]
    labels = ["--labels", "labels/{case}_seg.nii", "--label_map", "tumor=1"]
    assert main([*base, *labels, "--out", str(scans / "m.json"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (scans / "m.json").exists()


def test_write_needs_a_file(capsys: pytest.CaptureFixture) -> None:
    assert main(["manifest", "describe", "volumes", "--write"]) == 2
    assert "name the file" in capsys.readouterr().err


def test_cache_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path))
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "a.pt").write_bytes(bytes(2000))
    assert main(["cache", "show"]) == 0
    assert "2.0 kB" in capsys.readouterr().out
    assert main(["cache", "trim", "--limit", "1GB"]) == 0
    assert "removed 0 entries" in capsys.readouterr().out
    assert main(["cache", "trim", "--limit", "big"]) == 2
    assert "50GB" in capsys.readouterr().err
    assert main(["cache", "clear", "--kind", "volumes"]) == 0
    assert "removed 1 entries, 2.0 kB" in capsys.readouterr().out
    assert not (tmp_path / "volumes" / "a.pt").exists()


def test_cache_show_reads_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path))
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "50GB")
    assert main(["cache", "show"]) == 0
    assert "to 50.0 GB" in capsys.readouterr().out
    monkeypatch.setenv("MEDVOL_CACHE_SIZE", "abc")
    assert main(["cache", "show"]) == 2
    assert "MEDVOL_CACHE_SIZE" in capsys.readouterr().err
    monkeypatch.delenv("MEDVOL_CACHE_SIZE")
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEDVOL_CACHE", str(tmp_path / "file"))
    assert main(["cache", "show"]) == 2
    assert "must be a folder" in capsys.readouterr().err


def test_json_and_parquet_hold_the_same(scans: Path) -> None:
    mine, table, back = (scans / name for name in ("mine.json", "mine.parquet", "back.json"))
    create(scans, mine)
    assert main(["manifest", "filter", str(mine), "--out", str(table)]) == 0
    assert main(["manifest", "filter", str(table), "--out", str(back)]) == 0
    assert json.loads(back.read_text()) == json.loads(mine.read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["split"], "found none"),
        (["split", "--folds", "3", "--test", "20%"], "found --test and --folds"),
        (["verify", "--write", "--no_checksums"], "--no_checksums"),
    ],
)
def test_options_that_would_be_ignored_are_refused(scans: Path, words: list[str], message: str, capsys) -> None:
    create(scans, scans / "mine.json")
    capsys.readouterr()
    out = ["--out", str(scans / "x.json")] if words[0] == "split" else []
    assert main(["manifest", words[0], str(scans / "mine.json"), *words[1:], *out]) == 2
    assert message in capsys.readouterr().err
    assert not list(scans.glob("x*"))


def test_a_validation_section_is_not_dissolved_in_silence(scans: Path, capsys: pytest.CaptureFixture) -> None:
    mine, first, second = (str(scans / f"{name}.json") for name in ("mine", "first", "second"))
    create(scans, Path(mine))
    assert main(["manifest", "split", mine, "--validation", "2", "--out", first]) == 0
    assert main(["manifest", "split", first, "--test", "1", "--out", second]) == 2
    assert "validation section of its own" in capsys.readouterr().err
    assert main(["manifest", "split", first, "--test", "1", "--validation", "2", "--out", second]) == 0


@pytest.mark.parametrize("name", ["mine", "mine.csv", ""])
def test_a_manifest_needs_its_suffix(scans: Path, name: str, capsys: pytest.CaptureFixture) -> None:
    assert create(scans, scans / name) == 2
    assert ".json or .parquet" in capsys.readouterr().err
    assert not list(scans.glob(".*"))
