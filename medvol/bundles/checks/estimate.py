"""What a run will cost, from a few steps of it: seconds, memory and disk."""

from __future__ import annotations

import contextlib
import math
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from monai.bundle import ConfigParser

from ..freeing import freeing
from ..inherit import fill_inherited
from ..opening import OpenBundle
from ..refusal import Problem, innermost
from .trying import on_the_side, side_parser
from .warmup import (
    Preparation,
    case_seconds,
    forget_peak,
    peak_memory,
    prepare,
    step_seconds,
    tensor_bytes,
    validation_seconds,
)

__all__ = ["Estimate", "TrialError", "estimate"]

_MLFLOW_BYTES = 2**20  # an empty data base of MLflow
_LEAST_STEPS = 5  # of these three count; from one alone a busy machine was once taken for six times as slow
_NO_MEMORY = re.compile(r"out of memory|can(?:'t|not) allocate memory", re.IGNORECASE)
_ELSEWHERE = {"output_dir": ".", "run_dir": "run", "results_dir": "results"}  # in a folder that goes away


class TrialError(ValueError):
    """A part of a run could not be built, or a step of it failed.

    Args:
        problem: what is wrong.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"expected {problem.expected}; found {problem.found}; {problem.remedy}")


@dataclass(frozen=True)
class Estimate:
    """The cost of a run on this machine.

    Attributes:
        steps_tried: optimizer steps, or cases, that were tried.
        seconds_per_step: of one optimizer step; of one case, for an evaluation or an inference.
        steps: how many the run makes.
        seconds_preparing: to fill the cache, on top of the steps.
        uncached: cases that are not in the cache yet.
        seconds_per_validation: of one validation, 0 if there is none.
        validations: how many the run makes.
        seconds: of the whole run.
        memory_bytes: largest resident set of the process and its workers; None where the system does not tell.
        gpu_memory_bytes: most memory taken from the GPU; None without one.
        run_bytes: written into the run's folder.
        cache_bytes: written into the cache.
    """

    steps_tried: int
    seconds_per_step: float
    steps: int
    seconds_preparing: float
    uncached: int
    seconds_per_validation: float
    validations: int
    seconds: float
    memory_bytes: int | None
    gpu_memory_bytes: int | None
    run_bytes: int
    cache_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name, for JSON."""
        return asdict(self)


def estimate(opened: OpenBundle, steps: int = 5) -> Estimate:
    """Try some steps of a run, without its handlers and without a trace in the bundle, and work out what all will cost.

    What the steps put into the data cache stays there for the run. Handlers and MLflow are left out; they take about a
    second per run.

    Args:
        opened: a bundle's config, of :func:`medvol.bundles.opening.open_bundle`.
        steps: optimizer steps to try; the first two are not counted, and fewer than five are taken for five.

    Raises:
        TrialError: something could not be built, or a step failed; its ``problem`` has the three parts.
        ValueError: less than one step.
    """
    if steps < 1:
        raise ValueError(f"an estimate needs at least one step; found {steps}; give more by --estimate_steps")
    with tempfile.TemporaryDirectory(prefix="medvol-check-") as folder, on_the_side(), _as_in_a_run():
        forget_peak()
        return _try(opened, steps, Path(folder))


def num_validations(examples: int, every: int | None) -> int:
    """Return how often a training validates: whenever it has seen ``every`` more examples, and at its end.

    Example:
        >>> num_validations(600, 200), num_validations(600, 250), num_validations(600, None)
        (3, 3, 1)
    """
    return 1 if every is None else math.ceil(examples / every)


def duration(seconds: float) -> str:
    """Return seconds as a person says them.

    Example:
        >>> duration(0.034), duration(9.4), duration(100), duration(5000)
        ('0.034 s', '9.4 s', '1 min 40 s', '1 h 23 min')
    """
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _try(opened: OpenBundle, steps: int, folder: Path) -> Estimate:
    # A function of its own: the parser, and with it the workers of its loaders, end with it.
    places = {key: str(folder / place) for key, place in _ELSEWHERE.items() if key in opened.config}
    parser = side_parser(opened.config, **places)
    fill_inherited(parser, opened.original)  # as the guard does: an evaluation pre-processes as the training did
    is_training = isinstance(opened.config.get("train"), dict)
    return _training(parser, steps) if is_training else _evaluation(parser, folder)


