"""The budgets of fine-tuning: the tag of every arm, and whether it may be compared with the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..planning.design import Study
    from ..planning.plan import Plan

__all__ = ["another_budget", "budget_tags", "is_longer_scratch"]


def budget_tags(plan: Plan, variant: str, count: int | str) -> dict[str, str]:
    """Return the tag of each arm's budget by arm, ``""`` for the reference's.

    Args:
        plan: the study with its runs.
        variant: name of the variant.
        count: label count.

    Example:
        >>> from types import SimpleNamespace as Some
        >>> run = Some(kind="finetune", variant="", count=4, arm="x3", budget="1800 steps")
        >>> budget_tags(Some(runs=[run]), "", "4")
        {'x3': '1800 steps'}
    """
    wanted = ("finetune", variant, str(count))
    return {run.arm: run.budget for run in plan.runs if (run.kind, run.variant, str(run.count)) == wanted}


def is_longer_scratch(study: Study, arm: str) -> bool:
    """Whether an arm starts from random weights and trains longer, so that everyone may be compared with it."""
    return study.arms[arm].starts_from_scratch and study.arms[arm].longer > 1


def another_budget(study: Study, tags: dict[str, str], arm: str) -> str:
    """Say why an arm is not compared with the reference; ``""`` where its budget allows it.

    Args:
        study: the study.
        tags: of :func:`budget_tags`.
        arm: the arm.
    """
    if tags.get(arm, "") == tags.get(study.reference, "") or is_longer_scratch(study, study.reference):
        return ""
    return f"it has another budget than {study.reference}"
