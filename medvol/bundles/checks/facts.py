"""What a bundle's config would do, as sentences for a page: data, network, weights and budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from medvol.data import load_manifest
from medvol.data.folder import folder_items
from medvol.networks import find_weights
from medvol.passport import read_passport

from ..opening import OpenBundle
from ..refusal import innermost
from .trying import on_the_side, side_parser
from .weight_rules import WEIGHT_KEYS

__all__ = ["bundle_facts"]


def bundle_facts(opened: OpenBundle, has_problems: bool = False) -> dict[str, str]:
    """Return what a config would do, by topic; a topic that cannot be told says so.

    Args:
        opened: a bundle's config; nothing of it changes.
        has_problems: whether problems are shown below the facts; a topic that cannot be told then leaves it to them.

    Example:
        >>> from medvol.bundles.opening import open_bundle
        >>> bundle_facts(open_bundle("cpc3d", overrides={"manifest": "no-such"}))["budget"]
        '300 steps of 2 examples: 600 examples; validation every 200 examples'
    """
    topics: dict[str, Callable[[OpenBundle], str]] = {
        "task": _task, "data": _data, "network": _network, "weights": _weights, "budget": _budget
    }  # fmt: skip
    facts = {}
    for topic, tell in topics.items():
        try:
            with on_the_side():
                sentence = tell(opened)
        except Exception as error:
            sentence = f"cannot be told{', see the problems below' if has_problems else f': {innermost(error)}'}"
        if sentence:
            facts[topic] = sentence
    return facts


def _task(opened: OpenBundle) -> str:
    meta = opened.config.get("_meta_") or {}
    return f"{meta['task']} (version {meta['version']})" if "task" in meta and "version" in meta else ""


def _data(opened: OpenBundle) -> str:
    config = opened.config
    channels = ", ".join(config.get("modalities") or ()) or "all"
    if config.get("input_dir") is not None:
        return f"{len(folder_items(config['input_dir'], config['modalities']))} cases of a folder; channels {channels}"
    if config.get("manifest") is None:
        return ""
    manifest = load_manifest(config["manifest"], config.get("dataset_dir"))
    sections = ", ".join(
        f"{len(cases)} cases of {len(manifest.patients(name))} patients in {name}"
        for name, cases in manifest.sections.items()
    )
    kind = "synthetic, no result on it is a claim about patients" if manifest.synthetic else "not synthetic"
    return f"{manifest.name} ({kind}): {sections}; channels {channels}"


def _network(opened: OpenBundle) -> str:
    if "network_def" not in opened.config:
        return ""
    parser = side_parser(opened.config)
    size = _million(parser.get_parsed_content("network_def"))
    target = _title(opened.config, "network_def")
    whole = opened.config.get("network")
    if not isinstance(whole, dict) or str(whole.get("_target_")).endswith("load_pretrained"):
        return f"{target}, {size} million parameters"
    around = parser.get_parsed_content("network")
    return f"{target}, {size} million parameters; trained inside of {type(around).__name__}, {_million(around)} million"


def _title(config: dict[str, Any], key: str) -> str:
    """Return the class of a component, and of the network that it is a part of."""
    node = config[key]
    name = str(node.get("_target_", "")).rpartition(".")[2]
    inner = str(node.get("network", "")).removeprefix("@")
    return f"{name} of {_title(config, inner)}" if isinstance(config.get(inner), dict) else name


def _million(network: Any) -> str:
    return f"{sum(parameter.numel() for parameter in network.parameters()) / 1e6:.3g}"


def _weights(opened: OpenBundle) -> str:
    keys = [key for key in WEIGHT_KEYS if key in opened.config]
    path = next((path for key in keys if (path := find_weights(opened.config[key])) is not None), None)
    if path is None:
        return "none: the network begins from scratch"
    record = read_passport(path) or {}
    data = record.get("data") or {}
    known = [f"{key} {record[key]}" for key in ("bundle", "run", "steps") if record.get(key) is not None]
    known += [f"data {data.get('name')}{' (synthetic)' if data.get('synthetic') else ''}"] if data else []
    return f"{path} ({', '.join(known)})" if known else f"{path} (no passport: their origin is unknown)"


def _budget(opened: OpenBundle) -> str:
    config = opened.config
    if "steps" not in config:
        return ""
    counts = [config["steps"], config.get("batch_size", 1), config.get("accumulation_steps") or 1]
    if not all(type(count) is int and count > 0 for count in counts):
        raise ValueError(f"steps and batches of whole numbers above 0 are expected; found {counts}")
    batch = config.get("batch_size", 1) * (config.get("accumulation_steps") or 1)
    every = config.get("eval_every_examples")
    validation = "at the end only" if every is None else f"every {every} examples"
    budget = f"{config['steps']} steps of {batch} examples: {config['steps'] * batch} examples"
    return f"{budget}; validation {validation}" if "validate" in config else budget
