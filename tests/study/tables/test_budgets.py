"""Budgets and who may be compared by them."""

from __future__ import annotations

from types import SimpleNamespace as Some

import pytest

from medvol.study.planning.design import Arm
from medvol.study.tables.budgets import another_budget, budget_tags, is_longer_scratch

ARMS = {
    arm.name: arm
    for arm in (Arm("scratch"), Arm("x3", longer=3), Arm("a", weights="w"), Arm("a-x2", None, "w", longer=2))
}
TAGS = {"scratch": "", "x3": "1800 steps", "a": "", "a-x2": "1200 steps"}


def test_tags_are_those_of_one_variant_and_count():
    runs = [
        Some(kind=kind, variant=variant, count=count, arm="a", budget=f"{kind} {variant} {count}")
        for kind in ("tune", "finetune")
        for variant in ("", "small")
        for count in (4, "all")
    ]
    assert budget_tags(Some(runs=runs), "small", 4) == {"a": "finetune small 4"}
    assert budget_tags(Some(runs=runs), "large", 4) == {}


@pytest.mark.parametrize(("reference", "others"), [("scratch", {"x3", "a-x2"}), ("x3", set()), ("a", {"x3", "a-x2"})])
def test_another_budget_is_not_compared_with_the_reference(reference, others):
    study = Some(arms=ARMS, reference=reference)
    assert {arm for arm in ARMS if another_budget(study, TAGS, arm)} == others


def test_only_a_scratch_that_trains_longer_meets_everyone():
    assert [arm for arm in ARMS if is_longer_scratch(Some(arms=ARMS), arm)] == ["x3"]
