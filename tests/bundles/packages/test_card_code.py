from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from medvol.bundles.packages.card_code import constructor, loading_code
from medvol.networks import read_weights
from medvol.passport import read_passport


@pytest.mark.parametrize("bundle", ["cpc3d", "unet_brats", "unet_hippocampus"])
def test_the_code_of_a_card_loads_the_weights(bundle: str, trained: dict[str, Path]) -> None:
    file = trained[bundle] / "model.pt"
    text = loading_code(read_passport(file), str(file))
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    assert "medvol" not in blocks[0]
    assert "medvol" in blocks[1]
    state = read_weights(file)
    for block in blocks:
        names: dict = {}
        exec(block, names)
        own = names["network"].state_dict()
        assert all(torch.equal(own[key], value) for key, value in state.items())
        assert bundle == "cpc3d" or own.keys() == state.keys()


def test_components_within_components_are_spelled_out() -> None:
    node = {
        "_target_": "torch.nn.Sequential",
        "a": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3},
        "b": "x" * 100,
    }
    lines: set[str] = set()
    code = constructor(node, lines)
    assert lines == {"from torch.nn import Sequential", "from torch.nn import Linear"}
    assert code == f"Sequential(\n    a=Linear(in_features=2, out_features=3),\n    b={'x' * 100!r},\n)"


@pytest.mark.parametrize(
    "node",
    [
        None, "@unet", {"a": 1}, {"_target_": "os.system('x')"}, {"_target_": "a.B", "n": "$len(@x)"},
        {"_target_": "a.B", "n": [{"k": "@x"}]}, {"_target_": "a.B", "n=1) #": 2}, {"_target_": 3},
    ],
)  # fmt: skip
def test_what_cannot_be_spelled_out_is_said(node: object) -> None:
    assert constructor(node, set()) is None
    assert "arguments are not stated" in loading_code({"architecture": node})


def test_a_network_of_medvol_is_loaded_with_medvol_alone() -> None:
    text = loading_code({"architecture": {"_target_": "medvol.networks.CPC", "n": 1}})
    assert text.count("```python") == 1
    assert 'load_pretrained(network, "models/model.pt", scope="network")' in text
