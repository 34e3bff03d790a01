"""A page about a bundle before it runs: what it would do, all that is wrong with it, and what it will cost."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..args_files import with_args_file
from ..inherit import fill_inherited
from ..opening import KeyPlaceError, OpenBundle, open_bundle
from ..refusal import Problem
from .estimate import Estimate, TrialError, duration, estimate
from .facts import bundle_facts
from .place_rules import room_problems
from .rules import IN_CHECK, problems_of

__all__ = ["CheckReport", "check_bundle"]


@dataclass(frozen=True)
class CheckReport:
    """What :func:`check_bundle` found.

    Attributes:
        bundle: the bundle's name, or what was given as one.
        config: path of the config file; "" where there is none.
        facts: what the run would do, by topic, as sentences.
        problems: errors first, then warnings.
        estimate: the cost; None where it was not asked for or could not be tried.
        skipped: why there is no estimate.
        overrides: values that were given for the config's keys by hand.
        args_file: path of the file that gave others; "" for none.
    """

    bundle: str
    config: str
    facts: dict[str, str]
    problems: tuple[Problem, ...]
    estimate: Estimate | None
    skipped: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    args_file: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings are not counted."""
        return all(problem.state != "error" for problem in self.problems)

    def text(self) -> str:
        """Return the page."""
        lines = [f"{self.bundle}  {self.config}".rstrip(), ""]
        lines += [_line(topic, sentence) for topic, sentence in self.facts.items()]
        lines += [_line("cost", sentence) for sentence in self._cost()]
        for number, problem in enumerate(self.problems, start=1):
            lines += ["", f"{problem.state} {number} of {len(self.problems)}", textwrap.indent(problem.text(), "  ")]
        return "\n".join([*lines, "", self._verdict()])

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON."""
        return {
            "bundle": self.bundle,
            "config": self.config,
            "ok": self.ok,
            "facts": dict(self.facts),
            "problems": [problem.as_dict() for problem in self.problems],
            "estimate": None if self.estimate is None else self.estimate.as_dict(),
            "skipped": self.skipped,
            "command": self.command if self.ok else None,
        }

    def _cost(self) -> list[str]:
        return [self.skipped] if self.estimate is None else cost_sentences(self.estimate)

    def _verdict(self) -> str:
        errors = sum(problem.state == "error" for problem in self.problems)
        warned = len(self.problems) - errors
        notes = f", {warned} warning{'s' * (warned != 1)}" if warned else ""
        if errors:
            return f"verdict: not ready, {errors} error{'s' * (errors != 1)}{notes}"
        return f"verdict: ready{notes}; run it with: {self.command}"

    @property
    def command(self) -> str:
        """The command that runs what was checked."""
        words = ["--args_file", self.args_file] if self.args_file else []
        words += [word for key, value in self.overrides.items() for word in (f"--{key}", str(value))]
        return shlex.join(["python", "-m", "monai.bundle", "run", "--config_file", self.config, *words])


def check_bundle(
    bundle: str | Path,
    config: str = "train.json",
    overrides: Mapping[str, Any] | None = None,
    estimate_steps: int = 5,
    args_file: str | Path | Sequence[str | Path] | None = None,
) -> CheckReport:
    """Check everything about a bundle that can be known before it runs; all problems are shown, not the first alone.

    Nothing is written into the bundle and no run is begun. Samples that the estimate prepares stay in the data cache,
    where the run will find them.

    Args:
        bundle: a bundle's name, folder or config file.
        config: which config, where ``bundle`` is not itself a file.
        overrides: values for the config's keys, as for the run.
        estimate_steps: steps to try for the estimate of time and memory, at least five unless the run has fewer; 0
            leaves the estimate out.
        args_file: a JSON file of more such values, as for the run; ``overrides`` win over it.

    Returns:
        The report; a bundle that does not exist or cannot be read is a problem in it, too.

    Raises:
        ValueError: a negative number of steps, or ``args_file`` is no JSON object.
        FileNotFoundError: there is no such ``args_file``.

    Example:
        >>> check_bundle("cpc4d").problems[0].remedy
        'correct the name or the path of the bundle, or the file that is named there'
    """
    if estimate_steps < 0:
        raise ValueError(f"estimate_steps must be 0 or more; found {estimate_steps}; 0 leaves the estimate out")
    values = with_args_file(args_file, overrides or {}, bundle)
    opened, problems = _open(bundle, config, values)
    if opened is None:
        return CheckReport(str(bundle), "", {}, tuple(problems), None, "not tried: there is no config")
    fill_inherited(opened.parser, opened.original)  # as the guard does: an evaluation pre-processes as the training did
    problems += problems_of(IN_CHECK, opened)
    facts = bundle_facts(opened, bool(problems))
    cost, skipped = None, "not asked for"
    if any(problem.state == "error" for problem in problems):
        skipped = "not tried, because of the errors below"
    elif estimate_steps:
        cost, skipped = _try(opened, estimate_steps, problems)
    ordered = sorted(problems, key=lambda problem: problem.state != "error")
    file = args_file if isinstance(args_file, (str, Path)) else next(iter(args_file or ()), "")
    given = dict(overrides or {})
    return CheckReport(opened.name, _shown(opened.file), facts, tuple(ordered), cost, skipped, given, str(file))


def cost_sentences(cost: Estimate) -> list[str]:
    """Return what an estimate says, as sentences."""
    what = "step" if cost.validations or cost.cache_bytes else "step or case"
    time = f"about {duration(cost.seconds)} in all: {cost.steps} x {duration(cost.seconds_per_step)} per {what}"
    if cost.validations:
        time += f", {cost.validations} x {duration(cost.seconds_per_validation)} per validation"
    if cost.uncached:
        time += f", {duration(cost.seconds_preparing)} more to prepare {cost.uncached} cases that are not cached yet"
    held = "unknown" if cost.memory_bytes is None else f"{cost.memory_bytes / 1e6:.0f} MB"
    held += "" if cost.gpu_memory_bytes is None else f", and {cost.gpu_memory_bytes / 1e6:.0f} MB of the GPU"
    disk = f"{cost.run_bytes / 1e6:.0f} MB for the run, {cost.cache_bytes / 1e6:.0f} MB more in the cache"
    return [f"{time} ({cost.steps_tried} tried)", f"peak memory {held}", f"disk {disk}"]


def _open(bundle: str | Path, config: str, overrides: dict[str, Any]) -> tuple[OpenBundle | None, list[Problem]]:
    """Open a bundle without the overrides that lead nowhere; each of those is a problem."""
    problems: list[Problem] = []
    while True:
        try:
            return open_bundle(bundle, config, overrides), problems
        except KeyPlaceError as error:
            del overrides[error.key]
            found, _, remedy = str(error).rpartition("; ")
            problems.append(Problem("keys that lead to a place in the config", found, f"correct the key; {remedy}"))
        except (OSError, ValueError, TypeError) as error:
            remedy = "correct the name or the path of the bundle, or the file that is named there"
            return None, [*problems, Problem("a bundle whose files can be read", str(error), remedy)]


def _try(opened: OpenBundle, steps: int, problems: list[Problem]) -> tuple[Estimate | None, str]:
    """Estimate, and add what fails there, or what there is no room for, to the problems."""
    try:
        cost = estimate(opened, steps)
    except TrialError as failed:
        problems.append(failed.problem)
        return None, "not known: the trial failed, see below"
    room = {"output_dir": cost.run_bytes, "results_dir": cost.run_bytes, "cache_dir": cost.cache_bytes}
    problems.extend(
        problem
        for key, needed in room.items()
        if isinstance(opened.config.get(key), str) and opened.config[key][:1] not in "$@%"
        for problem in room_problems(Path(opened.config[key]).absolute(), needed, key, f"give another one by --{key}")
    )
    return cost, ""


def _shown(file: Path) -> str:
    """Return a path as a person would type it here."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)


def _line(topic: str, sentence: str) -> str:
    return textwrap.fill(sentence, 110, initial_indent=f"{topic:<9} ", subsequent_indent=" " * 10)
