"""The files of overrides that come with the bundles: the network of each can be built, and ``check`` tries it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from medvol.bundles.args_files import with_args_file
from medvol.bundles.checks.check import check_bundle
from medvol.bundles.checks.network_rules import network_rule, preprocessing_rule
from medvol.bundles.opening import open_bundle

ROOT = Path(__file__).parents[2] / "bundles"
FILES = sorted(f"{path.parent.name}/{path.name}" for path in ROOT.glob("*/*args_*.json"))
QUICK = {"mae3d/args_vit.json", "simmim3d/args_vit.json"}


@pytest.mark.parametrize("file", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in FILES])
def test_the_network_can_be_built(file: str) -> None:
    bundle, name = file.split("/")
    config = "inference.json" if name.startswith("inference") else "train.json"
    opened = open_bundle(bundle, config, with_args_file(ROOT / file, {}))
    assert list(network_rule(opened)) == []
    if "pretrained" not in opened.config:  # the chain of a downstream task reads the classes of its data, not here
        assert list(preprocessing_rule(opened)) == []


def test_check_tries_the_network_of_a_file(overrides: Callable[..., dict], tmp_path: Path) -> None:
    given = overrides("mae3d")
    for key in json.loads((ROOT / "mae3d" / "args_vit.json").read_text(encoding="utf-8")):
        given.pop(key, None)
    right = check_bundle("mae3d", overrides=given, estimate_steps=0, args_file=ROOT / "mae3d" / "args_vit.json")
    assert right.ok, right.text()
    assert "MaskedViT" in right.facts["network"]
    wrong = tmp_path / "args_wrong.json"
    wrong.write_text(json.dumps({"network": {"_target_": "medvol.networks.MaskedViT", "encoder": "@network_def"}}))
    (problem,) = check_bundle("mae3d", overrides=given, estimate_steps=0, args_file=wrong).problems
    assert problem.expected == "settings that 'network' can be built from"
    assert "must be a medvol.networks.Encoder; found DynUNet" in problem.found
