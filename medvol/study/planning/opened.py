"""The configs of a study's runs and of their evaluations, opened without being run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medvol.bundles.inherit import fill_inherited
from medvol.bundles.opening import OpenBundle, open_bundle
from medvol.bundles.reading import read_json

from .arms import bundle_folder
from .plan import Plan, PlannedRun

__all__ = ["evaluation_overrides", "open_evaluation", "open_run", "run_overrides"]

_OF_THE_IMAGES = ("manifest", "dataset_dir", "device")
"""What an evaluation does not learn from the passport of the weights, because it may differ from the training's."""


def run_overrides(plan: Plan, run: PlannedRun, **more: Any) -> dict[str, Any]:
    """Return the overrides of a run, without its name, its place and its start.

    A learning rate that is tuned is left at the bundle's own.

    Args:
        plan: the plan.
        run: one of its runs.
        **more: further overrides.
    """
    known = read_json(bundle_folder(run.bundle, "a run's bundle") / "train.json")
    machine = _stated({"dataset_dir": plan.dataset_dir_of(run), "mlflow": False}, known)
    rate = {} if run.learning_rate is None else {"learning_rate": run.learning_rate}
    return {**run.overrides, **machine, **rate, **more}


def open_run(plan: Plan, run: PlannedRun, **more: Any) -> OpenBundle:
    """Open the ``train.json`` of a run.

    Args:
        plan: the plan.
        run: one of its runs.
        **more: further overrides.

    Raises:
        ValueError: an override leads nowhere.
    """
    folder = bundle_folder(run.bundle, "a run's bundle")
    return open_bundle(folder, overrides=run_overrides(plan, run, **more))


def evaluation_overrides(plan: Plan, run: PlannedRun, overrides: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return the overrides of a fine-tuned run's evaluation, without its place.

    Most of its settings come with the weights; the images and the network as it was given do not.

    Args:
        plan: the plan.
        run: one of its fine-tunings.
        overrides: of its training.
        **more: further overrides, such as the weights.

    Raises:
        FileNotFoundError: the bundle has no ``evaluate.json``.
    """
    folder = bundle_folder(run.bundle, "a run's bundle")
    known, training = read_json(folder / "evaluate.json"), {**read_json(folder / "train.json"), **overrides}
    given = {key: training.get(key) for key in _OF_THE_IMAGES}
    given |= {key: value for key, value in overrides.items() if key.split("::")[0] == "network_def"}
    given |= {"section": plan.study.section, "save_predictions": False}
    return {**_stated(given, known), **more}


def open_evaluation(training: OpenBundle, overrides: dict[str, Any]) -> OpenBundle:
    """Open the ``evaluate.json`` of a bundle, with what the passport of the weights brings along.

    Args:
        training: of :func:`open_run`.
        overrides: of :func:`evaluation_overrides`.
    """
    opened = open_bundle(training.folder, "evaluate.json", overrides)
    fill_inherited(opened.parser, opened.original)
    return opened


def _stated(values: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what has no value, and what a config has no key for."""
    return {key: value for key, value in values.items() if value is not None and key.split("::")[0] in known}
