from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from medvol.bundles.inherit import fill_inherited, inherited, results_dir
from medvol.passport import write_passport

ORIGINAL = {
    "weights": "x",
    "spacing": [2.0],
    "modalities": ["t1"],
    "label_map": None,
    "network_def": {"a": 1},
    "arm": None,
}


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.save({"w": torch.zeros(1)}, tmp_path / "model.pt")
    recipe = {"spacing": [1.0], "modalities": ["flair"], "network_def": {"a": 2}, "steps": 300}
    record = {"recipe": recipe, "run": "r1", "arm": "scratch", "seed": 3, "data": {"label_map": {"tumor": 7}}}
    write_passport(tmp_path / "passport.json", record)
    return str(tmp_path / "model.pt")


def test_defaults_are_taken_from_the_passport(weights: str) -> None:
    taken = inherited({**ORIGINAL, "weights": weights}, ORIGINAL)
    assert taken == {"spacing": [1.0], "modalities": ["flair"], "label_map": {"tumor": 7}, "arm": "scratch"}


def test_what_the_user_gave_stays(weights: str) -> None:
    assert "spacing" not in inherited({**ORIGINAL, "weights": weights, "spacing": [3.0]}, ORIGINAL)


def test_without_a_passport_nothing_is_taken(weights: str) -> None:
    Path(weights).with_name("passport.json").unlink()
    assert inherited({**ORIGINAL, "weights": weights}, ORIGINAL) == {}
    assert inherited({**ORIGINAL, "weights": "nowhere.pt"}, ORIGINAL) == {}


def test_results_lie_beside_the_weights(weights: str) -> None:
    assert results_dir(weights, "test") == str(Path(weights).parent / "test")
    assert results_dir(weights, "test", None, 3) == str(Path(weights).parent / "test")
    assert results_dir(weights, "test", "noise", 3) == str(Path(weights).parent / "test-noise-3")


def test_a_config_is_filled_as_the_guard_fills_it(weights: str) -> None:
    parser = ConfigParser({**ORIGINAL, "weights": weights, "modalities": ["t2"]})
    values = fill_inherited(parser, ORIGINAL)
    assert values == {"spacing": [1.0], "label_map": {"tumor": 7}, "arm": "scratch"}
    assert {key: parser.config[key] for key in values} == values
    assert parser.config["modalities"] == ["t2"], "the user gave them"
    assert fill_inherited(ConfigParser({"spacing": [2.0]}), {"spacing": [2.0]}) == {}


def test_a_damaged_passport_is_for_the_rules_to_say(weights: str) -> None:
    Path(weights).with_name("passport.json").write_text("{", encoding="utf-8")
    assert inherited({**ORIGINAL, "weights": weights}, ORIGINAL) == {}
    assert inherited({**ORIGINAL, "weights": 3}, ORIGINAL) == {}
