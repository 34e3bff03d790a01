from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from medvol import bundles
from medvol.bundles import GuardError

ROOT = Path(__file__).parents[2]


def start(bundle: str, config: str = "train.json", **overrides: object) -> ConfigWorkflow:
    """Resolve only the guard of a bundle."""
    file = ROOT / "bundles" / bundle / config
    workflow = ConfigWorkflow(config_file=str(file), workflow_type="train", init_id="guard_only", **overrides)
    workflow.parser.config["guard_only"] = ["$medvol.bundles.guard()"]
    workflow.parser.config["initialize"].append("$@guard_only")
    workflow.initialize()
    return workflow


def refusal(*args: object, **overrides: object) -> str:
    with pytest.raises(GuardError) as error:
        start(*args, **overrides)  # type: ignore[arg-type]
    text = str(error.value.code)
    assert "expected:" in text
    assert "found:" in text
    assert "remedy:" in text
    return text


@pytest.mark.parametrize("bundle", ["cpc3d", "unet_brats", "unet_hippocampus"])
def test_an_unknown_key_is_refused_with_the_name_that_was_meant(bundle: str, overrides: Callable[..., dict]) -> None:
    assert "did you mean 'steps'" in refusal(bundle, **overrides(bundle, epoch=1))
    assert "did you mean 'learning_rate'" in refusal(bundle, **overrides(bundle, learning_rat=1.0))
    assert "did you mean 'clip_norm'" in refusal(bundle, **overrides(bundle, **{"train::trainer::clipnorm": 1.0}))


def test_missing_data_is_refused(overrides: Callable[..., dict], tmp_path: Path) -> None:
    assert "no-such-manifest" in refusal("cpc3d", **overrides("cpc3d", manifest="no-such-manifest"))
    assert "dataset_dir" in refusal("cpc3d", **overrides("cpc3d", dataset_dir=str(tmp_path / "nowhere")))
    assert "swi" in refusal("cpc3d", **overrides("cpc3d", modalities=["swi"]))


def test_missing_weights_are_refused(overrides: Callable[..., dict], tmp_path: Path) -> None:
    assert "nothing.pt" in refusal("unet_brats", **overrides("unet_brats", pretrained=str(tmp_path / "nothing.pt")))
    assert "cpc4d" in refusal("unet_brats", **overrides("unet_brats", pretrained="cpc4d@latest"))


def test_an_empty_section_is_refused(overrides: Callable[..., dict], dataset: Path, tmp_path: Path) -> None:
    content = json.loads(dataset.read_text()) | {"training": [], "root": str(dataset.parent)}
    (tmp_path / "empty.json").write_text(json.dumps(content))
    text = refusal(
        "cpc3d", **overrides("cpc3d", manifest=str(tmp_path / "empty.json"), dataset_dir=str(dataset.parent))
    )
    assert "training" in text


def test_texts_from_the_command_line_become_values(overrides: Callable[..., dict]) -> None:
    config = start("unet_brats", **overrides("unet_brats", pretrained="null", restart="false")).parser.config
    assert config["pretrained"] is None
    assert config["restart"] is False
    assert config["arm"] == "scratch"


def test_a_run_gets_its_name_folder_and_passport(overrides: Callable[..., dict], tmp_path: Path) -> None:
    config = start("cpc3d", **overrides("cpc3d")).parser.config
    assert len(config["run_name"]) == 8
    assert config["run_dir"] == str(tmp_path / "cpc3d" / config["run_name"])
    assert bundles.passport(config["run_dir"])["data"]["synthetic"] is True
    named = start("cpc3d", **overrides("cpc3d", run_name="mine")).parser.config
    assert named["run_dir"] == str(tmp_path / "cpc3d" / "mine")
    assert bundles.passport(named["run_dir"])["hash"] == bundles.passport(config["run_dir"])["hash"]


def test_another_config_is_another_folder_and_may_not_take_a_name(overrides: Callable[..., dict]) -> None:
    one = start("cpc3d", **overrides("cpc3d", run_name="mine")).parser.config["run_dir"]
    other = start("cpc3d", **overrides("cpc3d", seed=1)).parser.config["run_dir"]
    assert one != other
    assert "another run under that name" in refusal("cpc3d", **overrides("cpc3d", run_name="mine", seed=1))
    start("cpc3d", **overrides("cpc3d", run_name="mine", seed=1, restart=True))


def test_outside_of_a_bundle_the_guard_has_nothing_to_do() -> None:
    assert bundles.guard() is None


def changed(dataset: Path, file: Path, **changes: object) -> str:
    file.write_text(json.dumps(json.loads(dataset.read_text()) | {"root": str(dataset.parent)} | changes))
    return str(file)


def test_training_without_a_validation_section_is_refused_at_once(
    overrides: Callable[..., dict], dataset: Path, tmp_path: Path
) -> None:
    manifest = changed(dataset, tmp_path / "alone.json", validation=[])
    text = refusal("cpc3d", **overrides("cpc3d", manifest=manifest, dataset_dir=str(dataset.parent)))
    assert "validation" in text
    assert "manifest split" in text


def test_a_segmentation_without_labels_is_refused_at_once(
    overrides: Callable[..., dict], dataset: Path, tmp_path: Path
) -> None:
    rows = [{k: v for k, v in item.items() if k != "label"} for item in json.loads(dataset.read_text())["training"]]
    manifest = changed(dataset, tmp_path / "bare.json", training=rows)
    options = {"manifest": manifest, "dataset_dir": str(dataset.parent)}
    assert "items with a label" in refusal("unet_brats", **overrides("unet_brats", **options))


def test_a_filter_that_nothing_can_answer_is_refused(overrides: Callable[..., dict]) -> None:
    assert "qualty" in refusal("cpc3d", **overrides("cpc3d", where="qualty > 3"))


def test_everything_that_is_wrong_with_the_keys_is_named_at_once(overrides: Callable[..., dict]) -> None:
    text = refusal("cpc3d", **overrides("cpc3d", epoch=1, learning_rat=1.0))
    assert text.count("expected:") == text.count("remedy:") == 2
    assert all(word in text for word in ("'epoch'", "'learning_rat'"))


def test_keys_come_before_weights_and_weights_of_another_network_before_any_trainer(
    overrides: Callable[..., dict], trained: dict[str, Path]
) -> None:
    wrong = {"pretrained": str(trained["cpc3d"] / "model.pt"), "filters": [8, 8, 16]}
    text = refusal("unet_brats", **overrides("unet_brats", **wrong))
    assert "(8, 8, 3, 3, 3) in the file, (16, 8, 3, 3, 3) in the network" in text
    assert not Path(overrides("unet_brats")["output_dir"]).exists(), "no run was begun"
    assert "epoch" in (text := refusal("unet_brats", **overrides("unet_brats", **wrong, epoch=1)))
    assert "in the file" not in text


def test_the_guard_draws_no_random_number(overrides: Callable[..., dict], trained: dict[str, Path]) -> None:
    given = overrides("unet_brats", pretrained=str(trained["cpc3d"] / "model.pt"))
    before = torch.get_rng_state()
    start("unet_brats", **given)
    assert torch.equal(before, torch.get_rng_state())


def test_warnings_do_not_stop_a_run(overrides: Callable[..., dict], trained: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes((trained["cpc3d"] / "model.pt").read_bytes())
    config = start("unet_brats", **overrides("unet_brats", pretrained=str(tmp_path / "model.pt"))).parser.config
    assert config["arm"] == "model"
