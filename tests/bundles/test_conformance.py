"""What every bundle on disk must be."""

from __future__ import annotations

import json
import pydoc
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from medvol.bundles.checks.network_rules import preprocessing_rule
from medvol.bundles.checks.rules import keys_rule
from medvol.bundles.opening import open_bundle

ROOT = Path(__file__).parents[2] / "bundles"
BUNDLES = sorted(p.parent.name for p in ROOT.glob("*/train.json"))
PRETEXT = [
    b
    for b in BUNDLES
    if "TrainingSuite" in (ROOT / b / "train.json").read_text() and not (ROOT / b / "evaluate.json").exists()
]
CONFIGS = [
    f"{b}/{c}.json" for b in BUNDLES for c in ("train", "evaluate", "inference") if (ROOT / b / f"{c}.json").exists()
]
EXPRESSIONS = [  # what a "$" may say; anything longer belongs into a component
    r"import medvol",
    r"medvol\.bundles\.(guard|bundle_root)\(\)",
    r"medvol\.bundles\.passport\(@run_dir\)",
    r"medvol\.bundles\.results_dir\(@weights, (@section(, @corruption, @severity)?|'\w+')\)",
    r"medvol\.distributed\.(device|initialize|finalize)\(\)",
    r"medvol\.engines\.num_epochs\(@steps, @steps_per_epoch\)",
    r"medvol\.metrics\.\w+\((@grid|activation='sigmoid')?\)",
    r"medvol\.engines\.SaveReconstructions\(@run_dir, @spacing\) if @reconstructions else None",
    r"medvol\.metrics\.num_outputs\(@mode, @targets\)",
    r"medvol\.networks\.parameter_groups\(@network, @learning_rate, @encoder_scale\)",
    r"medvol\.networks\.encoder_modules\(@network\) if @pretrained else \[\]",
    r"monai\.utils\.set_determinism\(seed=(@seed|0)\)",
    r"@(bundle_root|run_dir|results_dir) \+ '/[\w.]+'",
    r"@data\.items\((@section|'\w+'), @modalities(, @num_patients, @subset_seed)?(, where=@where)?"
    r"(, labelled=(True|@targets))?\)",
    r"@data\.label_map",
    r"@network\.parameters\(\)",
    r"@permutations\.shape\[1\]",
    r"@[\w:]+\.run\(\)",
    r"len\(@\w+\)( \+ 1)?",
    r"@fusion_levels \+ 1",
    r"\[\d\] \* \(?len\(@filters\)( - 1\))?",
    r"\[1\] \+ \[2\] \* \(len\(@filters\) - 1\)",
    r"not @(save_predictions|corruption)",
    r"@corruption in \('rotation', 'scaling'\)",
    r"dict\(@regions\)",
    r"@section \+ \(', synthetic data' if @data\.synthetic else ''\)",
]


def load(name: str) -> dict:
    return json.loads((ROOT / name).read_text())


def strings(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str):
        yield node


def targets(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def test_there_are_bundles() -> None:
    assert {"cpc3d", "unet_brats", "unet_hippocampus"} <= set(BUNDLES)


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_bundle_has_its_files(bundle: str) -> None:
    for file in ("train.json", "inference.json", "metadata.json", "logging.conf", "README.md", "LICENSE", "models"):
        assert (ROOT / bundle / file).exists(), file
    for file in (ROOT / bundle).glob("*.json"):
        link = ROOT / bundle / "configs" / file.name
        assert link.is_symlink(), f"{bundle}/configs/{file.name} must be a link"
        assert str(link.readlink()) == f"../{file.name}"


@pytest.mark.parametrize("config", CONFIGS)
def test_every_target_resolves(config: str) -> None:
    assert [t for t in targets(load(config)) if pydoc.locate(t) is None] == []


@pytest.mark.parametrize("config", CONFIGS)
def test_expressions_are_from_the_list_and_nothing_is_rewritten(config: str) -> None:
    for text in strings(load(config)):
        assert "#" not in text, text
        assert "lambda" not in text, text
        if text.startswith("$"):
            assert any(re.fullmatch(pattern, text[1:]) for pattern in EXPRESSIONS), text


@pytest.mark.parametrize("config", CONFIGS)
def test_the_guard_stands_first(config: str) -> None:
    assert load(config)["initialize"][0] == "$medvol.bundles.guard()"


@pytest.mark.parametrize("config", CONFIGS)
def test_properties_are_clean(config: str, overrides: Callable[..., dict], trained: dict[str, Path]) -> None:
    bundle, file = config.split("/")
    if file == "train.json":
        workflow = ConfigWorkflow(config_file=str(ROOT / config), workflow_type="train", **overrides(bundle))
    else:
        given = {
            "weights": str(trained[bundle] / "model.pt"),
            "manifest": overrides(bundle)["manifest"],
            "device": "cpu",
        }
        workflow = ConfigWorkflow(config_file=str(ROOT / config), workflow_type="infer", **given)
    workflow.initialize()
    assert workflow.check_properties() == []


ANOTHER_NETWORK = {"args_unetr.json", "args_swin.json"}  # of a training, which its evaluation and inference need, too


@pytest.mark.parametrize("args", sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("*/*args_*.json")))
def test_args_files_fit_their_bundle(args: str, overrides: Callable[..., dict]) -> None:
    bundle, file = args.split("/")
    given = load(args)
    if bundle == "unet_pancreas":  # no manifest of its data is in a clone
        given = {"manifest": overrides(bundle)["manifest"], **given}
    configs = ["inference.json" if "inference" in file else "train.json"]
    configs += ["evaluate.json", "inference.json"] if file in ANOTHER_NETWORK else []
    for config in configs:
        opened = open_bundle(bundle, config, overrides=given)
        assert [*keys_rule(opened), *preprocessing_rule(opened)] == []


