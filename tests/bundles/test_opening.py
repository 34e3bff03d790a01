from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from medvol.bundles.opening import KeyPlaceError, config_file, open_bundle

FOLDER = Path(__file__).parents[2] / "bundles" / "cpc3d"


def test_a_bundle_is_a_name_a_folder_or_a_file() -> None:
    for given in ("cpc3d", FOLDER, FOLDER / "train.json", FOLDER / "configs" / "train.json"):
        opened = open_bundle(given)
        assert opened.name == "cpc3d"
        assert Path(opened.parser.get_parsed_content("bundle_root")) == FOLDER
        assert opened.config["_meta_"]["version"] == json.loads((FOLDER / "metadata.json").read_text())["version"]


def test_the_suffix_may_be_left_out() -> None:
    assert config_file("cpc3d", "inference") == FOLDER / "inference.json"


def test_overrides_reach_into_the_config_and_leave_the_original() -> None:
    opened = open_bundle("cpc3d", overrides={"steps": 3, "train::trainer::clip_norm": 2.0, "mlflow": "false"})
    assert opened.config["steps"] == 3
    assert opened.config["train"]["trainer"]["clip_norm"] == 2.0
    assert opened.config["mlflow"] is False
    assert opened.original["steps"] == 300
    assert opened.original["train"]["trainer"]["clip_norm"] == 1.0


@pytest.mark.parametrize(("given", "found"), [("cpc4d", "Did you mean cpc3d"), ("nonsense/train.json", "Give one of")])
def test_an_unknown_bundle(given: str, found: str) -> None:
    with pytest.raises(FileNotFoundError, match=found):
        open_bundle(given)


def test_an_unknown_config() -> None:
    with pytest.raises(FileNotFoundError, match=r"args_hippocampus.json, .*inference.json, .*train.json"):
        open_bundle("cpc3d", "evaluate.json")


def test_a_nested_key_that_leads_nowhere() -> None:
    with pytest.raises(ValueError, match="'train::trainr::clip_norm' must lead to a place"):
        open_bundle("cpc3d", overrides={"train::trainr::clip_norm": 2.0})


def test_a_syntax_error_shows_its_line(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "mine", symlinks=True)
    text = (FOLDER / "train.json").read_text().replace('"steps": 300,', '"steps": 300;')
    (tmp_path / "mine" / "train.json").write_text(text)
    with pytest.raises(ValueError, match=r"line \d+, column \d+") as error:
        open_bundle(tmp_path / "mine")
    _, line, mark, _ = str(error.value).splitlines()
    assert line[mark.index("^")] == ";"


def test_the_key_that_leads_nowhere_is_known() -> None:
    with pytest.raises(KeyPlaceError) as error:
        open_bundle("cpc3d", overrides={"steps": 3, "train::trainr::clip_norm": 1})
    assert error.value.key == "train::trainr::clip_norm"
