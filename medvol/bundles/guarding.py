"""Stop a bundle before it trains on the wrong thing: unknown keys, missing data or weights, a run that exists."""

from __future__ import annotations

import os
from copy import deepcopy
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from monai.bundle import ConfigParser
from packaging.version import Version

from medvol.data import load_manifest
from medvol.data.shards import Shards
from medvol.networks import find_weights
from medvol.passport import read_passport

from .inherit import inherited
from .keys import config_problems, plain_values
from .refusal import GuardError, refuse
from .root import config_files, running_workflow
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
    _check_keys(parser.config, original)
    if "weights" in parser.config:
        _fill(parser, inherited(parser.config, original))
    _check_versions(parser.config.get("_meta_", {}))
    _check_weights(parser.config)
    _check_data(parser.config)
    _check_shards(parser.config)
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


def _check_keys(config: dict[str, Any], original: dict[str, Any]) -> None:
    problems = config_problems(config, original)
    if problems:
        scalars = sorted(k for k, v in config.items() if not isinstance(v, dict) and not k.startswith("_"))
        remedy = f"correct the name; the top-level keys are {', '.join(scalars)}"
        refuse("only keys that something reads, with values of their type", "; ".join(problems), remedy)


def _check_versions(meta: dict[str, Any]) -> None:
    for package, least in meta.get("required_packages_version", {}).items():
        try:
            found = version(package)
        except PackageNotFoundError:
            found = "0"
        if Version(found).release < Version(str(least)).release:
            shown = "it is not installed" if found == "0" else found
            refuse(f"{package} >= {least}", shown, f"pip install '{package}>={least}'")


def _check_weights(config: dict[str, Any]) -> None:
    for key in ("pretrained", "weights"):
        try:
            path = find_weights(config.get(key))
        except (FileNotFoundError, ValueError) as error:
            refuse(f"weights for '{key}'", str(error), f"give a path or a name from that list by --{key}")
        if key == "weights" and key in config and path is None:
            refuse("a trained network", f"'{key}' is {config[key]!r}", f"give a path or a name by --{key}")


def _check_data(config: dict[str, Any]) -> None:
    name = config.get("manifest")
    if name is None or config.get("input_dir") is not None:
        return
    # Training scores itself on the validation section, and shall not find out about it after an hour.
    sections = ("training", "validation") if "validate" in config else (config.get("section") or "training",)
    labelled = True if "scores" in config else None  # what is scored is compared with labels
    for section in sections:
        try:
            manifest = load_manifest(name, config.get("dataset_dir"))
            manifest.check(section)
            items = manifest.items(section, config.get("modalities"), where=config.get("where"), labelled=labelled)
        except (OSError, ValueError, KeyError) as error:
            remedy = "see data_manifests/README.md, or give --dataset_dir"
            refuse(f"a manifest '{name}' with readable data", str(error), remedy)
        if not items:
            held = {key: len(cases) for key, cases in manifest.sections.items()}
            remedy = "add cases, deal them out with 'python -m medvol manifest split', or choose another section"
            refuse(f"at least one case in section '{section}' of manifest '{name}'", f"{held}", remedy)


def _check_shards(config: dict[str, Any]) -> None:
    if config.get("shards") is None:
        return
    try:
        Shards(config["shards"])
        # The data set compares them with its own transforms and items; a parser of its own leaves this one as it is.
        ConfigParser(deepcopy(config)).get_parsed_content("train::dataset")
    except (OSError, ValueError, RuntimeError) as error:
        while error.__cause__ is not None:  # MONAI wraps what a component says
            error = error.__cause__
        refuse(
            "shards of this very data set",
            str(error),
            "write them with 'python -m medvol shards', or leave --shards out",
        )


def _report_finished(run: Run) -> None:
    if int(os.environ.get("RANK", 0)) != 0:
        return
    passport = read_passport(run.folder / "model.pt") or {}
    print(f"medvol: this run has finished already: {run.folder}")
    for name, value in sorted((passport.get("metrics") or {}).items()):
        print(f"  {name}: {value}")
    print("  --restart True trains it again; any change of the config makes a new run.")
