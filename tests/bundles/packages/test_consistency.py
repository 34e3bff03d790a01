"""A package in which configs and weights contradict each other, or that names patients or places, does not go out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medvol.bundles.opening import open_bundle
from medvol.bundles.packages.consistency import config_problems, private_problems, run_problems
from medvol.bundles.plain import fixed_transforms, plain

ROOT = Path(__file__).parents[3] / "bundles"
BUNDLES = sorted(p.parent.name for p in ROOT.glob("*/train.json"))


def record_of(folder: Path) -> dict[str, Any]:
    """What the passport of a run of the bundle as it is says of network and preparation."""
    parser = open_bundle(folder).parser
    return {
        "architecture": plain(parser, "network_def"),
        "preprocessing": fixed_transforms(parser),
        "modalities": parser.config["modalities"],
        "recipe": {"modalities": parser.config["modalities"], "where": None},
        "hash": "1" * 64,
    }


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """``edited("cpc3d", "inference.json", change)``: a copy of the bundle with one config changed."""

    def build(bundle: str, config: str, change: Callable[[dict], None]) -> Path:
        folder = tmp_path / bundle
        shutil.copytree(ROOT / bundle, folder, symlinks=True, ignore=shutil.ignore_patterns("eval", "models"))
        content = json.loads((folder / config).read_text(encoding="utf-8"))
        change(content)
        (folder / config).write_text(json.dumps(content), encoding="utf-8")
        return folder

    return build


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_bundles_fit_themselves(bundle: str) -> None:
    assert list(config_problems(ROOT / bundle, record_of(ROOT / bundle), {})) == []


def transform(content: dict, kind: str) -> dict:
    chain = content["preprocessing"]["transforms"]
    return next(part for part in chain if part["_target_"].endswith(kind))


@pytest.mark.parametrize(
    ("bundle", "config", "change", "named"),
    [
        ("cpc3d", "inference.json", lambda c: transform(c, "NormalizeIntensityd").update(nonzero=False), "nonzero"),
        ("cpc3d", "inference.json", lambda c: transform(c, "Orientationd").update(axcodes="LPS"), "axcodes"),
        ("cpc3d", "inference.json", lambda c: c["preprocessing"]["transforms"].pop(3), "Spacingd"),
        ("unet_brats", "evaluate.json", lambda c: transform(c, "Spacingd").update(mode="nearest"), "Spacingd.mode"),
        ("unet_brats", "evaluate.json", lambda c: c["network_def"].update(act_name="relu"), "act_name"),
        ("cpc3d", "train.json", lambda c: c["unet"].update(act_name="relu"), "act_name"),
    ],
)
def test_a_config_that_does_something_else_is_named(
    edited: Callable[..., Path], bundle: str, config: str, change: Callable, named: str
) -> None:
    (problem,) = config_problems(edited(bundle, config, change), record_of(ROOT / bundle), {})
    assert config in problem
    assert named in problem


@pytest.mark.parametrize("where", ["patient != 'Zwygart Ida'", "case in ['a']", "endswith(image, 'x')"])
def test_an_expression_over_patients_is_private(where: str) -> None:
    (problem,) = private_problems({"recipe": {"where": where}}, {})
    assert where in problem


def test_an_expression_over_columns_is_not() -> None:
    assert list(private_problems({"recipe": {"where": "spacing_z <= 2 and patients_seen == 1"}}, {})) == []


def test_a_path_in_a_config_is_private() -> None:
    files = {
        "train.json": b'{"dataset_dir": "/home/hans/Patienten"}',
        "configs/train.json": b'{"dataset_dir": "/home/hans/Patienten"}',
        "args_mine.json": b'{"manifest": "/home/hans/mueller.json"}',
        "inference.json": b'{"weights": "$@bundle_root + \'/models/model.pt\'"}',
        "models/model.pt": Path("model.pt"),
    }
    problems = list(private_problems({"recipe": {}}, files))
    assert [("train.json" in p, "args_mine.json" in p) for p in problems] == [(True, False), (False, True)]


def test_a_passport_that_contradicts_itself_or_its_run(tmp_path: Path) -> None:
    record = record_of(ROOT / "cpc3d")
    (tmp_path / "run.json").write_text(json.dumps({"hash": "1" * 64}), encoding="utf-8")
    assert list(run_problems(record, tmp_path / "model.pt")) == []
    (tmp_path / "run.json").write_text(json.dumps({"hash": "2" * 64}), encoding="utf-8")
    assert len(list(run_problems({**record, "modalities": ["t1"]}, tmp_path / "model.pt"))) == 2
