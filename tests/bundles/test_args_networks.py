"""The files of overrides that come with the bundles: the network of each can be built, and ``check`` tries it.

Those that change a task itself, not only sizes, make a step.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import volumes
from chains import SMALL_UNET, Task

from medvol.bundles.args_files import with_args_file
from medvol.bundles.checks.check import check_bundle
from medvol.bundles.checks.network_rules import network_rule, preprocessing_rule
from medvol.bundles.opening import open_bundle

ROOT = Path(__file__).parents[2] / "bundles"
FILES = sorted(f"{path.parent.name}/{path.name}" for path in ROOT.glob("*/*args_*.json"))
QUICK = {"mae3d/args_vit.json", "simmim3d/args_vit.json"}

PUZZLE, PLANE = (
    {"crop_size": [36, 36, 36], "patch_size": [8, 8, 8]},
    {"crop_size": [36, 36, 1], "patch_size": [8, 8, 1]},
)
VARIANTS: dict[str, tuple[dict[str, Any], tuple[int, ...], Any]] = {
    "jigsaw3d/args_places.json": (PUZZLE, (4 * 4 * 27, 27), pytest.approx(math.log(27), abs=1e-5)),
    "jigsaw2d/args_places.json": (PLANE, (4 * 4 * 9, 9), pytest.approx(math.log(9), abs=1e-5)),
    "exemplar3d/args_triplet.json": ({"crop_size": [16, 16, 16]}, (4, 2, 1024), pytest.approx(1, abs=0.2)),
    "exemplar2d/args_triplet.json": ({"crop_size": [24, 24, 1]}, (4, 2, 1024), pytest.approx(1, abs=0.2)),
    "rotation3d": (
        {"crop_size": [20, 20, 20], "rotations": 24, "views": 8},
        (4 * 8, 24),
        pytest.approx(math.log(24), abs=1e-5),
    ),
}
"""Small sizes, shape of the output for four volumes, and first loss: the margin of triplets, or of equal answers."""


@pytest.mark.parametrize("file", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in FILES])
def test_the_network_can_be_built(file: str) -> None:
    bundle, name = file.split("/")
    config = "inference.json" if name.startswith("inference") else "train.json"
    opened = open_bundle(bundle, config, with_args_file(ROOT / file, {}))
    assert list(network_rule(opened)) == []
    if "pretrained" not in opened.config:  # the chain of a downstream task reads the classes of its data, not here
        assert list(preprocessing_rule(opened)) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_of_a_task_makes_a_step(variant: str) -> None:
    """Forward and backward, and again after a step, for the last layer of a classifier starts at zero."""
    sizes, shape, first = VARIANTS[variant]
    bundle, _, name = variant.partition("/")
    task = Task(bundle, changes={"unet": SMALL_UNET, **(with_args_file(ROOT / variant, sizes) if name else sizes)})
    torch.manual_seed(0)
    network, criterion, transform = task.part("network"), task.part("loss"), task.transform().set_random_state(0)
    volume = (38, 38, 38 if task.part("spatial_dims") == 3 else 1)
    images = [volumes.noise(volume, number) for number in range(4)]
    samples = [transform({"image": image, "patient": number, "label": 0}) for number, image in enumerate(images)]
    inputs, label = task.batch(samples)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        output = network(*inputs)
        assert output.shape == shape
        loss = criterion(output, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if "triplet" in variant:
        assert (output.norm(dim=-1) - 1).abs().min() > 1e-3  # embeddings of any length, as in the paper
    assert losses[0] == first
    assert losses[1] < losses[0]
    gradients = [p.grad for name, p in network.named_parameters() if "encoder." in name]
    assert gradients
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)


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
