"""The configs of a study's runs and of their evaluations, opened without being run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medvol.bundles.inherit import fill_inherited
from medvol.bundles.opening import OpenBundle, open_bundle
from medvol.bundles.reading import read_json

from .arms import bundle_folder
from .plan import Plan, PlannedRun
from .standin import write_stand_in

__all__ = ["evaluation_overrides", "open_evaluation", "open_run", "run_overrides"]


def run_overrides(plan: Plan, run: PlannedRun, **more: Any) -> dict[str, Any]:
    """Return the overrides of a run, without its name and its place.

    A learning rate that is tuned is left at the bundle's own; it changes neither cost nor validity.

    Args:
        plan: the plan.
        run: one of its runs.
        **more: further overrides.
    """
    known = read_json(bundle_folder(run.bundle, "a run's bundle") / "train.json")
    machine = {"dataset_dir": plan.dataset_dir_of(run), "mlflow": False}
    rate = {} if run.learning_rate is None else {"learning_rate": run.learning_rate}
    return {**{key: value for key, value in machine.items() if key in known}, **run.overrides, **rate, **more}


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


def evaluation_overrides(plan: Plan, training: OpenBundle, folder: Path) -> dict[str, Any]:
    """Return the overrides of a fine-tuned run's evaluation, with untrained weights in the place of its own.

    Args:
        plan: the plan.
        training: of :func:`open_run`.
        folder: where the stand-in for the weights lies, or is written.

    Raises:
        FileNotFoundError: the bundle has no ``evaluate.json``.
    """
    weights = folder / "model.pt"
    if not weights.is_file():
        write_stand_in(training, folder, like_trained=True)
    given = {key: training.config.get(key) for key in ("manifest", "dataset_dir", "device")}
    given |= {"weights": str(weights), "section": plan.study.section, "save_predictions": False}
    known = read_json(training.folder / "evaluate.json")
    return {key: value for key, value in given.items() if key in known and value is not None}


def open_evaluation(training: OpenBundle, overrides: dict[str, Any]) -> OpenBundle:
    """Open the ``evaluate.json`` of a bundle, with what the passport of the weights brings along.

    Args:
        training: of :func:`open_run`.
        overrides: of :func:`evaluation_overrides`.
    """
    opened = open_bundle(training.folder, "evaluate.json", overrides)
    fill_inherited(opened.parser, opened.original)
    return opened
