from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from medvol.bundles.checks.facts import bundle_facts
from medvol.bundles.opening import open_bundle


def test_a_training_from_scratch(overrides: Callable[..., dict]) -> None:
    given = overrides("cpc3d", steps=10, accumulation_steps=3, eval_every_examples=None)
    facts = bundle_facts(open_bundle("cpc3d", overrides=given))
    assert facts["budget"] == "10 steps of 6 examples: 60 examples; validation at the end only"
    assert facts["weights"] == "none: the network begins from scratch"
    assert facts["data"].startswith("tiny (synthetic")
    assert "3 cases of 3 patients in training, 1 cases of 1 patients in validation" in facts["data"]
    assert facts["network"].startswith("Encoder of DynUNet, 0.0098")
    assert "trained inside of CPC" in facts["network"]
    assert "contrastive predictive coding (version 0.1.0)" in facts["task"]


def test_an_evaluation_of_trained_weights(trained: dict[str, Path], dataset: Path) -> None:
    weights = trained["unet_brats"] / "model.pt"
    given = {"weights": str(weights), "manifest": str(dataset), "filters": [8, 8, 8]}
    facts = bundle_facts(open_bundle("unet_brats", "evaluate", given))
    assert "bundle unet_brats" in facts["weights"]
    assert "data tiny (synthetic)" in facts["weights"]
    parameters = sum({t.data_ptr(): t.numel() for t in torch.load(weights).values()}.values())
    assert f"DynUNet, {parameters / 1e6:.3g} million parameters" == facts["network"]
    assert "budget" not in facts


def test_weights_without_a_passport(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "model.pt")
    facts = bundle_facts(open_bundle("unet_brats", overrides={"pretrained": str(tmp_path / "model.pt")}))
    assert facts["weights"].endswith("model.pt (no passport: their origin is unknown)")


def test_what_cannot_be_told_hides_nothing_else(dataset: Path) -> None:
    given = {"manifest": str(dataset), "filters": [8], "pretrained": "none.pt"}
    facts = bundle_facts(open_bundle("unet_brats", overrides=given))
    assert [topic for topic, text in facts.items() if "cannot be told" in text] == ["network", "weights"]


def test_a_folder_of_images(dataset: Path) -> None:
    facts = bundle_facts(open_bundle("cpc3d", "inference", {"input_dir": str(dataset.parent)}))
    assert facts["data"] == "5 cases of a folder; channels flair, t1, t1ce, t2"


def test_without_problems_the_facts_say_why_themselves(dataset: Path) -> None:
    opened = open_bundle("cpc3d", overrides={"manifest": str(dataset), "filters": [8]})
    assert bundle_facts(opened, has_problems=True)["network"] == "cannot be told, see the problems below"
    assert "list index out of range" in bundle_facts(opened)["network"]
