"""What must hold of the intensities that a trained network is given."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from medvol.networks import find_weights
from medvol.passport import read_passport

from ..opening import OpenBundle
from ..plain import fixed_transforms, located
from ..refusal import Problem
from .trying import side_parser

__all__ = ["intensity_problems"]

_NOT_COMPARED = ("keys", "allow_missing_keys")


def intensity_problems(opened: OpenBundle) -> Iterator[Problem]:
    """Yield a problem if a trained network is given intensities that are scaled otherwise than in its training.

    Values of the config come along with the weights, such as a spacing; transforms do not, and one that scales
    otherwise ruins every prediction without an error. Compared are the transforms of ``monai.transforms.intensity`` at
    the fixed head of either chain. Where the user changed the chain it is a warning, which ``check`` shows.

    Args:
        opened: an evaluation or an inference, with weights that can be read.
    """
    if "weights" not in opened.config or "preprocessing" not in opened.config:
        return
    path = find_weights(opened.config["weights"])
    trained = ((read_passport(path) or {}) if path is not None else {}).get("preprocessing")
    given = fixed_transforms(side_parser(opened.config), "preprocessing")
    if not isinstance(trained, list) or given is None:
        return
    wanted, found = _scalings(trained), _scalings(given)
    if [_complete(*scaling) for scaling in wanted] == [_complete(*scaling) for scaling in found]:
        return
    files = sorted(f"{opened.folder.name}/{p.name}" for p in opened.folder.glob(f"{opened.file.stem}_args_*.json"))
    fitting = f"give the --args_file of that training's data ({', '.join(files)}), or " if files else ""
    yield Problem(
        f"intensities scaled as in the training of the weights: {_shown(wanted)}",
        _shown(found),
        f"{fitting}put the transforms of the passport's 'preprocessing' into that of {opened.file.name}",
        "error" if opened.config["preprocessing"] == opened.original.get("preprocessing") else "warning",
    )


def _scalings(chain: list[Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Classes and written arguments of the transforms of a chain that change intensities."""
    kinds = [(located(part), part) for part in chain]
    return [
        (kind, {name: v for name, v in part.items() if not name.startswith("_") and name not in _NOT_COMPARED})
        for kind, part in kinds
        if str(getattr(kind, "__module__", "")).startswith("monai.transforms.intensity.")
    ]


def _complete(kind: Any, written: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The same with default arguments."""
    parameters = inspect.signature(kind).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in _NOT_COMPARED}
    return kind, defaults | written


def _shown(scalings: list[tuple[Any, dict[str, Any]]]) -> str:
    texts = [f"{kind.__name__}({', '.join(f'{k}={v!r}' for k, v in written.items())})" for kind, written in scalings]
    return ", then ".join(texts) or "as in the files"
