"""Which arm is compared with which: like budgets, all with a longer scratch, and the pairs that are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from ..planning.plan import Plan
from ..tables.budgets import another_budget, budget_tags, is_longer_scratch

__all__ = ["Family", "families"]


@dataclass(frozen=True)
class Family:
    """Comparisons that answer one question, and share the error that Holm's adjustment spends.

    Attributes:
        kind: ``reference``, ``longer scratch``, ``same budget`` or ``chosen pair``.
        pairs: an arm and the one that it is compared with, in the order of the tables.
    """

    kind: str
    pairs: tuple[tuple[str, str], ...]


def families(plan: Plan, variant: str, count: int | str) -> list[Family]:
    """Return the families of one variant and label count; the one against the study's reference is the first.

    An arm of another budget than the reference is not compared with it, but with arms of its own budget and with every
    scratch that trains longer; so is every arm of the reference's budget, for a gain that longer training from
    scratch brings as well is no gain of pre-training. The pairs that the study file asks for (``against``) are one
    family.

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
        >>> [family.pairs for family in families(plan, "", 4)]
        [(('cpc3d', 'scratch'),), (('scratch', 'x3'), ('cpc3d', 'x3'))]
    """
    study = plan.study
    tags = budget_tags(plan, variant, count)
    arms = [arm for arm in study.arms if arm in tags]
    longer = [arm for arm in arms if is_longer_scratch(study, arm)]
    compared: set[frozenset[str]] = set()
    found = []

    def add(kind: str, candidates: list[tuple[str, str]]) -> None:
        chosen = tuple(pair for pair in candidates if len(set(pair)) == 2 and frozenset(pair) not in compared)
        compared.update(map(frozenset, chosen))
        if chosen:
            found.append(Family(kind, chosen))

    if study.reference in tags:
        alike = [arm for arm in arms if not another_budget(study, tags, arm)]
        add("reference", [(arm, study.reference) for arm in alike])
    for against in longer:
        add("longer scratch", [(arm, against) for arm in arms])
    for tag in sorted(set(tags.values()) - {"", tags.get(study.reference)}):
        alike = [arm for arm in arms if tags[arm] == tag]
        if not set(alike) & set(longer):  # the first of them stands in for a scratch of this budget
            first = next((arm for arm in alike if study.arms[arm].starts_from_scratch), alike[0])
            add("same budget", [(arm, first) for arm in alike])
    asked = [(arm, study.arms[arm].against) for arm in arms]
    add("chosen pair", [(arm, against) for arm, against in asked if against in tags])
    return found
