from __future__ import annotations

from types import SimpleNamespace as Some

from medvol.study.judging.comparisons import families
from medvol.study.planning.design import Arm

X3 = Arm("scratch-x3", longer=3)


def plan(*arms: Arm, reference: str = "scratch", tags: dict[str, str] | None = None) -> Some:
    tags = {arm.name: f"{arm.longer} budgets" if arm.longer != 1 else "" for arm in arms} | (tags or {})
    runs = [
        Some(kind=kind, variant=variant, count=count, arm=arm.name, budget=tags[arm.name])
        for kind in ("tune", "finetune")
        for variant in ("", "small")
        for count in (4, "all")
        for arm in arms
    ]
    return Some(study=Some(arms={arm.name: arm for arm in arms}, reference=reference), runs=runs)


def found(*arms: Arm, **more: object) -> list[tuple]:
    """Kind, what all are compared with, and they; pairs where they are compared with several."""
    made = []
    for family in families(plan(*arms, **more), "", 4):
        against = {other for _, other in family.pairs}
        alone = len(against) == 1 and family.kind != "chosen pair"
        made.append(
            (family.kind, *against, tuple(a for a, _ in family.pairs)) if alone else (family.kind, family.pairs)
        )
    return made


SCRATCH, CPC, RPL = Arm("scratch"), Arm("cpc3d", weights="cpc3d"), Arm("rpl3d", weights="rpl3d")


def test_like_budgets_are_compared_with_the_reference() -> None:
    assert found(SCRATCH, CPC, RPL) == [("reference", "scratch", ("cpc3d", "rpl3d"))]


def test_everything_is_compared_with_the_longer_scratch_but_that_not_with_the_reference() -> None:
    assert found(SCRATCH, X3, CPC) == [
        ("reference", "scratch", ("cpc3d",)),
        ("longer scratch", "scratch-x3", ("scratch", "cpc3d")),
    ]


def test_an_arm_of_another_budget_meets_its_like_and_the_longer_scratch_alone() -> None:
    long_cpc = Arm("cpc-x3", weights="cpc3d", longer=3)
    other = Arm("cpc-x2", weights="cpc3d", longer=2)
    assert found(SCRATCH, X3, CPC, long_cpc, other) == [
        ("reference", "scratch", ("cpc3d",)),
        ("longer scratch", "scratch-x3", ("scratch", "cpc3d", "cpc-x3", "cpc-x2")),
    ]


def test_without_a_longer_scratch_arms_of_one_budget_meet_the_first_of_them() -> None:
    two, three = Arm("a-x2", weights="a", longer=2), Arm("b-x2", weights="b", longer=2)
    assert found(SCRATCH, CPC, two, three) == [
        ("reference", "scratch", ("cpc3d",)),
        ("same budget", "a-x2", ("b-x2",)),
    ]
    assert found(SCRATCH, two) == []  # nothing to compare it with


def test_no_pair_is_compared_twice() -> None:
    x5 = Arm("scratch-x5", longer=5)
    pairs = [frozenset((arm, against)) for _, against, arms in found(SCRATCH, X3, x5, CPC) for arm in arms]
    assert len(pairs) == len(set(pairs))
    assert frozenset(("scratch-x3", "scratch-x5")) in pairs
    assert ("reference", "scratch", ("cpc3d",)) in found(SCRATCH, X3, x5, CPC)


def test_a_longer_scratch_as_the_reference_meets_everyone_once() -> None:
    assert found(SCRATCH, X3, CPC, reference="scratch-x3") == [("reference", "scratch-x3", ("scratch", "cpc3d"))]


def test_only_the_runs_of_this_variant_and_count_say_what_there_is() -> None:
    made = plan(SCRATCH, CPC)
    assert families(made, "large", 4) == []
    assert families(made, "small", "all")[0].pairs == (("cpc3d", "scratch"),)


def test_pretrained_arms_that_train_longer_are_no_longer_scratch() -> None:
    long_cpc = Arm("cpc-x3", weights="cpc3d", longer=3)
    assert found(SCRATCH, CPC, long_cpc) == [("reference", "scratch", ("cpc3d",))]


def test_chosen_pairs_are_one_family() -> None:
    whole = Arm("cpc-all", weights="cpc3d", against="cpc3d")
    frozen = Arm("rpl-frozen", weights="rpl3d", frozen=True, against="rpl3d")
    assert found(SCRATCH, CPC, RPL, whole, frozen)[1:] == [
        ("chosen pair", (("cpc-all", "cpc3d"), ("rpl-frozen", "rpl3d")))
    ]


def test_a_chosen_pair_that_is_compared_anyway_is_so_once() -> None:
    again = Arm("cpc-again", weights="cpc3d", against="scratch")
    assert found(SCRATCH, CPC, again) == [("reference", "scratch", ("cpc3d", "cpc-again"))]


def test_arms_of_another_budget_can_be_a_pair() -> None:
    two, three = Arm("a-x2", weights="a", longer=2), Arm("b-x2", weights="b", longer=2, against="c-x2")
    four = Arm("c-x2", weights="c", longer=2)
    assert ("chosen pair", (("b-x2", "c-x2"),)) in found(SCRATCH, CPC, two, three, four)
