from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from medvol.bundles.showing.stated import state

ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the bundle cpc3d and one run of it, as the current one."""
    bundle = tmp_path / "bundles" / "cpc3d"
    shutil.copytree(ROOT / "bundles" / "cpc3d", bundle, symlinks=True, ignore=shutil.ignore_patterns("eval"))
    (bundle / "eval").mkdir()
    names = ("run.json", "passport.json", "model.pt")
    for run, files in (("first", names), ("cut", names[:1])):
        (bundle / "eval" / run).mkdir()
        for file in files:
            (bundle / "eval" / run / file).symlink_to(trained["cpc3d"] / file)
    (bundle / "eval" / "latest.txt").write_text("first")
    monkeypatch.chdir(tmp_path)
    return bundle


@pytest.mark.parametrize("spec", ["cpc3d@latest", "cpc3d@first", "cpc3d@cut", "bundles/cpc3d/eval/first"])
def test_a_run_is_its_recipe(spec: str, here: Path) -> None:
    stated = state(spec)
    assert stated.config["filters"] == [8, 8, 8]
    assert stated.record["bundle"] == "cpc3d"


def test_weights_and_notes_name_their_run(trained: dict[str, Path]) -> None:
    for file in ("model.pt", "run.json", "passport.json"):
        assert state(trained["cpc3d"] / file).config["steps"] == 2


@pytest.mark.parametrize("run", ["lates", "../first", "..", ""])
def test_an_unknown_run_is_refused_with_those_that_exist(run: str, here: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"one of cut, first; found no"):
        state(f"cpc3d@{run}")


def test_a_bundle_without_runs_says_so(here: Path) -> None:
    shutil.rmtree(here / "eval")
    with pytest.raises(FileNotFoundError, match="train it first"):
        state("cpc3d@latest")


def test_a_run_takes_no_other_values(here: Path) -> None:
    with pytest.raises(ValueError, match="as it ran; found values for steps"):
        state("cpc3d@first", overrides={"steps": 3})


def test_a_note_without_a_recipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="'recipe'"):
        state(tmp_path)


def test_words_become_values_and_wrong_keys_are_refused() -> None:
    assert state("cpc3d", overrides={"mlflow": "false"}).config["mlflow"] is False
    for wrong, said in (({"epoch": 1}, "did you mean 'steps'"), ({"steps": "many"}, "must be int")):
        with pytest.raises(ValueError, match=said):
            state("cpc3d", overrides=wrong)


def test_a_config_that_is_wrong_in_itself_is_shown(here: Path) -> None:
    content = json.loads((here / "train.json").read_text())
    (here / "train.json").write_text(json.dumps({**content, "nothing_reads_me": 1}))
    assert state("cpc3d", overrides={"steps": 3}).config["nothing_reads_me"] == 1


def test_weights_bring_their_values_along_but_not_over_given_ones(trained: dict[str, Path]) -> None:
    given = {"weights": str(trained["cpc3d"] / "model.pt")}
    stated = state("cpc3d", "inference.json", given)
    assert stated.config["filters"] == [8, 8, 8]
    assert stated.brought["values"]["filters"] == [8, 8, 8]
    assert state("cpc3d", "inference.json", {**given, "filters": [8, 16]}).config["filters"] == [8, 16]


def test_missing_weights_are_said_and_not_fatal(here: Path) -> None:
    stated = state("cpc3d", "inference.json", {"weights": "cpc3d@nowhere"})
    assert "cpc3d@first" in stated.brought["missing"]


def test_a_config_as_a_recipe_holds_what_paths_name(trained: dict[str, Path], dataset: Path) -> None:
    run = state(trained["cpc3d"]).comparable(with_run=True)
    mine = state("cpc3d", overrides={"manifest": str(dataset)}).comparable(with_run=True)
    assert mine["manifest"] == run["manifest"]
    assert "num_workers" not in mine
    assert mine["versions"].keys() == run["versions"].keys()
    start = state("unet_brats", overrides={"pretrained": str(trained["cpc3d"] / "model.pt")})
    assert start.comparable(True)["pretrained"] == state(trained["unet_brats"]).comparable(True)["pretrained"]
    missing = state("cpc3d", overrides={"manifest": "nowhere.json"})
    assert missing.comparable(True)["manifest"] == "nowhere.json"


def test_the_phantom_is_not_made_to_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medvol.bundles.showing.stated.load_manifest", lambda *a: pytest.fail("made"))
    assert state("cpc3d").comparable(with_run=True)["manifest"] == "phantom"
