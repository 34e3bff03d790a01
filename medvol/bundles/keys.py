"""Check the keys and values of a bundle's config before anything in it is built."""

from __future__ import annotations

import difflib
import inspect
import pydoc
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from .refusal import Problem

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


def component_problems(node: Any, path: str = "") -> Iterator[Problem]:
    """Yield components below a part of a config that cannot be imported, and arguments that they do not take.

    Args:
        node: the part.
        path: where it stands.

    Example:
        >>> [p.found for p in component_problems({"_target_": "torch.nn.ReLU", "inplac": True}, "act")]
        ["'act::inplac' is no argument of torch.nn.ReLU; did you mean 'inplace'?"]
    """
    if isinstance(node, list):
        for i, value in enumerate(node):
            yield from component_problems(value, f"{path}::{i}")
    elif isinstance(node, dict):
        target = node.get("_target_")
        if isinstance(target, str) and "." in target:
            yield from _argument_problems(target, node, path)
        for key, value in node.items():
            yield from component_problems(value, f"{path}::{key}" if path else key)


def _argument_problems(target: str, node: dict[str, Any], path: str) -> Iterator[Problem]:
    component, fault = _locate(target)
    if component is None:
        found = f"'{path}' names the component '{target}', which cannot be imported{fault}"
        remedy = "correct its name, or install the package that it comes from"
        yield Problem("components that can be imported", found, remedy)
        return
    parameters = _parameters(component)
    if parameters is None or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in node:
        if key not in parameters and not (key.startswith("_") and key.endswith("_")):
            found = f"'{path}::{key}' is no argument of {target}{suggest(key, parameters)}"
            remedy = f"correct the name or take it out; it takes {', '.join(p for p in parameters if p != 'self')}"
            yield Problem("only arguments that the components take", found, remedy)


@cache
def _parameters(component: Any) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(component).parameters
    except (TypeError, ValueError):  # a builtin without a signature: nothing to compare with
        return None


def _locate(target: str) -> tuple[Any, str]:
    """Return what a dotted name stands for, or None and why not."""
    try:
        return pydoc.locate(target), ""
    except pydoc.ErrorDuringImport as error:  # the module is there, and fails
        return None, f" ({type(error.value).__name__}: {error.value})"


def _type_problems(config: dict[str, Any], original: dict[str, Any]) -> Iterator[Problem]:
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
            found = f"'{key}' must be {type(default).__name__}, as {default!r} is, found {value!r}"
            yield Problem("values of the type that the config has", found, f"give {key} as, for instance, {default!r}")


def key_problems(config: dict[str, Any], original: dict[str, Any] | None = None) -> Iterator[Problem]:
    """Yield what is wrong with the keys of a config: nothing reads them, or no component takes them.

    A key of the file that an override makes null need not be read.

    Args:
        config: the config with the overrides applied.
        original: the config as it stands in the file, if known; then the types of overridden values are compared, too.

    Example:
        >>> [p.found for p in key_problems({"steps": 3, "epoch": 1, "run": ["$print(@steps)"]})]
        ["nothing reads the key 'epoch'; did you mean 'steps'?"]
    """
    read = _read_keys(config)
    tops = {k for k, v in config.items() if isinstance(v, dict) and "_target_" not in v}  # namespaces such as "train"
    known = sorted((read | ENTRY_KEYS) & set(config))
    scalars = sorted(k for k, v in config.items() if not isinstance(v, dict) and not k.startswith("_"))
    # A variant of a method may take a key of the file out by making it null.
    absent = {key for key, value in config.items() if value is None and key in (original or {})}
    for key in config:
        if key not in read | ENTRY_KEYS | TRACKING_KEYS | tops | absent:
            keys = ", ".join(k for k in scalars if k != key)
            remedy = f"correct the name or take it out; the top-level keys are {keys}"
            yield Problem(
                "only keys that something reads", f"nothing reads the key '{key}'{suggest(key, known)}", remedy
            )
    yield from component_problems(config)
    if original:
        yield from _type_problems(config, original)


def config_problems(config: dict[str, Any], original: dict[str, Any] | None = None) -> list[str]:
    """List what :func:`key_problems` found, one sentence per problem.

    Args:
        config: the config with the overrides applied.
        original: the config as it stands in the file, if known.

    Example:
        >>> config_problems({"steps": 3, "epoch": 1, "run": ["$print(@steps)"]})
        ["nothing reads the key 'epoch'; did you mean 'steps'?"]
    """
    return [problem.found for problem in key_problems(config, original)]
