"""Stop a bundle before it trains on the wrong thing: unknown keys, missing data or weights, a run that exists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from medvol.passport import read_passport

from .checks.metadata_rules import versions_rule
from .checks.rules import BEFORE_RUN, keys_rule, values_rule
from .inherit import fill_inherited
from .keys import plain_values
from .loading import prepare_loading, running_load
from .opening import OpenBundle
from .plain import resolve_weights
from .refusal import GuardError, refuse_errors
from .root import bundle_root, config_files, running_workflow
from .runs import Run, identify

__all__ = ["GuardError", "guard"]


def guard(on_finished: str = "exit") -> Run | None:
    """Check the running bundle, and give a training run its name and folder.

    It stands first in every bundle's ``initialize``. In order: texts such as "false" become values; keys, arguments and
    overridden types are compared with what the config and its components read; versions, weights and data are looked
    for; then, for a config with a ``run_dir``, the run's identity is computed and ``run_name`` and ``run_dir`` are
    written into the config.

    Args:
        on_finished: what to do when this very run has finished already: ``"exit"`` prints its result and ends the
            command with status 0, ``"skip"`` returns, for library callers.

    Returns:
        The run, or ``None`` for a config that has no ``run_dir`` (inference, evaluation) or outside of a workflow.

    Raises:
        GuardError: when something is wrong; the message lists what was expected, what was found and what to do.
        SystemExit: with status 0, when the run has finished and ``on_finished`` is ``"exit"``.

    Example:
        >>> guard() is None  # no bundle is running
        True
    """
    workflow = running_workflow()
    if workflow is None:
        return None
    parser = workflow.parser
    files = config_files()
    original = ConfigParser.load_config_files(list(files)) if files else {}
    _fill(parser, plain_values(parser.config))
    resolve_weights(parser)
    opened = OpenBundle(Path(bundle_root()), Path(files[0] if files else "train.json"), original, parser)
    load = running_load()
    if load is not None:  # `monai.bundle.load` wants the network alone: no data, no run
        refuse_errors(versions_rule(opened))
        prepare_loading(parser, original, load)
        return None
    refuse_errors(keys_rule(opened))
    refuse_errors(values_rule(opened))
    fill_inherited(parser, original)
    for rule in BEFORE_RUN:
        refuse_errors(rule(opened))
    if "run_dir" not in parser.config:
        return None
    run = identify(parser)
    if run.finished and not parser.config.get("restart"):
        _report_finished(run)
        if on_finished == "exit":
            raise SystemExit(0)
    return run


def _fill(parser: ConfigParser, values: dict[str, Any]) -> None:
    for key, value in values.items():
        parser[key] = value


def _report_finished(run: Run) -> None:
    if int(os.environ.get("RANK", 0)) != 0:
        return
    passport = read_passport(run.folder / "model.pt") or {}
    print(f"medvol: this run has finished already: {run.folder}")
    for name, value in sorted((passport.get("metrics") or {}).items()):
        print(f"  {name}: {value}")
    print("  --restart True trains it again; any change of the config makes a new run.")
