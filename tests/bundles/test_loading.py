from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.bundle import load as load_bundle

from medvol.bundles import GuardError
from medvol.bundles.loading import prepare_loading, running_load

ROOT = Path(__file__).parents[2] / "bundles"


def load(**seen: Any) -> dict[str, Any] | None:
    """A function of the same name that is not MONAI's."""
    assert seen
    return running_load()


def test_only_monais_load_counts() -> None:
    assert running_load() is None
    assert load(full_path="model.pt") is None


def network_config(initialize: list[str] | None = None) -> ConfigParser:
    layer = {"_target_": "torch.nn.Linear", "in_features": "@width", "out_features": 1}
    return ConfigParser({"width": 2, "network_def": layer, "initialize": initialize or ["$first", "$second"]})


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"weight": torch.zeros(1, 2)}, "bias is missing"),
        ({"weight": torch.zeros(1, 2), "bias": torch.zeros(1), "scale": torch.zeros(1)}, "scale is unknown"),
        ({"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}, r"weight is \(1, 3\) and not \(1, 2\)"),
        ({"model": {}, "optimizer": {}, "step": 1}, "and 2 more"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(state: dict[str, Any], said: str, tmp_path: Path) -> None:
    found = {"full_path": str(tmp_path / "model.pt"), "model_dict": state}
    with pytest.raises(GuardError, match=said):
        prepare_loading(network_config(), {}, found)


@pytest.mark.parametrize("asked", [{"net_override": {"out_features": 3}}, {"copy_model_args": {"mapping": {}}},
                                   {"key_in_ckpt": "model"}])  # fmt: skip
def test_a_caller_who_asks_for_something_else_gets_it(asked: dict[str, Any], tmp_path: Path) -> None:
    prepare_loading(network_config(), {}, {"full_path": str(tmp_path / "m.pt"), "model_dict": {}, **asked})


def test_of_initialize_only_the_guard_takes_place(tmp_path: Path) -> None:
    parser = network_config()
    state = torch.nn.Linear(2, 1).state_dict()
    prepare_loading(parser, {}, {"full_path": str(tmp_path / "m.pt"), "model_dict": state})
    assert parser.config["initialize"] == ["$first", None]


def test_an_older_monai_is_refused_on_loading(trained: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "cpc3d"
    shutil.copytree(ROOT / "cpc3d", folder, ignore=shutil.ignore_patterns("eval", "models"))
    shutil.copytree(trained["cpc3d"], folder / "models")
    meta = (folder / "configs" / "metadata.json").read_text(encoding="utf-8")
    (folder / "configs" / "metadata.json").write_text(meta.replace('"monai": "1.6.1"', '"monai": "99.1"'))
    with pytest.raises(GuardError, match=r"monai *>= *99\.1"):
        load_bundle("cpc3d", bundle_dir=tmp_path, device="cpu")


def test_the_weights_being_loaded_are_those_of_the_config(trained: dict[str, Path]) -> None:
    """`weights` of inference.json names a run by default, which someone who downloaded the bundle does not have."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "cpc3d" / "inference.json"))
    weights = trained["cpc3d"] / "model.pt"
    found = {"full_path": str(weights), "model_dict": torch.load(weights, weights_only=True)}
    prepare_loading(parser, ConfigParser.load_config_files([str(ROOT / "cpc3d" / "inference.json")]), found)
    assert parser["weights"] == str(weights)
    assert parser["filters"] == [8, 8, 8]
    assert parser["manifest"] == "phantom"
