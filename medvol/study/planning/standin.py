"""Weights of a run that has not been made yet: of the right shapes, so that what needs them can be tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from medvol.bundles.checks.trying import on_the_side, side_parser
from medvol.bundles.identity import recipe
from medvol.bundles.opening import OpenBundle
from medvol.data import load_manifest
from medvol.passport import write_passport

__all__ = ["write_stand_in"]


def write_stand_in(opened: OpenBundle, folder: Path, like_trained: bool = False) -> Path:
    """Write what a training would leave behind: ``model.pt`` with random numbers, and the passport that matters.

    Args:
        opened: a bundle's ``train.json``.
        folder: an empty folder.
        like_trained: fill the passport with the recipe, from which an evaluation takes its settings.

    Returns:
        The file of the weights.
    """
    config = opened.config
    with on_the_side():
        network = side_parser({**config, "pretrained": None}).get_parsed_content("network_def")
    path = folder / "model.pt"
    torch.save(network.state_dict(), path)
    manifest = load_manifest(config["manifest"], config.get("dataset_dir")) if config.get("manifest") else None
    record: dict[str, Any] = {
        "bundle": opened.name,
        "run": "stand-in",
        "arm": "stand-in",
        "seed": config.get("seed"),
        "modalities": list(config.get("modalities") or (manifest.modalities if manifest else ())),
    }
    if like_trained:
        record["recipe"] = recipe({**config, "pretrained": None})
        record["data"] = {"label_map": dict(manifest.label_map)} if manifest else {}
    write_passport(path, record)
    return path
