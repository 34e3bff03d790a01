"""Defects between a restoration's parts: a bundle that cannot be built, and a run that forgets how it was made.

Both are on the list of what is wrong in published code: trainers whose constructors name a keyword that there is not,
and a checkpoint without the plan that the segmentation reads.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from defects import put

from medvol.bundles import runs
from medvol.bundles.inherit import inherited
from medvol.bundles.opening import open_bundle
from medvol.engines import product
from medvol.networks import load_pretrained

pytestmark = pytest.mark.slow

RESTORATIONS = ("genesis3d", "genesis2d", "mae3d", "mae2d", "spark3d", "simmim3d", "volumefusion3d")
SMALL = {"filters": [8, 16, 32], "modalities": ["t1", "flair"], "spacing": [3.0, 3.0, 3.0]}


# --- every part of a bundle can be built --------------------------------------------------------------------------


def built(bundle: str, overrides: dict[str, Any]) -> None:
    """Network, loss and optimizer of a bundle."""
    parser = open_bundle(bundle, overrides=overrides).parser
    for part in ("network", "loss", "optimizer"):
        assert parser.get_parsed_content(part) is not None


@pytest.mark.parametrize("bundle", RESTORATIONS)
def test_every_restoration_can_be_built(bundle: str) -> None:
    built(bundle, {})


@pytest.mark.parametrize("bundle", RESTORATIONS)
def test_a_keyword_that_there_is_not_is_found(bundle: str) -> None:
    config = open_bundle(bundle).config
    (name,) = (key for key, value in config.items() if isinstance(value, dict) and "in_channels" in value)
    misspelled = {"in_chanels" if key == "in_channels" else key: value for key, value in config[name].items()}
    with pytest.raises(RuntimeError) as found:
        built(bundle, {name: misspelled})
    assert isinstance(found.value.__cause__, TypeError)
    assert "in_chanels" in str(found.value.__cause__)


# --- a run knows how it was made ----------------------------------------------------------------------------------


def remembered(folder: Path) -> None:
    """What a run leaves is enough to prepare images as it did, and to match its channels by name."""
    config = open_bundle("mae3d", overrides=SMALL).parser
    network = config.get_parsed_content("network_def")
    folder.mkdir()
    product.write_product(folder, network, runs._passport(config.config, "mae3d", "here", "0"))
    weights = folder / "model.pt"
    later = open_bundle("mae3d", "inference.json").config
    known = inherited({**later, "weights": str(weights)}, later)
    for key, value in SMALL.items():
        assert known.get(key) == value, f"{key}: not that of the training"
    other = open_bundle("unet_brats", overrides={**SMALL, "modalities": ["flair", "t1"]}).parser
    target = other.get_parsed_content("network_def")
    try:
        load_pretrained(target, weights, adapt=["flair", "t1"])
    except ValueError as error:
        raise AssertionError(f"channels: unknown; {error}") from error
    stored, found = network.state_dict(), target.state_dict()
    stem = next(name for name, value in stored.items() if value.ndim == 5 and value.shape[1] == 2)
    assert torch.equal(found[stem], stored[stem].flip(1)), "channels: another order"


def test_a_run_is_remembered(tmp_path: Path) -> None:
    remembered(tmp_path / "run")


@pytest.mark.parametrize(
    ("owner", "function", "old", "new", "words"),
    [
        (runs, "_passport", '"recipe": recipe(config)', '"recipe": {}', "spacing|filters|modalities: not that"),
        (runs, "_passport", '"modalities": list(', '"modalities": 0 * list(', "channels: "),
        (runs, "_passport", '"modalities": list(', '"modalities": sorted(', "channels: another order"),
        (product, "write_product", "{**passport, ", "{", "not that of the training"),
    ],
)
def test_a_run_that_forgets_is_found(
    owner: object, function: str, old: str, new: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, owner, function, [(old, new)])
    with pytest.raises(AssertionError) as found:
        remembered(tmp_path / "run")
    assert re.search(words, str(found.value))
