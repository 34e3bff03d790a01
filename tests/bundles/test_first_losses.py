"""The shipped pretext tasks begin where theory says, and their samples do not depend on who prepares them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.transforms import Compose

ROOT = Path(__file__).parents[2] / "bundles"
PRETEXT = sorted(p.parent.name for p in ROOT.glob("*/train.json") if not (p.parent / "evaluate.json").exists())
CLASSES = {"rpl3d": 26, "rpl2d": 8, "jigsaw3d": 100, "jigsaw2d": 72, "rotation3d": 10, "rotation2d": 4}
QUICK = {"rpl3d", "jigsaw3d", "rotation2d"}


def workflow(bundle: str, given: dict) -> ConfigWorkflow:
    found = ConfigWorkflow(config_file=str(ROOT / bundle / "train.json"), workflow_type="train", **given)
    found.initialize()
    return found


def batches(flow: ConfigWorkflow, count: int) -> list[dict]:
    loader = iter(flow.parser.get_parsed_content("train::dataloader"))
    return [next(loader) for _ in range(count)]


@pytest.mark.parametrize(
    "bundle", [b if b in QUICK else pytest.param(b, marks=pytest.mark.slow) for b in PRETEXT if b in CLASSES]
)
def test_the_first_loss_is_the_logarithm_of_the_classes(bundle: str, overrides: Callable[..., dict]) -> None:
    flow = workflow(bundle, overrides(bundle))
    parts = {key: flow.parser.get_parsed_content(key) for key in ("network", "loss", "prepare_batch")}
    image, label, more, _ = parts["prepare_batch"](batches(flow, 1)[0])
    logits = parts["network"](image, *more)
    assert logits.shape[1] == CLASSES[bundle]
    assert (label >= 0).any()
    assert parts["loss"](logits, label).item() == pytest.approx(math.log(CLASSES[bundle]), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["exemplar3d", "exemplar2d"])
def test_views_that_all_look_alike_cost_the_logarithm_of_the_candidates(
    bundle: str, overrides: Callable[..., dict]
) -> None:
    flow = workflow(bundle, overrides(bundle, batch_size=3))
    batch = batches(flow, 1)[0]
    assert len(set(batch["label"].tolist())) > 1
    embeddings = flow.parser.get_parsed_content("network")(batch["image"])
    loss = flow.parser.get_parsed_content("loss")
    negatives = [2 * int((batch["label"] != patient).sum()) for patient in batch["label"]]
    expected = sum(math.log(n + 1) for n in negatives) / len(negatives)
    assert loss(torch.ones_like(embeddings), batch["label"]).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", PRETEXT)
def test_samples_do_not_depend_on_the_number_of_workers(bundle: str, overrides: Callable[..., dict]) -> None:
    alone, two = (batches(workflow(bundle, overrides(bundle, num_workers=n, restart=True)), 6) for n in (0, 2))
    for mine, theirs in zip(alone, two, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            same = torch.equal(value, theirs[key]) if isinstance(value, torch.Tensor) else value == theirs[key]
            assert same, key


@pytest.mark.slow
@pytest.mark.parametrize("bundle", PRETEXT)
def test_a_record_names_every_patch_or_view(bundle: str, overrides: Callable[..., dict]) -> None:
    """What the preview reads is there, in plain values."""
    dataset = workflow(bundle, overrides(bundle)).parser.get_parsed_content("train::dataset")
    assert isinstance(dataset.transform, Compose)
    record = dataset[0, 0]["pretext"]
    assert {"boxes", "crop"} & set(record)
    flat = str(record)
    assert "tensor(" not in flat
    assert "array(" not in flat
