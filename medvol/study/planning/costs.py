"""What a study will cost on this machine: hours, memory and disk, from a few steps of each kind of run."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from medvol.bundles.checks.estimate import duration
from medvol.distributed import cores

from ..formatting import plural
from .arms import bundle_folder
from .entries import refuse
from .opened import evaluation_overrides, open_run, run_overrides
from .plan import Plan, PlannedRun
from .standin import write_stand_in
from .trial import Trial, as_in_a_run, try_bundle

__all__ = ["GroupCost", "PlanCost", "estimate_plan"]

_NO_COST = ("num_patients", "subset_seed", "seed", "arm", "steps", "freeze_steps", "warmup_steps", "learning_rate")
"""Overrides that leave the cost of a step as it is."""


@dataclass(frozen=True)
class GroupCost:
    """What runs of one kind cost.

    Attributes:
        kind: ``pretrain`` or ``finetune``, tuning included.
        bundle: the bundle.
        arms: the arms.
        variants: the variants, ``""`` for none.
        runs: how many of them.
        seconds: of all of them, one after another, scoring included.
        scoring_seconds: the part of it for the scoring of the study's section and its corrupted copies.
        preparing_seconds: the part of it for filling the cache.
        memory_bytes: largest resident set of one of them; None where the system does not tell.
        gpu_memory_bytes: most memory taken from the GPU; None without one.
        disk_bytes: of all runs' folders.
        cache_bytes: written into the cache.
    """

    kind: str
    bundle: str
    arms: tuple[str, ...]
    variants: tuple[str, ...]
    runs: int
    seconds: float
    scoring_seconds: float
    preparing_seconds: float
    memory_bytes: int | None
    gpu_memory_bytes: int | None
    disk_bytes: int
    cache_bytes: int


@dataclass(frozen=True)
class PlanCost:
    """What a study will cost.

    Attributes:
        groups: runs that cost the same per step.
        jobs: processes that work at the same time and share the cores.
    """

    groups: tuple[GroupCost, ...]
    jobs: int = 1

    @property
    def seconds(self) -> float:
        """From beginning to end, with all processes at work."""
        return sum(group.seconds for group in self.groups) / self.jobs

    @property
    def memory_bytes(self) -> int | None:
        """Of all processes together, at most."""
        known = [group.memory_bytes for group in self.groups if group.memory_bytes is not None]
        return self.jobs * max(known) if known else None

    @property
    def gpu_memory_bytes(self) -> int | None:
        """Of the GPU, at most."""
        known = [group.gpu_memory_bytes for group in self.groups if group.gpu_memory_bytes is not None]
        return self.jobs * max(known) if known else None

    @property
    def disk_bytes(self) -> int:
        """Of the study's folder."""
        return sum(group.disk_bytes for group in self.groups)

    @property
    def cache_bytes(self) -> int:
        """Written into the cache."""
        return sum(group.cache_bytes for group in self.groups)

    def as_dict(self) -> dict[str, Any]:
        """Return the totals and the groups, for JSON."""
        totals = ("seconds", "memory_bytes", "gpu_memory_bytes", "disk_bytes", "cache_bytes", "jobs")
        return {**{key: getattr(self, key) for key in totals}, "groups": [asdict(group) for group in self.groups]}

    def sentences(self) -> dict[str, str]:
        """Return the totals as sentences, by topic.

        Example:
            >>> group = GroupCost("pretrain", "cpc3d", ("cpc3d",), ("",), 3, 90.0, 0.0, 0.0, 10**9, None, 6 * 10**6, 0)
            >>> PlanCost((group,)).sentences()["time"]
            'about 1 min 30 s: 1 min 30 s of pre-training (cpc3d, 3 runs)'
        """
        parts = []
        for group in self.groups:
            what = "pre-training" if group.kind == "pretrain" else "fine-tuning"
            scoring = f", {duration(group.scoring_seconds)} of it scoring" if group.scoring_seconds else ""
            variants = [f"variant {name}" for name in group.variants if name]
            named = ", ".join((*variants, *group.arms, f"{plural(group.runs, 'run')}{scoring}"))
            parts.append(f"{duration(group.seconds)} of {what} ({named})")
        time = f"about {duration(self.seconds)}: {'; '.join(parts)}"
        if self.jobs > 1:
            time += f"; by {self.jobs} processes that share the cores, {plural(threads_of(self.jobs), 'thread')} each"
        memory = "unknown" if self.memory_bytes is None else f"{self.memory_bytes / 1e6:.0f} MB"
        if self.gpu_memory_bytes is not None:
            memory += f", and {self.gpu_memory_bytes / 1e6:.0f} MB of the GPU"
        disk = f"{self.disk_bytes / 1e6:.0f} MB in the study's folder, {self.cache_bytes / 1e6:.0f} MB in the cache"
        return {"time": time, "memory": memory, "disk": disk}


