"""Every block of Python on the page docs/elsewhere.md, run as it stands there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medvol.bundles.export import export
from medvol.bundles.opening import open_bundle
from medvol.networks import load_pretrained

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")[1:]}


def run(section: str, **known: Any) -> dict[str, Any]:
    """Run the blocks of a section one after the other and return what they define."""
    for block in re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL):
        exec(compile(block, section, "exec"), known)
    return known


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both bundles as they are delivered: their own widths, random weights, passports."""
    monkeypatch.chdir(tmp_path)
    for bundle in ("cpc3d", "unet_brats"):
        folder = tmp_path / "bundles" / bundle
        shutil.copytree(ROOT / "bundles" / bundle, folder, ignore=shutil.ignore_patterns("eval", "models"))
        (folder / "models").mkdir()
        torch.save(network(bundle).state_dict(), folder / "models" / "model.pt")
        record = {"bundle": bundle, "modalities": ["flair", "t1", "t1ce", "t2"], "recipe": {}}
        (folder / "models" / "passport.json").write_text(json.dumps(record))
    return tmp_path


def network(bundle: str) -> torch.nn.Module:
    torch.manual_seed(len(bundle))
    return open_bundle(bundle, "inference.json").parser.get_parsed_content("network_def").eval()


def holds(net: torch.nn.Module, weights: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(net.state_dict()[name], weights[name]) for name in weights)


def empty(net: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for tensor in net.parameters():
            tensor.zero_()
    return net


def test_the_encoder_and_the_whole_network_in_plain_monai(desk: Path) -> None:
    image = torch.rand(1, 4, 16, 16, 16)
    for bundle, complete in (("cpc3d", False), ("unet_brats", True)):
        shutil.copy(desk / "bundles" / bundle / "models" / "model.pt", "model.pt")
        done = run("MONAI without medvol")
        assert holds(done["net"], torch.load("model.pt", weights_only=True))
        assert (done["missing"] == []) is complete
        assert not [name for name in done["missing"] if name.startswith(("input_block", "downsamples", "bottleneck"))]
    with torch.no_grad():
        assert torch.equal(done["net"].eval()(image), network("unet_brats")(image))


def test_the_table_says_what_the_bundles_say() -> None:
    for bundle in ("cpc3d", "unet_brats", "unet_hippocampus"):
        config = open_bundle(bundle, "inference.json").config
        (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{bundle}` |"))
        assert row.endswith(f"| {', '.join(map(str, config['filters']))} |")
        assert f"| {len(config['modalities'])}: {', '.join(config['modalities'])} |" in row
        known = [name for name, _ in config.get("regions", [])] or ["background", *config.get("classes", [])]
        assert bundle == "cpc3d" or f"| {len(known)}: {', '.join(known)} |" in row


def test_the_preprocessing_is_that_of_the_bundles(desk: Path) -> None:
    shutil.copy(desk / "bundles" / "cpc3d" / "models" / "model.pt", "model.pt")
    chain = run("MONAI without medvol")["preprocessing"].transforms
    opened = open_bundle("unet_brats", "inference.json")
    ours = opened.parser.get_parsed_content("preprocessing").transforms
    names = [type(transform).__name__ for transform in chain]
    assert [f"{name}d" for name in names] == [
        type(t).__name__ for t in ours if type(t).__name__ not in ("SelectChannelsd", "EnsureTyped")
    ]
    assert tuple(chain[2].pixdim) == tuple(opened.config["spacing"])


def test_with_medvol_and_from_a_downloaded_bundle(desk: Path) -> None:
    weights = torch.load(desk / "bundles/cpc3d/models/model.pt", weights_only=True)
    shutil.copy(desk / "bundles/unet_brats/models/model.pt", "model.pt")
    net = run("MONAI without medvol")["net"]
    assert not holds(net, weights)
    run("MONAI with medvol", net=net)
    assert holds(net, weights)
    encoder = run("A downloaded bundle")["encoder"]
    assert holds(encoder.cpu(), weights)
    assert encoder.state_dict().keys() == weights.keys()


@pytest.mark.parametrize("bundle", [pytest.param("cpc3d", marks=pytest.mark.slow), "unet_brats"])
def test_safetensors(bundle: str, desk: Path) -> None:
    pytest.importorskip("safetensors")
    shutil.copy(desk / "bundles/unet_brats/models/model.pt", "model.pt")
    net = run("MONAI without medvol")["net"]
    export(bundle, "model.safetensors", "safetensors")
    released = torch.load(desk / "bundles" / bundle / "models/model.pt", weights_only=True)
    empty(net)
    done = run("Safetensors", net=net)
    assert holds(net, released)
    load_pretrained(empty(net), "model.safetensors", scope="network" if bundle == "unet_brats" else "encoder")
    assert holds(net, released)
    assert done["passport"]["bundle"] == bundle
    if bundle == "unet_brats":
        assert all(name.startswith("skip_layers") for name in done["missing"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("section", "kind", "file"),
    [("PyTorch without MONAI", "torch_export", "unet_brats.pt2"), ("Without PyTorch", "onnx", "unet_brats.onnx")],
)
def test_graphs(section: str, kind: str, file: str, desk: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime") if kind == "onnx" else ():
        pytest.importorskip(package)
    export("unet_brats", file, kind)
    found = torch.from_numpy(np.asarray(run(section)["logits"].detach() if kind != "onnx" else run(section)["logits"]))
    with torch.no_grad():
        expected = network("unet_brats")(torch.zeros(1, 4, 64, 64, 48))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