DATA_ARGS = [p for p in ROOT.glob("*/inference_args_*.json") if p.stem != "inference_args_vit"]  # another network


@pytest.mark.parametrize("args", sorted(str(p.relative_to(ROOT)) for p in DATA_ARGS))
def test_inference_prepares_images_as_the_training_on_that_data(args: str) -> None:
    """Up to what is drawn at random; the foreground's mask and padding to the size of a crop are the training's own."""

    def chain(config: str, place: str, overrides: dict) -> list[dict]:
        opened = open_bundle(args.split("/")[0], config, overrides=overrides)
        node = opened.config["train"]["preprocessing"] if place else opened.config["preprocessing"]
        used = [t for t in node["transforms"] if t.get("_disabled_") is not True]
        own = ("medvol.transforms.ForegroundMaskd", "monai.transforms.SpatialPadd")
        return [{k: v for k, v in t.items() if k != "keys"} for t in used if t["_target_"] not in own]

    found = chain("inference.json", "", load(args))
    assert found == chain("train.json", "train", load(args.replace("inference_", "")))[: len(found)]


@pytest.mark.parametrize("config", CONFIGS)
def test_paper_and_page_name_every_bundle(config: str) -> None:
    page = (ROOT / config).with_name("README.md").read_text(encoding="utf-8")
    assert "python -m monai.bundle run --config_file bundles/" in page


def common(config: dict) -> dict:
    """The parts in which two bundles of one kind may not differ."""
    keys = (
        "imports",
        "bundle_root",
        "output_dir",
        "cache_dir",
        "device",
        "precision",
        "initialize",
        "run",
        "finalize",
        "data",
    )
    parts = {k: config[k] for k in keys}
    # So is whether a sample has a second patient.
    dataset = {key: value for key, value in config["train"]["dataset"].items() if key != "partner"}
    # Whether labels are wanted is the difference between the two kinds.
    dataset["data"] = re.sub(r", labelled=[@\w]+", "", dataset["data"])
    # So is whether a batch must hold several patients.
    dataloader = {key: value for key, value in config["train"]["dataloader"].items() if key != "apart"}
    return {**parts, "dataset": dataset, "dataloader": dataloader}


def test_common_blocks_are_equal() -> None:
    first = common(load(f"{BUNDLES[0]}/train.json"))
    for bundle in BUNDLES:
        assert common(load(f"{bundle}/train.json")) == first, bundle


@pytest.mark.parametrize("bundle", [b for b in BUNDLES if (ROOT / b / "evaluate.json").exists()])
def test_validation_evaluation_and_inference_see_the_same_image(bundle: str) -> None:
    def image_chain(config: dict) -> list[dict]:
        # Images are corrupted on request only.
        chain = [t for t in config["transforms"] if t.get("_disabled_") != "$not @corruption"]
        return [{k: v for k, v in t.items() if k != "keys"} for t in chain]

    train, evaluate, inference = (load(f"{bundle}/{c}.json") for c in ("train", "evaluate", "inference"))
    assert image_chain(train["validate"]["preprocessing"]) == image_chain(evaluate["preprocessing"])
    assert image_chain(evaluate["preprocessing"]) == image_chain(inference["preprocessing"])
    assert train["network_def"] == evaluate["network_def"] == inference["network_def"]
    assert train["validate"]["inferer"] == evaluate["inferer"] == inference["inferer"]


@pytest.mark.parametrize("bundle", [b for b in BUNDLES if b.startswith("unet")])
def test_every_arm_is_trained_alike(bundle: str) -> None:
    """Scratch and pretrained differ in `pretrained` alone: one config, its default is scratch."""
    config = load(f"{bundle}/train.json")
    assert config["pretrained"] is None
    text = json.dumps({k: v for k, v in config.items() if k not in ("network", "freeze")})
    assert "@pretrained" not in text


SIZES = {"spatial_dims", "crop_size", "grid", "patch_size", "mask_block", "batch_size", "num_permutations"}


@pytest.mark.parametrize("bundle", [b for b in PRETEXT if b.endswith("2d") and f"{b[:-2]}3d" in PRETEXT])
def test_a_bundle_of_slices_differs_from_its_twin_in_sizes_only(bundle: str) -> None:
    for file in ("train.json", "inference.json"):
        flat, deep = (load(f"{name}/{file}") for name in (bundle, f"{bundle[:-2]}3d"))
        assert list(flat) == list(deep)
        different = {key for key in flat if flat[key] != deep[key]}
        assert different <= SIZES | {"weights"}, file
        for key in different & {"crop_size", "grid", "patch_size", "mask_block"}:
            assert flat[key][2] == 1


VOLUMES_ONLY = {"spark3d", "simmim3d", "volumefusion3d"}


def test_every_pretext_task_has_both_forms() -> None:
    assert set(PRETEXT) > VOLUMES_ONLY
    tasks = {b[:-2] for b in PRETEXT if b not in VOLUMES_ONLY}
    assert {f"{task}{form}" for task in tasks for form in ("2d", "3d")} == set(PRETEXT) - VOLUMES_ONLY
