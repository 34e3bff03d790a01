"""The grid of a study, written out: arm x label count x replicate x variant, with what each run needs before it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from medvol.bundles.opening import open_bundle

from .arms import bundle_folder, read_args, read_overrides
from .design import Arm, Replicate, Study
from .entries import refuse
from .plan import PlannedRun

__all__ = ["planned_runs", "with_overrides"]


def with_overrides(study: Study, overrides: Mapping[str, Any]) -> Study:
    """Return a study whose fine-tunings all have these overrides.

    Args:
        study: the study.
        overrides: values for keys of the downstream bundle.

    Raises:
        ValueError: the study decides a key, or an arm or a variant has a value of its own for it.
    """
    if not overrides:
        return study
    given = read_overrides(dict(overrides), "the overrides of the command line")
    own = {f"arms::{name}::overrides": arm.overrides for name, arm in study.arms.items()}
    own |= {f"variants::{name}": values for name, values in study.variants.items()}
    if study.tuning is not None:
        own["tune"] = {"learning_rate": study.tuning.values}
    for place, values in own.items():
        for key in given:
            if key in values:
                found = f"'{key}', which {place} sets"
                refuse(
                    "the overrides of the command line", "keys that no part of the study sets", found, "edit the study"
                )
    merged = {**study.overrides, **given}
    raw = {**study.raw, "downstream": {"bundle": study.bundle, "overrides": merged}}
    return replace(study, overrides=merged, raw=raw)


def planned_runs(study: Study) -> tuple[PlannedRun, ...]:
    """Return the runs of a study; each stands after those that it needs.

    Args:
        study: the study.

    Raises:
        ValueError: a bundle's config has no such key, a budget that is no whole number, two runs of one name, or a
            pair of arms to compare that have other budgets.
    """
    grid = _Grid(study)
    runs = tuple(grid.runs())
    keys = Counter(run.key.lower() for run in runs)
    for key, times in keys.items():
        if times > 1:
            found = f"{times} runs named '{key}'"
            refuse("the names of arms and variants", "such that all runs have names of their own", found, "rename one")
    _check_budgets(study, runs)
    return runs


@dataclass
class _Grid:
    study: Study
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def runs(self) -> Iterator[PlannedRun]:
        """Pre-training and tuning where they are first needed, then replicate by replicate."""
        study, made = self.study, set()
        groups = [self._tunings(), *(self._finetunings(replicate) for replicate in study.replicates)]
        for group in groups:
            wanted = list(group)
            starts = {run.start: (run.arm, run.replicate) for run in reversed(wanted) if run.start is not None}
            for key, (arm, replicate) in reversed(starts.items()):
                if key not in made:
                    made.add(key)
                    yield self._pretraining(study.arms[arm], study.replicates[replicate])
            yield from wanted

    def _tunings(self) -> Iterator[PlannedRun]:
        study = self.study
        if study.tuning is None:
            return
        variant, replicate = next(iter(study.variants)), study.replicates[study.tuning.replicate]
        for arm in study.arms.values():
            if arm.learning_rate is None:
                for value in study.tuning.values:
                    yield self._downstream("tune", variant, arm, study.tuning.count, replicate, value, ())

    def _finetunings(self, replicate: Replicate) -> Iterator[PlannedRun]:
        for variant in self.study.variants:
            for count in self.study.counts:
                for arm in self.study.arms.values():
                    value, tuned_by = self._rate(variant, arm)
                    yield self._downstream("finetune", variant, arm, count, replicate, value, tuned_by)

    def _downstream(
        self, kind: str, variant: str, arm: Arm, count: int | str, replicate: Replicate, value: float | None,
        tuned_by: tuple[str, ...],
    ) -> PlannedRun:  # fmt: skip
        steps, examples = self._budget(variant, arm)
        overrides = {
            **self._settings(variant, arm), "num_patients": count, "subset_seed": replicate.subset,
            "seed": replicate.finetuning, "arm": arm.name,
        }  # fmt: skip
        overrides |= {"steps": steps} if arm.longer != 1 else {}
        overrides |= {"freeze_steps": steps} if arm.frozen else {}
        name = f"{_prefix(variant)}{arm.name}-{count}-seed{replicate.finetuning}"
        key = _tune_key(variant, arm, value) if kind == "tune" and value is not None else f"finetune-{name}"
        return PlannedRun(
            key=key, kind=kind, arm=arm.name, variant=variant, count=count, replicate=replicate.index,
            bundle=self.study.bundle, run_name=name if value is None else f"{name}-lr{value:g}",
            overrides=_plain(overrides), start=self._start(arm, replicate), weights=arm.weights, tuned_by=tuned_by,
            learning_rate=value, steps=steps, examples=examples, budget=self._tag(variant, steps, examples),
        )  # fmt: skip

    def _pretraining(self, arm: Arm, replicate: Replicate) -> PlannedRun:
        given = arm.pretraining
        folder = bundle_folder(given.bundle, f"arms::{arm.name}::pretrain::bundle")
        overrides = {**read_args(folder, given.args, f"arms::{arm.name}::pretrain::args"), **given.overrides}
        overrides["seed"] = replicate.pretraining
        config = self._config(given.bundle, overrides, f"arms::{arm.name}::pretrain")
        name = f"{self._first(arm).name}-seed{replicate.pretraining}"
        if "arm" in config:
            overrides["arm"] = self._first(arm).name
        steps, examples = _cost(config, f"arms::{arm.name}::pretrain")
        return PlannedRun(
            key=f"pretrain-{name}", kind="pretrain", arm=self._first(arm).name, variant="", count=None,
            replicate=replicate.index, bundle=given.bundle, run_name=name, overrides=_plain(overrides), start=None,
            weights=None, tuned_by=(), learning_rate=None, steps=steps, examples=examples, budget="",
        )  # fmt: skip

    def _settings(self, variant: str, arm: Arm) -> dict[str, Any]:
        return {**self.study.overrides, **self.study.variants[variant], **arm.overrides}

    def _config(self, bundle: str, overrides: Mapping[str, Any], place: str) -> dict[str, Any]:
        name = json.dumps([bundle, overrides], sort_keys=True)
        if name not in self.configs:
            try:
                self.configs[name] = open_bundle(bundle_folder(bundle, place), overrides=overrides).config
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
        return self.configs[name]

    def _downstream_config(self, variant: str, arm: Arm) -> dict[str, Any]:
        return self._config(self.study.bundle, self._settings(variant, arm), f"arms::{arm.name}")

    def _budget(self, variant: str, arm: Arm) -> tuple[int, int]:
        config = self._downstream_config(variant, arm)
        if arm.frozen and "freeze_steps" not in config:
            found = f"none in {self.study.bundle}"
            refuse(f"arms::{arm.name}::frozen", "of a bundle with the key 'freeze_steps'", found, "leave it out")
        steps, examples = _cost(config, f"arms::{arm.name}")
        longer = max(1, round(steps * arm.longer))
        return longer, longer * (examples // steps)

    def _tag(self, variant: str, steps: int, examples: int) -> str:
        usual_steps, usual_examples = self._budget(variant, self.study.arms[self.study.reference])
        if (steps, examples) == (usual_steps, usual_examples):
            return ""
        same_batch = examples * usual_steps == usual_examples * steps
        return f"{steps} steps" if same_batch else f"{steps} steps, {examples} examples"

    def _rate(self, variant: str, arm: Arm) -> tuple[float | None, tuple[str, ...]]:
        """Return the learning rate, or the runs that decide it."""
        study = self.study
        arm = study.arms[arm.learning_rate] if isinstance(arm.learning_rate, str) else arm
        if arm.learning_rate is not None:
            return float(arm.learning_rate), ()
        if study.tuning is not None:
            first = next(iter(study.variants))
            return None, tuple(_tune_key(first, arm, value) for value in study.tuning.values)
        value = self._downstream_config(variant, arm).get("learning_rate")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            place, remedy = f"the learning_rate of {study.bundle}", "give the arms one, or tune it"
            refuse(place, "a number", repr(value), remedy)
        return float(value), ()

    def _first(self, arm: Arm) -> Arm:
        return next(other for other in self.study.arms.values() if other.pretraining == arm.pretraining)

    def _start(self, arm: Arm, replicate: Replicate) -> str | None:
        if arm.pretraining is None:
            return None
        return f"pretrain-{self._first(arm).name}-seed{replicate.pretraining}"


def _check_budgets(study: Study, runs: tuple[PlannedRun, ...]) -> None:
    budgets = {(run.variant, run.arm): run.budget or "the usual one" for run in runs if run.kind == "finetune"}
    for (variant, name), own in budgets.items():
        other = study.arms[name].against
        if other is not None and budgets[variant, other] != own:
            found = f"'{other}' with {budgets[variant, other]}, where {name} has {own}"
            refuse(
                f"arms::{name}::against", "an arm with the same budget", found, "give both the same, or leave it out"
            )


def _cost(config: Mapping[str, Any], place: str) -> tuple[int, int]:
    """Return optimizer steps and examples of a training config."""
    counts = {"steps": config.get("steps"), "batch_size": config.get("batch_size", 1)}
    counts["accumulation_steps"] = config.get("accumulation_steps", 1)
    for key, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            refuse(f"{place}: '{key}'", "a whole number of at least 1", repr(value), "correct the overrides")
    return counts["steps"], counts["steps"] * counts["batch_size"] * counts["accumulation_steps"]


def _tune_key(variant: str, arm: Arm, value: float) -> str:
    return f"tune-{_prefix(variant)}{arm.name}-lr{value:g}"


def _prefix(variant: str) -> str:
    return f"{variant}-" if variant else ""


def _plain(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides as they come back from a file."""
    return json.loads(json.dumps(overrides))
