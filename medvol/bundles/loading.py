"""What the guard does for ``monai.bundle.load``, which wants the network of a bundle and none of its data."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from .inherit import inherited
from .refusal import refuse

__all__ = ["prepare_loading", "running_load"]


def running_load() -> dict[str, Any] | None:
    """Return the variables of the ``monai.bundle.load`` that evaluates the calling config expression.

    ``load`` runs a bundle's ``initialize`` as a training does, and tells it nothing.

    Returns:
        The variables by name, such as ``full_path`` and ``model_dict``; ``None`` outside of a load.

    Example:
        >>> running_load() is None
        True
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "load" and frame.f_globals.get("__name__") == "monai.bundle.scripts":
            return dict(frame.f_locals)
        frame = frame.f_back
    return None


def prepare_loading(parser: ConfigParser, original: dict[str, Any], load: Mapping[str, Any]) -> None:
    """Make a config describe the network of the weights that are being loaded, and refuse when it does not.

    Widths, modalities and the like come from the passport beside the weights. Data are not looked for and no run is
    begun; of ``initialize`` only the guard takes place, so that loading a network does not seed the user's generators.
    MONAI copies the tensors whose names and shapes fit and leaves the others random, silently; so the fit is checked
    here, except where the caller asked for another network (``net_override``) or another copy (``copy_model_args``,
    ``key_in_ckpt``).

    Args:
        parser: the workflow's parser.
        original: the config as it stands in its file.
        load: the variables of the running ``monai.bundle.load``.

    Raises:
        GuardError: when the weights are not those of the bundle's network.
    """
    weights = str(load["full_path"])
    values = inherited({**parser.config, "weights": weights}, original)
    if "weights" in parser.config:
        values["weights"] = weights
    rest = range(1, len(parser.config.get("initialize", ())))
    for key, value in {**values, **{f"initialize::{i}": None for i in rest}}.items():
        parser[key] = value
    if not any(load.get(key) for key in ("net_override", "copy_model_args", "key_in_ckpt")):
        _check_fit(parser.get_parsed_content("network_def"), load["model_dict"], Path(weights))


def _check_fit(network: torch.nn.Module, file: Mapping[str, torch.Tensor], path: Path) -> None:
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    found = {key: tuple(getattr(value, "shape", ())) for key, value in file.items()}
    problems = [f"{key} is missing" for key in wanted if key not in found]
    problems += [f"{key} is unknown" for key in found if key not in wanted]
    problems += [f"{k} is {found[k]} and not {wanted[k]}" for k in wanted if k in found and found[k] != wanted[k]]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        refuse(
            f"the weights of this bundle's network in {path}",
            f"{'; '.join(problems[:3])}{more}",
            "put the passport.json of the run beside the weights, or describe their network by net_override",
        )
