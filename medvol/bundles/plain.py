"""A part of a bundle's config as plain values, for readers that have neither the config nor medvol."""

from __future__ import annotations

import json
import pydoc
from typing import Any

from monai.bundle import ConfigComponent, ConfigParser
from monai.transforms import Compose, Transform
from monai.transforms.traits import RandomizableTrait


def plain(parser: ConfigParser, key: str) -> Any:
    """Return a part of a config with its references followed and its expressions evaluated.

    Components stay dicts with their ``_target_``; nothing of them is built, unless an expression asks for it. An
    expression without a plain result, such as a list of parameters, stays as it is written.

    Args:
        parser: the config.
        key: where the part stands, such as ``"network_def"`` or ``"train::dataset::transform"``.

    Returns:
        Text, numbers, truths, None, and lists and dicts of these; None where the config has no such part.

    Example:
        >>> config = {"n": 2, "net": {"_target_": "torch.nn.Linear", "in_features": "@n", "out_features": "$@n * 3"}}
        >>> plain(ConfigParser(config), "net")
        {'_target_': 'torch.nn.Linear', 'in_features': 2, 'out_features': 6}
    """
    return _plain(parser, key, parser[key], ()) if key in parser else None


def fixed_transforms(parser: ConfigParser, key: str = "train::dataset::transform") -> list[dict[str, Any]] | None:
    """Return the transforms of a chain that are not random: those before the first that is, or that may be anything.

    It is what :class:`medvol.data.StreamDataset` does once per image, before anything is drawn.

    Args:
        parser: the config.
        key: where the chain stands: a ``Compose``, a list, or one transform.

    Returns:
        The transforms as :func:`plain` dicts; None where the config has no such chain.

    Example:
        >>> chain = [{"_target_": "monai.transforms.Flip"}, {"_target_": "monai.transforms.RandFlip"}]
        >>> fixed_transforms(ConfigParser({"chain": chain}), "chain")
        [{'_target_': 'monai.transforms.Flip'}]
    """
    chain = plain(parser, key)
    if chain is None:
        return None
    fixed = []
    for transform in _flat(chain):
        kind = located(transform)
        if not (isinstance(kind, type) and issubclass(kind, Transform)) or issubclass(kind, RandomizableTrait):
            break
        fixed.append(transform)
    return fixed


def resolve_weights(parser: ConfigParser) -> None:
    """Write what an expression under ``weights`` or ``pretrained`` stands for into a config.

    A packed bundle names its own weights by an expression, whereas weights are looked for by a path or a name.

    Args:
        parser: the config; changed in place.

    Example:
        >>> parser = ConfigParser({"bundle_root": "there", "weights": "$@bundle_root + '/models/model.pt'"})
        >>> resolve_weights(parser)
        >>> parser["weights"]
        'there/models/model.pt'
    """
    for key in ("pretrained", "weights"):
        if str(parser.config.get(key)).startswith("$"):
            parser[key] = parser.get_parsed_content(key)


def located(component: dict[str, Any]) -> Any:
    """Return the class or function that a component's ``_target_`` names, or None."""
    name = component.get("_target_") if isinstance(component, dict) else None
    if not isinstance(name, str):
        return None
    if "." not in name:  # a bare name is looked for in MONAI; that reads all of MONAI, so only where it must
        name = ConfigComponent(component).resolve_module_name()
    try:
        return pydoc.locate(name)
    except pydoc.ErrorDuringImport:
        return None


def _flat(chain: Any) -> list[Any]:
    """The transforms of nested chains in one list, without those that are switched off."""
    if isinstance(chain, list):
        return [transform for part in chain for transform in _flat(part)]
    if isinstance(chain, dict) and chain.get("_disabled_") in (True, "true", "True"):
        return []
    inner = isinstance(chain, dict) and located(chain) is Compose
    return _flat(chain.get("transforms") or []) if inner else [chain]


def _plain(parser: ConfigParser, key: str, node: Any, seen: tuple[str, ...]) -> Any:
    if isinstance(node, dict):
        return {str(k): _plain(parser, f"{key}::{k}", value, seen) for k, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_plain(parser, f"{key}::{i}", value, seen) for i, value in enumerate(node)]
    if isinstance(node, str) and node.startswith("@"):
        name = node[1:].replace("#", "::")
        # A loop of references is left as text: MONAI refuses it with its own words.
        if name in parser and name not in seen:
            return _plain(parser, name, parser[name], (*seen, name))
        return node
    if isinstance(node, str) and node.startswith("$"):
        return _evaluated(parser, key, node)
    return node


def _evaluated(parser: ConfigParser, key: str, text: str) -> Any:
    try:
        return json.loads(json.dumps(parser.get_parsed_content(key), allow_nan=False))
    except Exception:  # not plain, or wrong: a wrong one is refused in its own words where the part is built
        return text
