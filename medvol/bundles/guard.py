"""Stop a bundle before it trains on the wrong thing: unknown keys, missing data or weights, a run that exists."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from monai.bundle import ConfigParser, ConfigWorkflow
from packaging.version import Version

from medvol.data import load_manifest
from medvol.networks import find_weights
from medvol.passport import read_passport

from .identity import recipe, run_hash, versions
from .keys import config_problems, plain_values
from .root import config_files, running_workflow


class GuardError(SystemExit):
    """A bundle refuses to start; uncaught, it prints its message and ends the command with status 1.

    It is a ``SystemExit`` because MONAI wraps every other exception of a config expression into a chain of four
    tracebacks, and the user's mistake would stand in the middle of it.
    """


def refuse(expected: str, found: str, remedy: str) -> NoReturn:
    """Raise a :class:`GuardError` in the project's three parts."""
    raise GuardError(f"medvol cannot start this bundle.\n  expected: {expected}\n  found:    {found}\n  remedy:   {remedy}")


@dataclass(frozen=True)
class Run:
    """Where a run writes, and whether it has finished before."""

    name: str
    folder: Path
    hash: str
    finished: bool


def guard(on_finished: str = "exit") -> Run | None:
    """Check the running bundle, and give a training run its name and folder.

    It stands first in every bundle's ``initialize``. In order: texts such as "false" become values; keys, arguments and
    overridden types are compared with what the config and its components read; versions, weights and data are looked
    for; then, for a config with a ``run_dir``, the run's identity is computed and ``run_name``, ``run_dir`` and
    ``passport`` are written into the config.

    Args:
        on_finished: what to do when this very run has finished already: ``"exit"`` prints its result and ends the
            command with status 0, ``"skip"`` returns, for library callers.

    Returns:
        The run, or ``None`` for a config that has no ``run_dir`` (inference, evaluation) or outside of a workflow.

    Raises:
        GuardError: when something is wrong; the message lists what was expected, what was found and what to do.
        SystemExit: with status 0, when the run has finished and ``on_finished`` is ``"exit"``.
    """
    workflow = running_workflow()
    if workflow is None:
        return None
    parser = workflow.parser
    for key, value in plain_values(parser.config).items():
        parser[key] = value
    _check_keys(parser.config)
    _check_versions(parser.config.get("_meta_", {}))
    _check_weights(parser.config)
    _check_data(parser.config)
    if "run_dir" not in parser.config:
        return None
    run = _identify(workflow)
    if run.finished and not parser.config.get("restart"):
        _report_finished(run)
        if on_finished == "exit":
            raise SystemExit(0)
    return run


def _check_keys(config: dict[str, Any]) -> None:
    files = config_files()
    original = ConfigParser.load_config_files(list(files)) if files else None
    problems = config_problems(config, original)
    if problems:
        known = ", ".join(sorted(k for k, v in config.items() if not isinstance(v, (dict, list)) and k[0] != "_"))
        refuse("only keys that something reads", "; ".join(problems), f"correct the name; top-level keys are: {known}")


def _check_versions(meta: dict[str, Any]) -> None:
    from importlib.metadata import PackageNotFoundError, version

    for package, least in meta.get("required_packages_version", {}).items():
        try:
            found = version(package)
        except PackageNotFoundError:
            refuse(f"{package} >= {least}", "it is not installed", f"pip install '{package}>={least}'")
        if Version(found).release < Version(str(least)).release:
            refuse(f"{package} >= {least}", found, f"pip install '{package}>={least}'")


def _check_weights(config: dict[str, Any]) -> None:
    for key in ("pretrained", "weights"):
        if key in config:
            try:
                find_weights(config[key])
            except (FileNotFoundError, ValueError) as error:
                refuse(f"weights for '{key}'", str(error), f"give a path, a name from that list, or --{key} null for none")


def _check_data(config: dict[str, Any]) -> None:
    if config.get("manifest") is None:
        return
    try:
        manifest = load_manifest(config["manifest"], config.get("dataset_dir"))
        for section in ("training",) if "train" in config else ():
            manifest.check(section)
            items = manifest.items(section, modalities=config.get("modalities"))
            if not items:
                refuse(f"cases in section '{section}'", f"none in manifest '{manifest.name}'", "add cases to the manifest")
    except (FileNotFoundError, ValueError, KeyError, OSError) as error:
        refuse(f"a readable manifest '{config['manifest']}'", str(error), "see data_manifests/README.md")


def _identify(workflow: ConfigWorkflow) -> Run:
    parser = workflow.parser
    config = parser.config
    digest = run_hash(config)
    name = str(config.get("run_name") or digest[:8])
    folder = Path(parser.get_parsed_content("output_dir")) / name
    note = folder / "run.json"
    if note.is_file() and (other := json.loads(note.read_text())["hash"]) != digest and not config.get("restart"):
        refuse(f"'{name}' to be new or this very run (hash {digest[:8]})", f"another run under that name (hash {other[:8]})",
               "choose another --run_name, or --restart True to overwrite it")
    finished = (folder / "passport.json").is_file() and (folder / "model.pt").is_file()
    bundle = Path(parser.get_parsed_content("bundle_root")).name
    passport = _passport(config, bundle, name, digest)
    filled = {"run_name": name, "run_dir": str(folder), "passport": passport, **_resolved_start(config, passport)}
    for key, value in filled.items():
        parser[key] = value
    if int(os.environ.get("RANK", 0)) == 0 and not (finished and not config.get("restart")):
        _write(note, {"hash": digest, "bundle": bundle, "recipe": passport["recipe"], "versions": passport["versions"]})
    return Run(name, folder, digest, finished)


def _resolved_start(config: dict[str, Any], passport: dict[str, Any]) -> dict[str, Any]:
    """The starting weights as a file (``@latest`` may move on while the run lasts), and the arm they make."""
    filled: dict[str, Any] = {}
    if "pretrained" in config:
        start = find_weights(config["pretrained"])
        filled["pretrained"] = None if start is None else str(start)
        if "arm" in config and not config["arm"]:
            filled["arm"] = "scratch" if start is None else (passport["pretrained"] or {}).get("bundle") or start.stem
    return filled


def _passport(config: dict[str, Any], bundle: str, name: str, digest: str) -> dict[str, Any]:
    manifest = load_manifest(config["manifest"], config.get("dataset_dir")) if config.get("manifest") else None
    start = find_weights(config.get("pretrained"))
    origin = None if start is None else read_passport(start)
    return {
        "bundle": bundle,
        "run": name,
        "hash": digest,
        "architecture": json.loads(json.dumps(config.get("network_def"), default=str)),
        "modalities": list(config.get("modalities") or (manifest.modalities if manifest else ())),
        "data": None if manifest is None else {"name": manifest.name, "hash": manifest.hash, "synthetic": manifest.synthetic},
        "pretrained": None if start is None else {k: (origin or {}).get(k) for k in ("bundle", "run", "hash", "steps", "data")},
        "seed": config.get("seed"),
        "recipe": recipe(config),
        "versions": versions(),
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(content, file, indent=1, sort_keys=True)
        os.replace(file.name, path)
    except OSError as error:
        refuse(f"a folder to write the run to, {path.parent}", str(error), "give another one by --output_dir")


def _report_finished(run: Run) -> None:
    if int(os.environ.get("RANK", 0)) != 0:
        return
    passport = read_passport(run.folder / "model.pt") or {}
    print(f"medvol: this run has finished already: {run.folder}")
    for name, value in sorted((passport.get("metrics") or {}).items()):
        print(f"  {name}: {value}")
    print("  --restart True trains it again; any change of the config makes a new run.")
