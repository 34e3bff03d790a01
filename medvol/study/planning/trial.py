"""Try a little of a run: what a step and a case take, and what comes on top of them in every run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from medvol.bundles.checks.estimate import Estimate, TrialError, estimate, num_validations
from medvol.bundles.checks.trying import on_the_side, side_parser
from medvol.bundles.inherit import fill_inherited
from medvol.bundles.opening import OpenBundle, open_bundle
from medvol.bundles.running import run

__all__ = ["Trial", "as_in_a_run", "try_bundle"]

_STEPS = 2  # of the whole run that is tried, start and end included
_CASES = 3  # cases that it validates on or scores: enough for a best, a median and a worst one
_SHORT = {"steps": _STEPS, "steps_per_epoch": _STEPS, "eval_every_examples": None, "warmup_steps": 0, "freeze_steps": 0}


@dataclass(frozen=True)
class Trial:
    """What a training or an evaluation was found to cost.

    Attributes:
        estimate: from a few steps or cases, without start and end of a run.
        extra_seconds: what start and end take: the guard's checks, checkpoints, tables and pictures.
        run_bytes: written by a run.
    """

    estimate: Estimate
    extra_seconds: float
    run_bytes: int

    def seconds(self, steps: int, examples: int, every: int | None) -> float:
        """Return the seconds of a training of another length, without the filling of the cache.

        Args:
            steps: optimizer steps.
            examples: training examples.
            every: examples between two validations.
        """
        cost = self.estimate
        times = num_validations(examples, every) if cost.validations else 0
        return self.fixed_seconds + steps * cost.seconds_per_step + times * cost.seconds_per_validation

    @property
    def fixed_seconds(self) -> float:
        """What does not grow with steps, validations or cases."""
        cost = self.estimate
        growing = cost.steps * cost.seconds_per_step + cost.validations * cost.seconds_per_validation
        return max(0.0, cost.seconds - growing - cost.seconds_preparing) + self.extra_seconds

    @property
    def scoring_seconds(self) -> float:
        """Of an evaluation: the seconds of all its cases, from start to end."""
        return self.fixed_seconds + self.estimate.steps * self.estimate.seconds_per_step


@contextlib.contextmanager
def as_in_a_run(threads: int) -> Iterator[None]:
    """Compute with some threads for a while; what the runs that are tried set for the whole process is set back.

    Args:
        threads: of the processor.

    Example:
        >>> with as_in_a_run(1):
        ...     torch.get_num_threads()
        1
    """
    before, cudnn = torch.get_num_threads(), torch.backends.cudnn
    chosen = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(chosen[0])
        cudnn.deterministic, cudnn.benchmark = chosen[1:]


def try_bundle(
    bundle: Path, config: str, overrides: Mapping[str, Any], steps: int = 5, like: Trial | None = None
) -> Trial:
    """Try some steps or cases of a bundle, then the shortest run that there is, which shows what every run takes more.

    References are scored in the place of predictions: those of an untrained network fall into thousands of pieces,
    whose distances take longer than those of any trained one.

    Args:
        bundle: the bundle's folder.
        config: ``train.json`` or ``evaluate.json``.
        overrides: of the run.
        steps: optimizer steps to try.
        like: a trial of the same evaluation on other images, whose start and end are taken over.

    Raises:
        ValueError: something fails; the message says what.
    """
    given = dict(overrides)
    opened = _opened(bundle, config, given)
    place = "validate" if isinstance(opened.config.get("train"), dict) else ""
    given |= _references(opened, place)
    try:
        cost = _estimate(bundle, config, given, steps)
    except TrialError:  # no label map is predicted here
        given = dict(overrides)
        cost = _estimate(bundle, config, given, steps)
    if like is not None:
        return Trial(cost, like.extra_seconds, like.run_bytes)
    seconds, written, cases = _whole(bundle, config, given, place)
    shortest = Trial(cost, 0.0, 0)
    if place:
        share = 1.0 if cases is None else cases[0] / max(1, cases[1])
        known = shortest.fixed_seconds + _STEPS * cost.seconds_per_step
        known += share * cost.seconds_per_validation if cost.validations else 0.0
    else:
        known = shortest.fixed_seconds + (cost.steps if cases is None else cases[0]) * cost.seconds_per_step
    return Trial(cost, max(0.0, seconds - known), max(written, cost.run_bytes))


def _opened(bundle: Path, config: str, overrides: Mapping[str, Any]) -> OpenBundle:
    opened = open_bundle(bundle, config, overrides)
    fill_inherited(opened.parser, opened.original)
    return opened


def _estimate(bundle: Path, config: str, overrides: Mapping[str, Any], steps: int) -> Estimate:
    return estimate(_opened(bundle, config, overrides), steps)


def _references(opened: OpenBundle, place: str) -> dict[str, Any]:
    """The overrides that put the reference in the place of the prediction, just before it is scored."""
    node = opened.config.get(place, {}) if place else opened.config
    chain = node.get("postprocessing")
    if not isinstance(chain, dict) or not isinstance(chain.get("transforms"), list):
        return {}
    swap = [
        {"_target_": "monai.transforms.DeleteItemsd", "keys": ["pred"]},
        {"_target_": "monai.transforms.CopyItemsd", "keys": ["label"], "names": ["pred"]},
    ]
    return {_key(place, "postprocessing::transforms"): [*chain["transforms"], *swap]}


def _whole(
    bundle: Path, config: str, overrides: dict[str, Any], place: str
) -> tuple[float, int, tuple[int, int] | None]:
    """Run the shortest run in a folder that goes away: its seconds, its bytes, and its cases of all (None: all)."""
    opened = _opened(bundle, config, overrides)
    less, cases = _fewer(opened, place)
    short = {key: value for key, value in _SHORT.items() if key in opened.original} if place else {}
    with tempfile.TemporaryDirectory(prefix="medvol-study-") as folder:
        where = {"output_dir": folder, "run_name": "trial"} if place else {"results_dir": folder}
        begin = perf_counter()
        try:
            with on_the_side():
                run(bundle, config, **{**overrides, **less, **short, **where})
        except SystemExit as refused:
            raise ValueError(str(refused)) from refused
        seconds = perf_counter() - begin
        written = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return seconds, written, cases


def _fewer(opened: OpenBundle, place: str) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """The override that leaves few cases to score, and how many these are of how many."""
    node = opened.config.get(place, {}) if place else opened.config
    data = node.get("dataset", {}).get("data") if isinstance(node.get("dataset"), dict) else None
    if "evaluator" not in node or not isinstance(data, str) or not data.startswith("$"):
        return {}, None
    with on_the_side():
        held = len(side_parser(opened.config).get_parsed_content(_key(place, "dataset::data")))
    return {_key(place, "dataset::data"): f"$({data[1:]})[:{_CASES}]"}, (min(held, _CASES), held)


def _key(place: str, name: str) -> str:
    return f"{place}::{name}" if place else name
