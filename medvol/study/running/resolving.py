"""What a planned run is on this machine: its folder, its overrides to the last one, and what is scored of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medvol.bundles.inherit import section_folder

from ..planning.opened import evaluation_overrides, run_overrides
from ..planning.plan import Plan, PlannedRun
from .tuning import choose, tuned_rate

__all__ = ["Resolver"]


class Resolver:
    """Fills in what the plan leaves to the machine, the tuning and the pre-training.

    Args:
        plan: the plan.
        folder: the study's folder, absolute.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.runs = {run.key: run for run in plan.runs}

    def overrides(self, run: PlannedRun) -> dict[str, Any]:
        """Return all overrides of a training; the runs that it needs must have finished.

        Raises:
            ValueError: none of the runs that decide its learning rate has a score.
        """
        place = self._place(run)
        more: dict[str, Any] = {"run_name": place.name, "output_dir": str(place.parent)}
        if run.tuned_by:
            more["learning_rate"] = self._rate(run)
            more["run_name"] = f"{run.run_name}-lr{more['learning_rate']:g}"
        if run.start is not None:
            more["pretrained"] = str(self._place(self.runs[run.start]) / "model.pt")
        elif run.kind != "pretrain":
            more["pretrained"] = run.weights
        return run_overrides(self.plan, run, **more)

    def run_dir(self, overrides: Mapping[str, Any]) -> Path:
        """Return the folder of a run with these overrides."""
        return Path(overrides["output_dir"]) / overrides["run_name"]

    def relative(self, run_dir: Path) -> str:
        """Return a run's folder relative to the study's, with forward slashes."""
        return run_dir.relative_to(self.folder).as_posix()

    def scorings(self, run: PlannedRun, overrides: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the overrides of every evaluation of a run, by the name of its folder inside of the run's.

        Only fine-tunings are scored; tuning runs must not see the section that the study judges.

        Args:
            run: the run.
            overrides: of its training.
        """
        if run.kind != "finetune":
            return {}
        study = self.plan.study
        given = evaluation_overrides(self.plan, run, overrides)
        scorings = {section_folder(study.section): given}
        if study.robustness is not None and run.count in study.robustness.counts:
            for corruption in study.robustness.corruptions:
                for severity in study.robustness.severities:
                    name = section_folder(study.section, corruption, severity)
                    scorings[name] = {**given, "corruption": corruption, "severity": severity}
        return scorings

    def _rate(self, run: PlannedRun) -> float:
        score = self.plan.study.scores[0]
        tried = [self.runs[key] for key in run.tuned_by]
        return choose(tuned_rate(self.folder, tried, score.curve, score.higher_is_better), score.higher_is_better)

    def _place(self, run: PlannedRun) -> Path:
        return self.folder / "runs" / Path(run.bundle).name / run.run_name
