"""The tables of a study: everything that its runs left behind, with every gap named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..planning.design import Study
from ..planning.plan import Plan, read_plan
from .agreement import check_cases, check_corrupted, check_finite, told
from .cubes import Cells, Cube, check_score, corrupted_cube, cube
from .frames import curves_frame, runs_frame, scores_frame, tuning_frame
from .leftovers import Leftover, read_leftover

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Collected", "Cube", "collect", "corrupted_cube", "cube"]


@dataclass(frozen=True, eq=False)
class Collected:
    """What a study has so far.

    Attributes:
        study: the study.
        plan: its runs.
        runs: a row per planned run, ``key, kind, arm, variant, count, replicate, state, run_dir, hash, code, data,
            steps, examples, budget, learning_rate, seconds, error``; ``state`` is ``done``, ``failed``, ``unfinished``
            or ``refused`` (finished, but its files cannot be used); ``count`` is text, empty for pre-training.
        scores: ``variant, arm, count, replicate, patient, case, region, metric, value`` of finished fine-tunings; the
            region ``mean`` is the mean over the regions of a case.
        curves: ``variant, arm, count, replicate, step, examples, name, value``, the validations of their trainings.
        corrupted: like ``scores``, with ``corruption`` and ``severity``.
        tuning: ``arm, learning_rate, value, chosen``: last validation score of every learning rate tried.
        problems: what a reader must know: failed, refused and unfinished runs, and runs that do not agree.
        labelled: how many patients the label count ``all`` stands for; None if no run with it says so, or two differ.
    """

    study: Study
    plan: Plan
    runs: pd.DataFrame
    scores: pd.DataFrame
    curves: pd.DataFrame
    corrupted: pd.DataFrame
    tuning: pd.DataFrame
    problems: list[str] = field(default_factory=list)
    labelled: int | None = None

    @cached_property
    def clean_cells(self) -> Cells:
        """``scores`` by (variant, arm, count, region, metric)."""
        return Cells.of(self.scores)

    @cached_property
    def corrupted_cells(self) -> Cells:
        """``corrupted`` by (variant, arm, count, region, metric, corruption, severity)."""
        return Cells.of(self.corrupted, "corruption", "severity")


def collect(folder: str | os.PathLike[str]) -> Collected:
    """Read a study folder, finished or not, into tables.

    Nothing is left out silently: ``problems`` names every run that failed, is unfinished or was refused (its scores
    are cut in half, or are of other cases than those of the other runs), arms with other patients, replicates that
    are missing, and data sets, versions or learning rates that differ. A patient without a finite value in one run is
    left out of all runs of the variant for that score, so that all arms stand on the same patients.

    Args:
        folder: the study folder, as ``study run`` wrote it.

    Returns:
        The tables, sorted, so that equal folders give equal tables.

    Raises:
        FileNotFoundError: the folder holds no study.
        ValueError: the study file or the plan is damaged, or no run has a score that the study judges.

    Example:
        >>> collect("nowhere")
        Traceback (most recent call last):
        ...
        FileNotFoundError: a study folder must hold study.json and plan.json; found no study.json in nowhere; give the \
folder of a study that has been started (--out), or start it by: python -m medvol study run
    """
    folder = Path(folder)
    for name in ("study.json", "plan.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"a study folder must hold study.json and plan.json; found no {name} in {folder}; give the folder of "
                "a study that has been started (--out), or start it by: python -m medvol study run"
            )
    plan = read_plan(folder)
    leftovers = [read_leftover(folder, run, plan.study) for run in plan.runs]
    check_finite(leftovers, plan.study)
    problems = check_cases(leftovers, plan.study)
    check_corrupted(leftovers)
    problems = [*told(leftovers, plan.study), *problems]
    done = [left for left in leftovers if left.state == "done" and left.run.kind == "finetune"]
    scores = scores_frame([(left, (), left.scores) for left in done if left.scores is not None], [], problems)
    for score in plan.study.scores:
        check_score(scores, score)
    corrupted = [(left, what, frame) for left in done for what, frame in left.corrupted.items()]
    return Collected(
        plan.study, plan, runs_frame(leftovers), scores, curves_frame(done),
        scores_frame(corrupted, ["corruption", "severity"], problems), tuning_frame(leftovers, plan.study), problems,
        _labelled(leftovers),
    )  # fmt: skip


def _labelled(leftovers: Sequence[Leftover]) -> int | None:
    found = {left.patients for left in leftovers if left.run.count == "all" and left.patients}
    return found.pop() if len(found) == 1 else None
