"""bundles/README.md: the committed page is that of the bundles' metadata, configs and released weights.

To write the page anew:  PYTHONPATH=. python tests/bundles/test_index_page.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from medvol.networks import find_bundle
from medvol.passport import read_passport

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "bundles"
PAGE = BUNDLES / "README.md"
HEAD = """# Bundles

Each folder is a [MONAI bundle](https://docs.monai.io/en/stable/bundle_intro.html): a training, its inference, and what
they need, in a few JSON files. Click a name for the method, its equations and its options.

| bundle | kind | task | input | output | parameters | default data | version | weights |
|---|---|---|---|---|---|---|---|---|
"""
MIDDLE = """
*Parameters* are those of the network that is saved. *Default data* is what the command below trains on: `phantom` is
simulated on first use, others you get yourself and name their folder by `--dataset_dir`; `--manifest` takes yet others:
see [data_manifests](../data_manifests/README.md). *Weights* are those released with the bundle, as
`--pretrained <bundle>` and `--weights <bundle>` load them.

"""
TAIL = """
`python -m medvol list` shows the bundles and runs on your machine, `python -m medvol show <bundle>` the config that
would run: see [docs/doctor.md](../docs/doctor.md). This page is made by
`PYTHONPATH=. python tests/bundles/test_index_page.py`: edit the bundles' `metadata.json`.
"""


def render_index(bundles: Path = BUNDLES) -> str:
    """Return the page about all bundles in a folder."""
    folders = sorted(file.parent for file in bundles.glob("*/metadata.json"))
    rows = "".join(f"| {' | '.join(_cells(folder))} |\n" for folder in folders)
    commands = "\n".join(
        f"python -m monai.bundle run --config_file bundles/{folder.name}/train.json" for folder in folders
    )
    return f"{HEAD}{rows}{MIDDLE}```bash\n{commands}\n```\n{TAIL}"


def _cells(folder: Path) -> list[str]:
    meta, train = (json.loads((folder / f"{f}.json").read_text(encoding="utf-8")) for f in ("metadata", "train"))
    form = meta["network_data_format"]
    kind = "downstream" if (folder / "evaluate.json").is_file() else "pre-training"
    image, output = form["inputs"]["image"], form["outputs"]["pred"]
    return [
        f"[{folder.name}]({folder.name}/README.md)", kind, meta["task"],
        f"{len(image['spatial_shape'])}D {image['modality']}: {', '.join(image['channel_def'].values())}",
        _output(output), f"{_parameters(folder) / 1e6:.2f} M", f"`{train['manifest']}`", meta["version"],
        _weights(folder),
    ]  # fmt: skip


def _output(output: dict[str, Any]) -> str:
    names = ", ".join(output.get("channel_def", {}).values())
    return f"{output['num_channels']} channels: {names}" if names else f"{output['num_channels']} features"


def _parameters(folder: Path) -> int:
    config = json.loads((folder / "inference.json").read_text(encoding="utf-8"))
    network = ConfigParser(config).get_parsed_content("network_def")
    return sum(parameter.numel() for parameter in network.parameters())


def _weights(folder: Path) -> str:
    weights = folder / "models" / "model.pt"
    if not weights.is_file():
        return "not released"
    passport = read_passport(weights) or {}
    data = passport.get("data") or {}
    trained = f", {data['name']}{' (synthetic)' if data.get('synthetic') else ''}" if data.get("name") else ""
    return f"{weights.stat().st_size / 1e6:.1f} MB{trained}"


def test_the_page_is_that_of_the_bundles() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_index()


def test_every_bundle_stands_on_the_page_once_and_its_links_lead_somewhere() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for folder in (file.parent for file in BUNDLES.glob("*/train.json")):
        assert len(re.findall(rf"^\| \[{folder.name}\]", page, re.MULTILINE)) == 1
        assert f"--config_file bundles/{folder.name}/train.json\n" in page
    for link in re.findall(r"\]\(([^)]+)\)", page):
        assert link.startswith("https://") or (BUNDLES / link).is_file(), link


def test_the_page_is_no_bundle_and_disturbs_none() -> None:
    with pytest.raises(FileNotFoundError):
        find_bundle(str(PAGE))


def test_released_weights_are_told_with_their_data(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    assert _weights(tmp_path) == "not released"
    torch.save({"a": torch.zeros(250_000)}, models / "model.pt")
    assert _weights(tmp_path) == "1.0 MB"
    (models / "passport.json").write_text(json.dumps({"data": {"name": "phantom", "synthetic": True}}))
    assert _weights(tmp_path) == "1.0 MB, phantom (synthetic)"


if __name__ == "__main__":
    PAGE.write_text(render_index(), encoding="utf-8")
    print(PAGE)
