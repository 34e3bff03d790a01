from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medvol.bundles.packages.fitting import carried_values, fitted_config, fitting_network
from medvol.networks import read_weights
from medvol.passport import read_passport

CPC = Path(__file__).parents[3] / "bundles" / "cpc3d"


@pytest.fixture
def weights(trained: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of a run of cpc3d with other filters and spacing than the bundle's."""
    for name in ("model.pt", "passport.json"):
        (tmp_path / name).write_bytes((trained["cpc3d"] / name).read_bytes())
    return tmp_path / "model.pt"


def checked(weights: Path, values: dict | None = None) -> torch.nn.Module:
    record = read_passport(weights)
    return fitting_network(CPC, weights, record, carried_values(CPC, weights, record) if values is None else values)


def test_the_run_carries_what_an_inference_would_take(weights: Path) -> None:
    values = carried_values(CPC, weights, read_passport(weights))
    assert values == {"filters": [8, 8, 8], "spacing": [1.0, 1.0, 1.0]}


def test_facts_about_one_run_are_not_carried(trained: dict[str, Path]) -> None:
    folder, file = CPC.parent / "unet_brats", trained["unet_brats"] / "model.pt"
    assert carried_values(folder, file, read_passport(file)).keys() == {"filters", "spacing", "roi_size"}


def test_the_network_has_the_values_of_the_file(weights: Path) -> None:
    state = read_weights(weights)
    network = checked(weights)
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not network.training


def test_a_missing_a_renamed_a_reshaped_and_a_ruined_tensor_are_named(weights: Path) -> None:
    state = read_weights(weights)
    first, last = next(iter(state)), list(state)[-1]
    cases = {
        rf"found: {first} is missing; pack": {k: v for k, v in state.items() if k != first},
        rf"found: {last} is missing; other is unknown to the network; pack": {
            ("other" if k == last else k): v for k, v in state.items()
        },
        rf"{first} has the shape \(2, .*, the network \(8, ": {**state, first: state[first][:2]},
        rf"{last} holds numbers that are not finite": {**state, last: torch.full_like(state[last], torch.nan)},
        r"and \d+ more": {"other": torch.ones(1)},
    }
    for message, wrong in cases.items():
        torch.save(wrong, weights)
        with pytest.raises(ValueError, match=message):
            checked(weights)


def test_another_argument_of_equal_shapes_is_found(weights: Path) -> None:
    record = read_passport(weights)
    record["architecture"]["network"]["norm_name"][1]["num_groups"] = 4
    with pytest.raises(ValueError, match=r"network\.norm_name was .*4.* and is .*8.*; correct network_def|train with"):
        fitting_network(CPC, weights, record, carried_values(CPC, weights, record))


def test_without_the_carried_values_another_network_would_be_built(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"network\.filters was \[8, 8, 8\] and is \[16, 32, 64, 96\]"):
        checked(weights, values={})


@pytest.mark.parametrize("name", ["cpc3d/train.json", "unet_brats/evaluate.json", "unet_hippocampus/inference.json"])
def test_only_the_named_values_of_a_config_change(name: str) -> None:
    text = (CPC.parent / name).read_text(encoding="utf-8")
    assert fitted_config(text, {}) == text
    assert fitted_config(text, {"spatial_dims": 3, "no_such_key": 1}) == text
    new = {"filters": [8, 16], "manifest": 'a "quoted" text', "seed": None, "imports": [], "modalities": ["ä"]}
    fitted = fitted_config(text, new)
    assert json.loads(fitted) == {**(old := json.loads(text)), **{k: v for k, v in new.items() if k in old}}
    changed = [line for line in fitted.splitlines() if line not in text.splitlines()]
    assert len(changed) <= len(new)


@pytest.mark.parametrize("text", ["{}", '{"a":1}', '{ "a" : {"filters": 2} , "b":[1,2] }\n', '{"filters":1}'])
def test_any_spelling_of_json_is_kept(text: str) -> None:
    fitted = fitted_config(text, {"filters": 9})
    assert json.loads(fitted) == {k: 9 if k == "filters" else v for k, v in json.loads(text).items()}
    assert fitted == text.replace('{"filters":1}', '{"filters":9}')