def _training(parser: ConfigParser, steps: int) -> Estimate:
    begin = perf_counter()
    trainer, validator, every, product = _build_training(parser)
    building = perf_counter() - begin
    steps = max(steps, _LEAST_STEPS)
    budget, batch = trainer.steps, parser.config.get("batch_size") or 1
    per_step = batch * trainer.grouping.accumulation_steps  # examples of one step, over all processes
    with _failing("samples that can be prepared for training"):
        batches = trainer.grouping.accumulation_steps * steps + 2 * trainer.data_loader.num_workers
        training = prepare(trainer.data_loader, batches)
    with _failing("a training step that runs"):
        first, typical = step_seconds(trainer, min(steps, budget))
    memory = peak_memory()
    held, validation = Preparation(), 0.0
    if validator is not None:
        with _failing("a validation that runs"):
            held = prepare(validator.loader, 2) if hasattr(validator, "loader") else held
            validation = validation_seconds(validator, trainer)
    times = num_validations(budget * per_step, every) if validator is not None else 0
    preparing = _preparing(training, budget, per_step, typical, trainer.data_loader.num_workers)
    preparing += held.uncached * held.seconds
    last = tensor_bytes([trainer.unwrapped.state_dict(), trainer.optimizer.state_dict()["state"]])
    mlflow = _MLFLOW_BYTES if parser.config.get("mlflow") else 0
    return Estimate(
        steps_tried=min(steps, budget),
        seconds_per_step=typical,
        steps=budget,
        seconds_preparing=preparing,
        uncached=training.uncached + held.uncached,
        seconds_per_validation=validation,
        validations=times,
        seconds=building + max(0.0, first - typical) + budget * typical + preparing + times * validation,
        memory_bytes=_largest(memory, peak_memory()),
        gpu_memory_bytes=torch.cuda.max_memory_allocated() if trainer.state.device.type == "cuda" else None,
        run_bytes=last + tensor_bytes(product.state_dict() if product is not None else {}) + mlflow,
        cache_bytes=training.uncached * training.bytes + held.uncached * held.bytes,
    )


def _build_training(parser: ConfigParser) -> tuple[Any, Any, int | None, Any]:
    """Return the trainer without its handlers, and what the suite among them would have got."""
    handlers = parser.config["train"].get("handlers")
    nodes = [node for node in handlers if isinstance(node, dict)] if isinstance(handlers, list) else []
    suite = next((node for node in nodes if "eval_every_examples" in node or "product" in node), {})
    parser.config["train"]["handlers"] = []
    parser.config["of_the_suite"] = {key: suite.get(key) for key in ("validator", "eval_every_examples", "product")}
    with _failing("settings that the training can be built from"):
        trainer = parser.get_parsed_content("train::trainer")
        parts = parser.get_parsed_content("of_the_suite")
    return trainer, parts["validator"], parts["eval_every_examples"], parts["product"]


def _evaluation(parser: ConfigParser, folder: Path) -> Estimate:
    begin = perf_counter()
    with _failing("settings that the evaluator can be built from"):
        evaluator = parser.get_parsed_content("evaluator")
    building = perf_counter() - begin
    with _failing("a case that can be read, passed through the network and written"):
        first, typical, cases = case_seconds(evaluator)
    tried = max(1, min(3, cases))
    written = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    on_gpu = evaluator.state.device.type == "cuda"
    return Estimate(
        steps_tried=tried,
        seconds_per_step=typical,
        steps=cases,
        seconds_preparing=0.0,
        uncached=0,
        seconds_per_validation=0.0,
        validations=0,
        seconds=building + max(0.0, first - typical) + cases * typical,
        memory_bytes=peak_memory(),
        gpu_memory_bytes=torch.cuda.max_memory_allocated() if on_gpu else None,
        run_bytes=round(written * cases / tried),
        cache_bytes=0,
    )


def _preparing(data: Preparation, steps: int, per_step: int, typical: float, workers: int) -> float:
    """Return the seconds that a cold cache adds to the steps: workers fill it while the network trains."""
    visited = min(1.0, steps * per_step / data.items) if data.items else 0.0
    uncached = data.uncached * visited
    first_steps, each = uncached / per_step, data.seconds * per_step
    return first_steps * (max(0.0, each / workers - typical) if workers else each)


@contextlib.contextmanager
def _failing(expected: str) -> Iterator[None]:
    """Turn whatever a part raises into a :class:`TrialError` with the innermost cause."""
    try:
        yield
    except (Exception, SystemExit) as error:
        found = innermost(error)
        if _is_out_of_memory(error):
            remedy = "give a smaller --batch_size or smaller patches, or take a machine with more memory"
            problem = Problem(f"{expected} within the memory of this machine", found.splitlines()[0], remedy)
        else:
            problem = Problem(expected, found, "change the setting or the file that is named there")
    else:
        return
    raise TrialError(problem)  # out of the handler: the chain of MONAI's tracebacks ends here


def _is_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        # torch has no class of its own for the memory of the CPU.
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _NO_MEMORY.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def _as_in_a_run() -> Iterator[None]:
    """Choose algorithms as a run does, and leave neither workers nor memory behind."""
    with freeing(), torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        yield


def _largest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)
