"""The rules that a bundle must keep before it runs: the guard refuses by them, and ``check`` shows all that is broken.

A rule is a generator of problems over an open bundle; it builds nothing that the run will use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from medvol.data import Manifest, load_manifest
from medvol.data.folder import folder_items
from medvol.data.shards import Shards

from ..keys import key_problems
from ..opening import OpenBundle
from ..refusal import Problem, innermost
from .corruption_rule import corruption_rule
from .loader_rules import apart_rule
from .mask_rule import mask_rule
from .metadata_rules import metadata_rule, versions_rule
from .network_rules import network_rule, preprocessing_rule
from .place_rules import links_rule, places_rule
from .trying import on_the_side, side_parser
from .volume_rules import sizes_rule
from .weight_rules import weights_rule

__all__ = ["BEFORE_RUN", "IN_CHECK", "Rule", "keys_rule", "problems_of"]

Rule = Callable[[OpenBundle], Iterator[Problem]]

_LEAST = {
    "steps": 1, "steps_per_epoch": 1, "eval_every_examples": 1, "batch_size": 1, "accumulation_steps": 1,
    "num_workers": 0, "seed": 0, "subset_seed": 0, "warmup_steps": 0, "freeze_steps": 0,
}  # fmt: skip
"""Least values of counts: components refuse smaller ones, too, but below four tracebacks of MONAI."""

_TEXTS = (
    "manifest dataset_dir input_dir cache_dir output_dir results_dir shards pretrained weights where section precision"
).split()

_CONTROLS = {"steps", "steps_per_epoch", "batch_size", "accumulation_steps", "num_workers", "seed"}  # never null


def keys_rule(opened: OpenBundle) -> Iterator[Problem]:
    """Every key is read by something, every argument taken by its component, every value of its key's type."""
    yield from key_problems(opened.config, opened.original)


def values_rule(opened: OpenBundle) -> Iterator[Problem]:
    """Counts are not too small, rates are numbers above 0, and the device is one that is here."""
    config = opened.config
    for key, least in _LEAST.items():
        value = config.get(key, least)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and not value >= least:
            yield Problem(f"'{key}' of at least {least}", repr(value), f"give a larger one by --{key}")
        elif (value is None and key in _CONTROLS and "train" in config) or (
            # A library call does not tell the file, and then no default is known whose type would count.
            not opened.original and value is not None and not is_number and str(value)[:1] not in "$@%"
        ):
            yield Problem(f"a whole number of at least {least} for '{key}'", repr(value), f"give one by --{key}")
    rate = config.get("learning_rate", 1.0)
    if isinstance(rate, (int, float)) and not 0 < rate < math.inf:
        yield Problem("a 'learning_rate' above 0", repr(rate), "give one by --learning_rate, such as 0.001")
    for key in _TEXTS:
        if not isinstance(config.get(key, ""), (str, Path, type(None))):
            yield Problem(f"a text for '{key}'", repr(config[key]), f"give one by --{key}, or leave it out")
    yield from _device_problems(config.get("device"))


def _device_problems(value: Any) -> Iterator[Problem]:
    if not isinstance(value, str) or value[:1] in "$@%":
        return
    try:
        device = torch.device(value)
    except RuntimeError as error:
        yield Problem("a device such as 'cpu' or 'cuda:0'", str(error).splitlines()[0], "give one by --device")
        return
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        yield Problem(f"the device '{value}'", f"{count} CUDA devices here", "leave --device out, or give 'cpu'")


def data_rule(opened: OpenBundle) -> Iterator[Problem]:
    """The manifest and the files of its sections are there, with cases, channels, labels and patients as asked for."""
    config = opened.config
    if config.get("input_dir") is not None:
        try:
            folder_items(config["input_dir"], config.get("modalities") or ())
        except (OSError, ValueError, TypeError) as error:
            remedy = "give the folder of the images by --input_dir, and their channels by --modalities"
            yield Problem("a folder of images that can be read under 'input_dir'", str(error), remedy)
        return
    if config.get("manifest") is None:
        return
    expected = f"a manifest '{config['manifest']}' with readable data"
    remedy = "see data_manifests/README.md, or give --dataset_dir"
    try:
        manifest = load_manifest(config["manifest"], config.get("dataset_dir"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # A folder of images replaces no manifest.
        found = _sentence(error)
        yield Problem(expected, found, remedy if "dataset_dir" in found else "see data_manifests/README.md")
        return
    seen: set[str] = set()
    for section in sections_of(config):
        for problem in _section_problems(manifest, section, config, expected, remedy):
            told = problem.found.replace(str(section), "")
            if told not in seen:  # a column that the manifest lacks is lacking in every section
                seen.add(told)
                yield problem


def _sentence(error: Exception) -> str:
    """The outer message, where medvol wrote it; a KeyError holds only a name."""
    return innermost(error) if isinstance(error, KeyError) else str(error)


def sections_of(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the sections of the manifest that a config reads.

    Example:
        >>> sections_of({"validate": {}}), sections_of({"section": "test"})
        (('training', 'validation'), ('test',))
    """
    # Training scores itself on the validation section, and shall not find out about it after an hour.
    return ("training", "validation") if "validate" in config else (config.get("section") or "training",)


def _section_problems(
    manifest: Manifest, section: str, config: dict[str, Any], expected: str, remedy: str
) -> Iterator[Problem]:
    # What is scored is compared with labels, or with the targets of whole images; a label may also say what the loss
    # leaves out.
    needed = "scores" in config or config.get("exclude_key") == "label"
    labelled = (config.get("targets") or True) if needed else None
    subset = {"num_patients": config.get("num_patients"), "subset_seed": config.get("subset_seed") or 0}
    subset = subset if section == "training" and "validate" in config else {}
    try:
        manifest.check(section)
        items = manifest.items(
            section, config.get("modalities"), where=config.get("where"), labelled=labelled, **subset
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        yield Problem(expected, _sentence(error), remedy)
        return
    if not items:
        held = ", ".join(f"{len(cases)} in {name}" for name, cases in manifest.sections.items())
        deal = "add cases, deal them out with 'python -m medvol manifest split', or choose another section"
        yield Problem(f"at least one case in section '{section}' of manifest '{manifest.name}'", held or "none", deal)


def shards_rule(opened: OpenBundle) -> Iterator[Problem]:
    """Shards, if they are named, hold the very samples that this data set would make."""
    if opened.config.get("shards") is None:
        return
    try:
        Shards(opened.config["shards"])
        with on_the_side():
            side_parser(opened.config).get_parsed_content("train::dataset")
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        remedy = "write them with 'python -m medvol shards', or leave --shards out"
        yield Problem("shards of this very data set", innermost(error), remedy)


def problems_of(rules: tuple[Rule, ...], opened: OpenBundle) -> list[Problem]:
    """Return every problem of every rule, errors first.

    Args:
        rules: in the order of their problems.
        opened: the bundle.
    """
    found = [problem for rule in rules for problem in rule(opened)]
    found = list(dict.fromkeys(found))  # a network that cannot be built stands in the way of its weights, too
    return sorted(found, key=lambda problem: problem.state != "error")


BEFORE_RUN: tuple[Rule, ...] = (
    values_rule, versions_rule, corruption_rule, data_rule, preprocessing_rule, network_rule, mask_rule, apart_rule,
    weights_rule, shards_rule, sizes_rule, places_rule,
)  # fmt: skip
"""The guard's rules after :func:`keys_rule`, in order: cheap ones, which read headers and no images."""

IN_CHECK: tuple[Rule, ...] = (keys_rule, *BEFORE_RUN, metadata_rule, links_rule)
"""All rules."""
