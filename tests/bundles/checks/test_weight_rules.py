from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from medvol.bundles.checks.weight_rules import loaders, weights_rule
from medvol.bundles.opening import OpenBundle, open_bundle


def with_config(config: dict) -> OpenBundle:
    return OpenBundle(Path(), Path("train.json"), {}, ConfigParser(config))


def test_weights_that_fit_are_no_problem(overrides: Callable[..., dict], trained: dict[str, Path]) -> None:
    given = overrides("unet_brats", pretrained=str(trained["cpc3d"] / "model.pt"))
    opened = open_bundle("unet_brats", overrides=given)
    assert list(weights_rule(opened)) == []
    assert opened.parser.ref_resolver.items == {}, "the network was built by another parser"


def test_scratch_is_no_problem_and_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monai.networks.nets.DynUNet.__init__", lambda *_, **__: pytest.fail("built"))
    assert list(weights_rule(open_bundle("unet_brats"))) == []


def test_loaders_are_found_at_any_depth() -> None:
    node = {"_target_": "medvol.networks.load_pretrained", "network": "@net", "weights": "@weights"}
    config = {"net": {}, "parts": [{"inner": node}, 3], "network": node}
    assert [path for path, _ in loaders(config)] == ["parts::0::inner", "network"]


def test_any_network_is_compared_with_its_weights(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "linear.pt")
    config = {
        "weights": str(tmp_path / "linear.pt"),
        "net": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3},
        "network": {
            "_target_": "medvol.networks.load_pretrained", "network": "@net", "weights": "@weights", "scope": "network"
        },
    }  # fmt: skip
    assert [p.state for p in weights_rule(with_config(config))] == ["warning"], "there is no passport"
    config["net"]["out_features"] = 4
    problem = list(weights_rule(with_config(config)))[-1]
    assert "weight (3, 2) in the file, (4, 2) in the network" in problem.found
    assert "expected" not in problem.remedy


def test_the_remedy_stands_in_its_own_part(overrides: Callable[..., dict], trained: dict[str, Path]) -> None:
    given = overrides("unet_brats", pretrained=str(trained["cpc3d"] / "model.pt"), filters=[8, 8, 16])
    (problem,) = weights_rule(open_bundle("unet_brats", overrides=given))
    assert problem.found.startswith("load_pretrained(scope='encoder') expects")
    assert problem.remedy.startswith("build the network as the pre-training run did")
