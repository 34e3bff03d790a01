"""Which arm is compared with which: like budgets with each other, and all with a scratch that trains longer."""

from __future__ import annotations

from dataclasses import dataclass

from ..planning.plan import Plan
from ..tables.budgets import another_budget, budget_tags, is_longer_scratch

__all__ = ["Family", "families"]


@dataclass(frozen=True)
class Family:
    """Comparisons that answer one question, and share the error that Holm's adjustment spends.

    Attributes:
        against: the arm that the others are compared with.
        arms: the others, in the order of the tables.
        kind: ``reference``, ``longer scratch`` or ``same budget``.
    """

    against: str
    arms: tuple[str, ...]
    kind: str


def families(plan: Plan, variant: str, count: int | str) -> list[Family]:
    """Return the families of one variant and label count; the one against the study's reference is the first.

    An arm of another budget than the reference is not compared with it, but with arms of its own budget and with every
    scratch that trains longer; so is every arm of the reference's budget, for a gain that longer training from
    scratch brings as well is no gain of pre-training.

    Args:
        plan: the study with its runs.
        variant: name of the variant.
        count: label count.

    Example:
        >>> from medvol.study.planning.design import Arm
        >>> from types import SimpleNamespace as Some
        >>> arms = {"scratch": Arm("scratch"), "x3": Arm("x3", longer=3), "cpc3d": Arm("cpc3d", weights="cpc3d")}
        >>> runs = [Some(kind="finetune", variant="", count=4, arm=a, budget="x" * (a == "x3")) for a in arms]
        >>> plan = Some(study=Some(arms=arms, reference="scratch"), runs=runs)
        >>> [(family.against, family.arms) for family in families(plan, "", 4)]
        [('scratch', ('cpc3d',)), ('x3', ('scratch', 'cpc3d'))]
    """
    study = plan.study
    tags = budget_tags(plan, variant, count)
    arms = [arm for arm in study.arms if arm in tags]
    longer = [arm for arm in arms if is_longer_scratch(study, arm)]
    pairs: set[frozenset[str]] = set()
    found = []

    def add(against: str, candidates: list[str], kind: str) -> None:
        chosen = tuple(arm for arm in candidates if arm != against and frozenset((arm, against)) not in pairs)
        pairs.update(frozenset((arm, against)) for arm in chosen)
        if chosen:
            found.append(Family(against, chosen, kind))

    if study.reference in tags:
        add(study.reference, [arm for arm in arms if not another_budget(study, tags, arm)], "reference")
    for against in longer:
        add(against, arms, "longer scratch")
    for tag in sorted(set(tags.values()) - {"", tags.get(study.reference)}):
        alike = [arm for arm in arms if tags[arm] == tag]
        if not set(alike) & set(longer):  # the first of them stands in for a scratch of this budget
            add(next((arm for arm in alike if study.arms[arm].starts_from_scratch), alike[0]), alike, "same budget")
    return found
