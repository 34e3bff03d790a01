"""Check the keys and values of a bundle's config before anything in it is built."""

from __future__ import annotations

import difflib
import inspect
import pydoc
import re
from collections.abc import Iterable, Iterator
from typing import Any

ENTRY_KEYS = frozenset(
    "imports bundle_root device dataset_dir network_def initialize run finalize _meta_ restart run_name run_dir "
    "passport".split()
)
"""Top-level keys that MONAI or the guard reads by name, so that no ``@reference`` to them is needed."""

TRACKING_KEYS = frozenset(
    "tracking tracking_uri experiment_name save_execute_config is_not_rank0 output_dir run_name".split()
)
"""Top-level keys that ``--tracking mlflow`` adds to a config by itself."""

_WORDS = {"true": True, "false": False, "null": None, "none": None}
_REFERENCE = re.compile(r"[@%](?:::|#)*(\w+)")


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to ``name``, or an empty string.

    Example:
        >>> suggest("learning_rat", ["learning_rate", "steps"])
        "; did you mean 'learning_rate'?"
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6) or [k for k in known if k.startswith(name)][:1]
    if not near:  # `--epoch` shares no letters with `steps`, but people look for it under that name
        near = [k for k in known if k == "steps"] if name.rstrip("s") in ("epoch", "max_epoch", "iteration") else []
    return f"; did you mean '{near[0]}'?" if near else ""


def plain_values(config: dict[str, Any]) -> dict[str, Any]:
    """Return the top-level strings that stand for ``true``, ``false`` or ``null``, as the values they mean.

    The command line hands over ``--mlflow false`` as the text "false", which Python takes for true.

    Example:
        >>> plain_values({"mlflow": "false", "pretrained": "none", "manifest": "phantom"})
        {'mlflow': False, 'pretrained': None}
    """
    return {k: _WORDS[v.lower()] for k, v in config.items() if isinstance(v, str) and v.lower() in _WORDS}


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)
    elif isinstance(node, str):
        yield node


def _read_keys(config: dict[str, Any]) -> set[str]:
    """Top-level keys that some reference or macro of the config reads."""
    texts = (s for s in _strings(config) if s[:1] in "$@%")
    return {name for text in texts for name in _REFERENCE.findall(text)}


def _component_problems(node: Any, path: str) -> Iterator[str]:
    """Arguments that a ``_target_`` does not take, for every component below ``node``."""
    if isinstance(node, list):
        for i, value in enumerate(node):
            yield from _component_problems(value, f"{path}::{i}")
    elif isinstance(node, dict):
        target = node.get("_target_")
        if isinstance(target, str) and "." in target:
            yield from _argument_problems(target, node, path)
        for key, value in node.items():
            yield from _component_problems(value, f"{path}::{key}" if path else key)


def _argument_problems(target: str, node: dict[str, Any], path: str) -> Iterator[str]:
    component = pydoc.locate(target)
    if component is None:
        yield f"'{path}' names the component '{target}', which cannot be imported"
        return
    try:
        parameters = inspect.signature(component).parameters  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a builtin without a signature: nothing to compare with
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in node:
        if key not in parameters and not (key.startswith("_") and key.endswith("_")):
            yield f"'{path}::{key}' is no argument of {target}{suggest(key, parameters)}"


def _type_problems(config: dict[str, Any], original: dict[str, Any]) -> Iterator[str]:
    """Top-level numbers and flags that an override turned into something else."""
    for key, default in original.items():
        value = config.get(key, default)
        if not isinstance(default, (bool, int, float, list)) or value is default:
            continue
        if isinstance(value, str) and value[:1] in "$@%":
            continue
        kinds = (int, float) if isinstance(default, float) else (type(default), *([tuple] * isinstance(default, list)))
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and not isinstance(default, bool))
        if wrong and value is not None:
            yield f"'{key}' must be {type(default).__name__}, as {default!r} is, found {value!r}"


def config_problems(config: dict[str, Any], original: dict[str, Any] | None = None) -> list[str]:
    """List what is wrong with the keys of a config: nothing reads them, or no component takes them.

    Args:
        config: the config with the overrides applied.
        original: the config as it stands in the file, if known; then the types of overridden values are compared, too.

    Returns:
        One sentence per problem, with a did-you-mean where a known name is near.

    Example:
        >>> config_problems({"steps": 3, "epoch": 1, "run": ["$print(@steps)"]})
        ["nothing reads the key 'epoch'; did you mean 'steps'?"]
    """
    read = _read_keys(config)
    tops = {k for k, v in config.items() if isinstance(v, dict) and "_target_" not in v}  # namespaces such as "train"
    known = sorted((read | ENTRY_KEYS) & set(config))
    problems = [
        f"nothing reads the key '{key}'{suggest(key, known)}"
        for key in config
        if key not in read | ENTRY_KEYS | TRACKING_KEYS | tops
    ]
    problems += list(_component_problems(config, ""))
    return problems + (list(_type_problems(config, original)) if original else [])
