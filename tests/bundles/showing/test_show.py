from __future__ import annotations

import json
from pathlib import Path

import pytest

from medvol.__main__ import main
from medvol.bundles.showing.show import compare, comparison_text, resolved, resolved_text

ROOT = Path(__file__).parents[3] / "bundles"
CONFIGS = sorted(f"{f.parent.name}/{f.name}" for f in ROOT.glob("*/*.json") if f.stem in ("train", "inference"))


def by_key(rows: list[dict]) -> dict[str, dict]:
    return {row["key"]: row for row in rows}


def test_the_config_that_would_run() -> None:
    content = resolved("cpc3d", overrides={"steps": 7, "filters": [8, 16], "mlflow": "false"})
    assert resolved("cpc3d", overrides={"train::trainer::clip_norm": 2}, keys=["train::trainer::clip_norm"])
    assert content["lr_scheduler"]["total_steps"] == content["train"]["trainer"]["steps"] == 7
    assert content["unet"]["strides"] == [1, 2]
    assert content["mlflow"] is False
    assert content["output_dir"] == str(ROOT / "cpc3d" / "eval")
    assert content["network"]["encoder"] == "@network_def"
    assert content["train"]["trainer"]["max_epochs"] == "$medvol.engines.num_epochs(7, 50)"
    assert content["train"]["handlers"][0]["run_dir"] == "@run_dir"
    assert "_meta_" not in content


@pytest.mark.parametrize("config", CONFIGS)
def test_the_text_is_the_files_own_form(config: str) -> None:
    """Parts stand on the lines on which they stand in the file, and the text is JSON."""
    text = (ROOT / config).read_text(encoding="utf-8")
    shown = resolved_text(json.loads(text))
    assert json.loads(shown) == json.loads(text)
    parts = [line for line in text.split("\n") if '"_target_"' in line]
    lines = set(shown.split("\n"))
    different = [line for line in parts if line not in lines]
    assert len(different) <= 2, different


def test_keys_pick_parts() -> None:
    assert resolved("cpc3d", keys=["train::dataset#seed", "steps"]) == {"train::dataset::seed": 0, "steps": 300}
    assert resolved("cpc3d", keys=["train::handlers::0::mlflow"]) == {"train::handlers::0::mlflow": True}


@pytest.mark.parametrize(
    ("key", "near"), [("train::datset", "train::dataset"), ("step", "steps"), ("train::handlers::7", "train::handlers")]
)
def test_an_unknown_key_is_named_with_its_neighbor(key: str, near: str) -> None:
    with pytest.raises(ValueError, match=rf"found '{key}', which is none; did you mean '{near}"):
        resolved("cpc3d", keys=[key])


def test_what_weights_bring_along_is_marked(trained: dict[str, Path]) -> None:
    given = {"weights": str(trained["unet_brats"] / "model.pt")}
    note = resolved("unet_brats", "evaluate.json", given)["_inherited_"]
    assert note["weights"] == given["weights"]
    assert note["instead_of"]["filters"] == [16, 32, 64, 96]
    assert {"filters", "run_name", "seed"} <= set(note["keys"])

    part = resolved("unet_brats", "evaluate.json", given, keys=["spacing"])
    assert part["_inherited_"]["keys"] == ["spacing"]


def test_missing_weights_are_marked() -> None:
    note = resolved("cpc3d", "inference.json", {"weights": "cpc3d@nowhere"})["_inherited_"]
    assert "nowhere" in note["missing"]


def test_two_bundles() -> None:
    rows = by_key(compare("unet_brats", "unet_hippocampus"))
    assert rows["manifest"] == {"key": "manifest", "one": "phantom", "other": "hippocampus"}
    assert rows["train::preprocessing::transforms::LabelsToRegionsd"].keys() == {"key", "one"}
    assert "bundle_root" not in rows
    assert "output_dir" not in rows
    assert "lr_scheduler::total_steps" not in rows


def test_a_bundle_and_itself_under_overrides() -> None:
    rows = compare("cpc3d", str(ROOT / "cpc3d"), overrides={"grid": [5, 5, 5], "optimizer::weight_decay": 0.2})
    assert [row["key"] for row in rows] == ["grid", "optimizer::weight_decay"]


def test_keys_follow_references() -> None:
    rows = compare("cpc3d", "unet_brats", keys=["train::trainer"])
    assert by_key(rows)["train::trainer::steps"] == {"key": "train::trainer::steps", "one": 300, "other": 400}
    assert all(row["key"].startswith("train::trainer") for row in rows)
    assert compare("cpc3d", "unet_brats", keys=["scope"]) == [{"key": "scope", "other": "encoder"}]
    with pytest.raises(ValueError, match="did you mean 'train::trainer'"):
        compare("cpc3d", "unet_brats", keys=["train::trainr"])


def test_a_run_and_its_bundle(trained: dict[str, Path], overrides: dict) -> None:
    same = compare("cpc3d", trained["cpc3d"], overrides=overrides("cpc3d", num_workers=3))
    assert same == []
    rows = compare("cpc3d", trained["cpc3d"], overrides=overrides("cpc3d", min_gap=1))
    assert rows == [{"key": "min_gap", "one": 1, "other": 2}]


def test_two_runs(trained: dict[str, Path]) -> None:
    rows = by_key(compare(trained["unet_brats"], trained["unet_hippocampus"]))
    assert "hash" in rows["manifest"]["one"]
    assert compare(trained["cpc3d"], trained["cpc3d"] / "model.pt") == []


def test_the_table_fits_and_shows_where_long_values_differ() -> None:
    rows = compare("cpc3d", "unet_brats")
    for width in (60, 88, 120):
        text = comparison_text(rows, "cpc3d", "a_bundle_with_a_long_name" * 3, width)
        assert max(map(len, text.split("\n"))) <= width
    lines = comparison_text(rows, "cpc3d", "unet_brats", 120).split("\n")
    assert len(lines) == len(rows) + 1
    assert any("RandPatchGridd" in line for line in lines)
    (data,) = (line for line in lines if line.startswith("train::dataset::data"))
    assert "labelled=True" in data
    assert comparison_text([], "a", "b") == "a and b say the same."


def test_a_value_in_the_table_is_one_line() -> None:
    text = comparison_text([{"key": "a", "one": "x\ny\x1b[2J"}], "one", "other", 100)
    assert text.split("\n")[1] == "a    x y [2J  -"


def test_the_command(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    assert main(["show", "cpc3d", "--steps", "7", "--keys", "steps", "--json", str(tmp_path / "a.json")]) == 0
    assert json.loads(capsys.readouterr().out) == {"steps": 7} == json.loads((tmp_path / "a.json").read_text())
    assert main(["show", "cpc3d", "--steps", "7", "--against", "cpc3d", "--json", str(tmp_path / "b.json")]) == 0
    assert json.loads((tmp_path / "b.json").read_text()) == [{"key": "steps", "one": 7, "other": 300}]
    assert main(["show", "cpc4d"]) == 2
    assert "Did you mean cpc3d" in capsys.readouterr().err