def estimate_plan(plan: Plan, steps: int = 5, jobs: int = 1) -> PlanCost:
    """Try a few steps of each kind of run, and work out what the study will cost on this machine.

    Runs that differ in seeds, label count, learning rate, start and number of steps alone cost the same per step. Of
    each kind some steps and the shortest run are tried; what they put into the data cache stays there. Nothing else is
    left behind.

    Args:
        plan: the plan.
        steps: optimizer steps to try for each kind.
        jobs: processes that will work at the same time; the trial uses as many threads as one of them will have.

    Raises:
        ValueError: fewer than one step or process, or a trial fails; the message says what fails.

    Example:
        >>> estimate_plan(Plan(None, ())).seconds
        0.0
    """
    for name, value in {"estimate_steps": steps, "jobs": jobs}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            refuse(name, "a whole number of at least 1", repr(value), f"give another one by --{name}")
    groups: dict[str, list[PlannedRun]] = {}
    for run in plan.runs:
        groups.setdefault(_kind_of(run), []).append(run)
    with as_in_a_run(threads_of(jobs)):
        return PlanCost(tuple(_group_cost(plan, runs, steps) for runs in groups.values()), jobs)


def threads_of(jobs: int) -> int:
    """Return the threads of one of several processes that share the cores.

    Example:
        >>> threads_of(10**6)
        1
    """
    return max(1, cores() // jobs) if jobs > 1 else torch.get_num_threads()


def _kind_of(run: PlannedRun) -> str:
    kept = {key: value for key, value in run.overrides.items() if key not in _NO_COST}
    kind = "pretrain" if run.kind == "pretrain" else "finetune"
    return json.dumps([kind, run.bundle, _is_frozen(run), kept], sort_keys=True)


def _is_frozen(run: PlannedRun) -> bool:
    return run.overrides.get("freeze_steps") == run.steps


def _group_cost(plan: Plan, runs: list[PlannedRun], steps: int) -> GroupCost:
    # Of the runs with the largest number of patients: they read the most.
    tried = max(runs, key=lambda run: (run.kind != "tune", run.count == "all", run.count if run.count != "all" else 0))
    every = open_run(plan, tried).config.get("eval_every_examples")
    try:
        trial, scorings = _try(plan, tried, steps)
    except ValueError as error:
        raise ValueError(f"the trial of a run of arm '{tried.arm}', bundle {tried.bundle}: {error}") from error
    trained, finetuned = _trained(runs), [run for run in runs if run.kind == "finetune"]
    preparing, tested = trial.estimate.seconds_preparing, [trial, *scorings.values()]
    training = sum(trial.seconds(run.steps, run.examples, every) for run in trained)
    scored = [scorings[name] for run in finetuned for name in scorings if name == "" or _is_corrupted(plan, run)]
    scoring = sum(one.scoring_seconds for one in scored)
    return GroupCost(
        kind="pretrain" if tried.kind == "pretrain" else "finetune",
        bundle=Path(tried.bundle).name,
        arms=tuple(dict.fromkeys(run.arm for run in runs)),
        variants=tuple(dict.fromkeys(run.variant for run in runs)),
        runs=len(runs),
        seconds=training + scoring + preparing,
        scoring_seconds=scoring,
        preparing_seconds=preparing,
        memory_bytes=_largest([one.estimate.memory_bytes for one in tested]),
        gpu_memory_bytes=_largest([one.estimate.gpu_memory_bytes for one in tested]),
        disk_bytes=len(trained) * trial.run_bytes + sum(one.run_bytes for one in scored),
        cache_bytes=trial.estimate.cache_bytes,
    )


def _try(plan: Plan, run: PlannedRun, steps: int) -> tuple[Trial, dict[str, Trial]]:
    """Try a run, and its scorings by name."""
    with tempfile.TemporaryDirectory(prefix="medvol-study-") as folder:
        start = {}
        if _is_frozen(run):  # otherwise the start changes the first steps alone
            (Path(folder) / "start").mkdir()
            start = {"pretrained": str(write_stand_in(open_run(plan, run), Path(folder) / "start"))}
        bundle = bundle_folder(run.bundle, "a run's bundle")
        trial = try_bundle(bundle, "train.json", run_overrides(plan, run, **start), steps)
        return trial, {} if run.kind == "pretrain" else _try_scorings(plan, run, Path(folder), steps)


def _try_scorings(plan: Plan, run: PlannedRun, folder: Path, steps: int) -> dict[str, Trial]:
    """Try the scoring of the section as it is, and of a copy with each corruption at its most severe."""
    training = open_run(plan, run)
    (folder / "weights").mkdir()
    weights = str(write_stand_in(training, folder / "weights", like_trained=True))
    given = evaluation_overrides(plan, run, run_overrides(plan, run), weights=weights)
    clean = try_bundle(training.folder, "evaluate.json", given, steps)
    scorings = {"": clean}
    robustness = plan.study.robustness
    for corruption in () if robustness is None else robustness.corruptions:
        more = {**given, "corruption": corruption, "severity": max(robustness.severities)}
        worst = try_bundle(training.folder, "evaluate.json", more, steps, like=clean)
        scorings |= {f"{corruption}-{severity}": worst for severity in robustness.severities}
    return scorings


def _trained(runs: list[PlannedRun]) -> list[PlannedRun]:
    """Leave out the fine-tunings whose training the tuning has done: one for each arm that was tuned."""
    done = {_cell(run) for run in runs if run.kind == "tune"}
    return [run for run in runs if not (run.kind == "finetune" and run.tuned_by and _cell(run) in done)]


def _cell(run: PlannedRun) -> tuple[str, str, int | str | None, int]:
    return run.arm, run.variant, run.count, run.replicate


def _is_corrupted(plan: Plan, run: PlannedRun) -> bool:
    return plan.study.robustness is not None and run.count in plan.study.robustness.counts


def _largest(values: list[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
