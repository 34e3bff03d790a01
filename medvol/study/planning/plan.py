"""The runs of a study, in an order in which they can be run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from medvol.bundles.reading import read_json

from .arms import bundle_folder
from .design import Study

__all__ = ["Plan", "PlannedRun", "make_plan", "read_plan"]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a bundle.

    Attributes:
        key: unique name in the study, usable as a file name.
        kind: ``pretrain``, ``tune`` or ``finetune``.
        arm: first arm that needs it.
        variant: name of the variant, ``""`` without any; always ``""`` for pre-training.
        count: label count; None for pre-training.
        replicate: index of the replicate.
        bundle: bundle to run; the config is ``train.json``.
        run_name: name of the run's folder; of a run whose learning rate is tuned, the part before ``-lr<value>``.
        overrides: overrides of the bundle, seeds and ``arm`` included, without what a machine decides (places,
            tracking), the starting weights and a learning rate that is tuned.
        start: key of the pre-training run whose product it starts from, or None.
        weights: given weights that it starts from, or None.
        tuned_by: keys of the runs that decide its learning rate; empty if it is fixed.
        learning_rate: of a fixed one; None while it is tuned.
        steps: optimizer steps.
        examples: training examples.
        budget: ``""`` for the standard budget, else a tag such as ``1800 steps``.
    """

    key: str
    kind: str
    arm: str
    variant: str
    count: int | str | None
    replicate: int
    bundle: str
    run_name: str
    overrides: Mapping[str, Any]
    start: str | None
    weights: str | None
    tuned_by: tuple[str, ...]
    learning_rate: float | None
    steps: int
    examples: int
    budget: str


@dataclass(frozen=True)
class Plan:
    """All runs of a study; a run stands after those that it needs.

    Attributes:
        study: the study.
        runs: the runs.
        dataset_dir: folder of the downstream images as given on the command line, or None.
    """

    study: Study
    runs: tuple[PlannedRun, ...]
    dataset_dir: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``plan.json``; the study itself stands in ``study.json``.

        Example:
            >>> Plan(None, ()).as_dict()
            {'dataset_dir': None, 'runs': []}
        """
        return {"dataset_dir": self.dataset_dir, "runs": [json.loads(json.dumps(asdict(run))) for run in self.runs]}

    def dataset_dir_of(self, run: PlannedRun) -> str | None:
        """Return the folder of a run's images, as far as the command line gives it.

        The folder goes to every run on the manifest of the downstream task, unless its overrides name one.

        Args:
            run: one of the runs.
        """
        if self.dataset_dir is None or "dataset_dir" in run.overrides:
            return run.overrides.get("dataset_dir")
        same = _manifest(run.bundle, run.overrides) == _manifest(self.study.bundle, self.study.overrides)
        return self.dataset_dir if same else None


def make_plan(study: Study, dataset_dir: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Plan:
    """Return the runs of a study, after checking all that can be known before hours are spent.

    Nothing is written and nothing is started. A run's tuning and pre-training stand before it, then the fine-tunings
    replicate by replicate, so that a study that is stopped has whole replicates.

    Args:
        study: of :func:`medvol.study.planning.reading.load_study`.
        dataset_dir: folder of the downstream images; None for that of the manifest.
        overrides: values for keys of the downstream bundle, for all fine-tunings.

    Raises:
        ValueError: names everything that would stop the runs: unknown keys, label counts above the number of
            patients, weights that are missing or do not fit, a section without labels, unknown scores.
        FileNotFoundError: there is no folder ``dataset_dir``.
    """
    from .grid import planned_runs, with_overrides  # torch and MONAI load where they are needed
    from .preflight import check_plan

    if dataset_dir is not None and not Path(dataset_dir).expanduser().is_dir():
        raise FileNotFoundError(
            f"dataset_dir must be the folder of the images; found no folder {dataset_dir}; correct the path"
        )
    folder = None if dataset_dir is None else str(Path(dataset_dir).expanduser().absolute())
    study = with_overrides(study, overrides or {})
    plan = Plan(study, planned_runs(study), folder)
    check_plan(plan)
    return plan


def read_plan(folder: str | Path) -> Plan:
    """Read the plan of a study folder.

    Args:
        folder: holds ``plan.json`` and ``study.json``.

    Raises:
        FileNotFoundError: one of them is not there.
        ValueError: one of them is damaged.
    """
    from .reading import load_study

    file = Path(folder) / "plan.json"
    content = read_json(file)
    names = {field.name for field in fields(PlannedRun)}
    runs = content.get("runs")
    if not isinstance(runs, list) or any(not isinstance(run, dict) or set(run) != names for run in runs):
        raise ValueError(
            f"{file} must hold the runs of a study with the keys {', '.join(sorted(names))}; found something else; "
            "run 'python -m medvol study run' again into that folder, which writes it anew"
        )
    planned = tuple(PlannedRun(**{**run, "tuned_by": tuple(run["tuned_by"])}) for run in runs)
    return Plan(load_study(Path(folder) / "study.json"), planned, content.get("dataset_dir"))


def _manifest(bundle: str, overrides: Mapping[str, Any]) -> Any:
    if "manifest" in overrides:
        return overrides["manifest"]
    return read_json(bundle_folder(bundle, "a run's bundle") / "train.json").get("manifest")
