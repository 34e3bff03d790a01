"""What one run of a study left behind in the study folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medvol.passport import read_passport

from ..planning.design import Study
from ..planning.plan import PlannedRun
from ..running.scoring import read_scoring
from .rows import CurvePoint, Scores, read_curves, read_scores
from .settings import other_settings

__all__ = ["Leftover", "read_leftover"]


@dataclass
class Leftover:
    """A planned run and what there is of it.

    Attributes:
        run: the planned run.
        state: ``done``, ``failed``, ``unfinished`` or ``refused`` (it has finished, but its files cannot be used).
        error: why it failed or is refused, one sentence; else empty.
        run_dir: its folder, relative to the study folder.
        hash: identity of the run.
        versions: versions of medvol, its code, torch and MONAI.
        data: hash of the manifest.
        patients: that it was trained on; None where its passport does not say.
        learning_rate: that it was trained with; None for pre-training.
        seconds: that it took.
        scores: of the section that the study scores.
        corrupted: scores on corrupted images, by (corruption, severity).
        curves: its validations, in the order of training.
        scorers: versions of medvol, its code, torch and MONAI that made its scores, by the scores' folder; None where
            the scores do not say it.
        problems: what is wrong without making the run useless, one sentence each.
    """

    run: PlannedRun
    state: str = "unfinished"
    error: str = ""
    run_dir: str = ""
    hash: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    data: str = ""
    patients: int | None = None
    learning_rate: float | None = None
    seconds: float | None = None
    scores: Scores | None = None
    corrupted: dict[tuple[str, int], Scores] = field(default_factory=dict)
    curves: list[CurvePoint] | None = None
    scorers: dict[str, dict[str, str] | None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def refuse(self, reason: str) -> None:
        """Keep none of its numbers, and say why."""
        self.state, self.error = "refused", reason
        self.scores, self.curves, self.corrupted, self.scorers = None, None, {}, {}


def read_leftover(folder: str | os.PathLike[str], run: PlannedRun, study: Study) -> Leftover:
    """Read the state file of a run and, if it has finished, its passport, scores and curves.

    Args:
        folder: the study folder.
        run: the planned run.
        study: its section, and the corruptions it is scored on.

    Returns:
        What there is; nothing is raised, a file that cannot be used makes the run ``refused``.
    """
    folder, left = Path(folder), Leftover(run)
    path = folder / "state" / f"{run.key}.json"
    if not path.is_file():
        return left
    try:
        _take_state(left, json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        left.refuse(f"state/{path.name} cannot be read ({error!r}); remove it and run the study again")
        return left
    if left.state != "done" or left.curves is not None:
        return left
    try:
        _take_files(left, folder, study)
    except (ValueError, OSError) as error:
        left.refuse(str(error))
    return left


def _take_state(left: Leftover, state: dict[str, Any]) -> None:
    left.state = str(state["state"])
    left.error = str(state.get("error") or "").partition("\n")[0].strip()  # below it stands where it happened
    left.run_dir, left.hash = str(state.get("run_dir") or ""), str(state.get("hash") or "")
    left.versions = {str(key): str(value) for key, value in (state.get("versions") or {}).items()}
    left.learning_rate = None if state.get("learning_rate") is None else float(state["learning_rate"])
    left.seconds = None if state.get("seconds") is None else float(state["seconds"])
    if left.state not in ("done", "failed"):
        raise ValueError(f"'state' must be 'done' or 'failed'; found {left.state!r}")
    if state.get("diverged") and left.run.kind == "tune":  # that is an answer: this rate is not chosen
        left.state, left.curves = "done", []
        left.problems.append("its training diverged, so this learning rate is not chosen")


def _take_files(left: Leftover, folder: Path, study: Study) -> None:
    place = folder / left.run_dir
    passport = read_passport(place)
    if passport is None:
        raise ValueError(f"{left.run_dir} must hold the passport of a finished run; found none; run the study again")
    left.data = str((passport.get("data") or {}).get("hash") or "")
    left.patients = _patients(passport)
    if left.hash and passport.get("hash") != left.hash:
        raise ValueError(f"{left.run_dir} holds another run than the one the study made; run the study again")
    others = other_settings(passport, left.run, left.learning_rate, _start_of(folder, left.run))
    if others:
        raise ValueError(f"{left.run_dir} was made with {others}; take another --out for the changed study")
    if left.run.kind == "pretrain":
        return
    try:
        left.curves = read_curves(place / "log.csv", passport.get("metrics"))
    except (ValueError, OSError) as error:
        if left.run.kind == "tune":
            raise
        left.problems.append(f"its curve is left out: {error}")
    if left.run.kind == "finetune":
        left.scores = _scores_of(left, place, study.section, passport)
        _take_corrupted(left, place, study, passport)


def _patients(passport: dict[str, Any]) -> int | None:
    try:
        number = passport["data"]["sections"]["training"]["patients"]
    except (KeyError, TypeError):
        return None
    return number if isinstance(number, int) else None


def _start_of(folder: Path, run: PlannedRun) -> dict[str, Any] | None:
    """The passport of the run that a run starts from; None where it cannot be read, which that run itself says."""
    if run.start is None:
        return None
    try:
        state = json.loads((folder / "state" / f"{run.start}.json").read_text(encoding="utf-8"))
        return read_passport(folder / str(state["run_dir"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _scores_of(left: Leftover, place: Path, name: str, passport: dict[str, Any]) -> Scores:
    scores, scoring = read_scores(place / name / "metrics.csv"), read_scoring(place / name)
    if scoring is not None and scoring.weights != passport.get("weights", scoring.weights):
        raise ValueError(f"{left.run_dir}/{name} holds scores of other weights; run the study again")
    left.scorers[name] = None if scoring is None else dict(scoring.versions)
    return scores


def _take_corrupted(left: Leftover, place: Path, study: Study, passport: dict[str, Any]) -> None:
    from medvol.bundles.inherit import section_folder

    wanted = study.robustness
    if wanted is None or left.run.count not in wanted.counts:
        return
    for corruption in wanted.corruptions:
        for severity in wanted.severities:
            name = section_folder(study.section, corruption, severity)
            try:
                left.corrupted[corruption, severity] = _scores_of(left, place, name, passport)
            except (ValueError, OSError) as error:
                left.problems.append(f"its scores under {corruption}, severity {severity}, are left out: {error}")
