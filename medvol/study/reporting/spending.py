"""What an arm costs: its fine-tuning, and the pre-training beside it."""

from __future__ import annotations

import numpy as np

from ..formatting import duration_text
from .findings import Findings

__all__ = ["budget_text", "pretraining_text"]


def budget_text(findings: Findings, arm: str, count: int | str, variant: str) -> str:
    """Steps and examples of one fine-tuning, with the tag of another budget.

    Args:
        findings: results of a study.
        arm: name of the arm.
        count: label count.
        variant: name of the variant.
    """
    wanted = ("finetune", arm, str(count), variant)
    for run in findings.plan.runs:
        if (run.kind, run.arm, str(run.count), run.variant) == wanted:
            cost = f"{run.steps} steps, {run.examples} examples"
            tag = "" if run.budget in cost else f": {run.budget}"  # most tags are the number of steps
            return f"{cost} (another budget{tag})" if run.budget else cost
    return "-"


def pretraining_text(findings: Findings, arm: str) -> str:
    """Steps, examples and mean time of the pre-training that an arm starts from."""
    starts = {run.start for run in findings.plan.runs if run.kind == "finetune" and run.arm == arm and run.start}
    runs = [run for run in findings.plan.runs if run.key in starts]
    if not runs:
        weights = findings.study.arms[arm].weights
        return f"given weights: {weights}" if weights else "none"
    times = [findings.records[run.key].state.get("seconds") for run in runs if run.key in findings.records]
    known = [time for time in times if time]
    cost = f"{runs[0].steps} steps, {runs[0].examples} examples"
    return f"{cost}, {duration_text(float(np.mean(known)))}" if known else cost
