"""Choose the learning rate of an arm by the validation of its tuning runs."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from medvol.passport import read_passport

from ..planning.plan import PlannedRun

__all__ = ["choose", "tuned_rate"]


def tuned_rate(
    folder: str | os.PathLike[str], runs: Sequence[PlannedRun], curve: str, higher_is_better: bool
) -> dict[float, float]:
    """Return what every learning rate reached at the end of its tuning run, the best rate first.

    Args:
        folder: the study's folder.
        runs: tuning runs of one arm, whose ``learning_rate`` are the rates that were tried.
        curve: name of the score in ``log.csv``, such as ``val_mean_dice``; its last value counts.
        higher_is_better: False for distances and errors.

    Returns:
        The score by learning rate. NaN for a run that diverged, did not finish or was not scored; such rates stand
        last. Of equal scores the smaller rate stands first.

    Raises:
        ValueError: a run has no learning rate of its own, or its log is damaged.

    Example:
        >>> tuned_rate("study", [], "val_mean_dice", True)
        {}
    """
    found = {}
    for run in runs:
        if run.learning_rate is None:
            raise ValueError(f"a tuning run must state its learning rate; found none in '{run.key}'; plan it with one")
        found[float(run.learning_rate)] = _last(_folder_of(folder, run), curve)
    sign = -1 if higher_is_better else 1
    order = sorted(found, key=lambda rate: (math.isnan(found[rate]), sign * _number(found[rate]), rate))
    return {rate: found[rate] for rate in order}


def choose(values: Mapping[float, float], higher_is_better: bool = True) -> float:
    """Return the learning rate with the best score; of equal ones the smaller, and never one without a score.

    Args:
        values: score by learning rate, as :func:`tuned_rate` returns it.
        higher_is_better: False for distances and errors.

    Raises:
        ValueError: no rate has a score.

    Example:
        >>> choose({0.002: 0.86, 0.0007: 0.86, 0.006: float("nan")})
        0.0007
    """
    scored = {rate: value for rate, value in values.items() if not math.isnan(value)}
    if not scored:
        tried = ", ".join(f"{rate:g}" for rate in values) or "none"
        raise ValueError(
            f"at least one learning rate must reach a score on validation; found none among those tried ({tried}); "
            "try smaller ones under 'tune' of the study"
        )
    return min(scored, key=lambda rate: (-scored[rate] if higher_is_better else scored[rate], rate))


def _folder_of(folder: str | os.PathLike[str], run: PlannedRun) -> Path:
    return Path(folder) / "runs" / Path(run.bundle).name / run.run_name


def _last(run_dir: Path, curve: str) -> float:
    """The last value of a curve; NaN for a run without an end, whose curve stops anywhere."""
    log = run_dir / "log.csv"
    if not log.is_file() or not (run_dir / "passport.json").is_file():
        return math.nan
    value = math.nan
    with log.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row.get("name") != curve:
                continue
            try:
                value = float(row["value"])
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{log} must hold numbers under 'value'; found {row.get('value')!r}; remove the run's folder to "
                    "train it again"
                ) from error
    end = ((read_passport(run_dir) or {}).get("metrics") or {}).get(curve)
    if end is not None and end != value:
        raise ValueError(
            f"{log} must end as its passport says, with {curve} {end}; found {value}; remove the run's folder to train "
            "it again"
        )
    return value if math.isfinite(value) else math.nan


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value
