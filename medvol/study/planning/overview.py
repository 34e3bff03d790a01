"""What a person reads before a study is run: its runs in a table, what they cost, and what to bear in mind."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from medvol.bundles.showing.columns import line_width, table

from ..formatting import plural
from ..rules import FEWEST_SEEDS
from .arms import nearest_args
from .design import Study
from .plan import Plan, PlannedRun

if TYPE_CHECKING:
    from .costs import PlanCost

__all__ = ["plan_notes", "plan_text", "study_list"]

_HEAD = ("kind", "variant", "arm", "patients", "seeds", "runs", "steps", "learning rate", "budget")
_KINDS = {"pretrain": "pre-training", "tune": "tuning", "finetune": "fine-tuning"}


def plan_text(plan: Plan, cost: PlanCost | None = None) -> str:
    """Return the page that ``study plan`` prints.

    Args:
        plan: the plan.
        cost: of :func:`medvol.study.planning.costs.estimate_plan`, None where it was not asked for.
    """
    groups: dict[tuple[str, str, str], list[PlannedRun]] = {}
    for kind in _KINDS:
        for run in plan.runs:
            if run.kind == kind:
                groups.setdefault((kind, run.variant, run.arm), []).append(run)
    rows = [_row(runs) for runs in groups.values()]
    shown = [i for i, title in enumerate(_HEAD) if title not in ("variant", "budget") or any(row[i] for row in rows)]
    lines = [f"study '{plan.study.name}': {plan.study.question}", ""]
    lines += [table([[row[i] for i in shown] for row in (_HEAD, *rows)], line_width(110), [shown.index(2)]), ""]
    lines.append(f"runs      {len(plan.runs)}{_reused(plan)}")
    lines += [] if cost is None else [_line(topic, text) for topic, text in cost.sentences().items()]
    lines += [_line("note", note) for note in plan_notes(plan)]
    return "\n".join(lines)


def plan_notes(plan: Plan) -> list[str]:
    """Return what limits a study's conclusions, in sentences.

    Args:
        plan: the plan.
    """
    study, notes = plan.study, []
    if len(study.replicates) < FEWEST_SEEDS:
        notes.append(
            f"{plural(len(study.replicates), 'seed')}: arms will not be judged, which takes "
            f"{FEWEST_SEEDS} or more; add 'seeds'"
        )
    for name, node in study.raw.get("arms", {}).items():
        if isinstance(node, Mapping) and "each" in node and not node.get("bundles"):
            needed = f" with the file {node['args']}{nearest_args(node['args'])}" if node.get("args") else ""
            notes.append(f"'{name}' stands for no arm: there is no pretext bundle here{needed}")
    tags = {run.arm: run.budget for run in plan.runs if run.kind == "finetune" and run.budget}
    for arm, tag in tags.items():
        if not study.arms[arm].starts_from_scratch:
            notes.append(f"arm '{arm}' has another budget ({tag}) and is compared with arms of that budget only")
    return notes


def _row(runs: list[PlannedRun]) -> list[str]:
    first = runs[0]
    counts = "" if first.count is None else ", ".join(dict.fromkeys(str(run.count) for run in runs))
    seeds = len({run.replicate for run in runs})
    rates = dict.fromkeys(f"{run.learning_rate:g}" for run in runs if run.learning_rate is not None)
    rate = ", ".join(rates) if rates else ("tuned" if first.tuned_by else "of its bundle")
    numbers = [counts, str(seeds), str(len(runs)), str(first.steps), rate, first.budget]
    return [_KINDS[first.kind], first.variant, first.arm, *numbers]


def _reused(plan: Plan) -> str:
    tuned = {(run.arm, run.variant) for run in plan.runs if run.kind == "tune"}
    return f", of which {len(tuned)} go on from a tuning and are not trained again" if tuned else ""


def _line(topic: str, sentence: str) -> str:
    return textwrap.fill(sentence, line_width(110), initial_indent=f"{topic:<9} ", subsequent_indent=" " * 10)


def study_list(studies: Sequence[Study]) -> str:
    """Return the studies and their questions as a table.

    Args:
        studies: the studies.

    Example:
        >>> study_list([])
        'no study comes with this medvol'
    """
    if not studies:
        return "no study comes with this medvol"
    rows = [("study", "bundle", "question"), *((study.name, study.bundle, study.question) for study in studies)]
    return table(rows, line_width(110), [2])
