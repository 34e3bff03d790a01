from __future__ import annotations

import dataclasses

import pytest

from medvol.study.judging.sentences import sentence
from medvol.study.judging.verdict import Verdict

PLAIN = Verdict(
    variant="", count=16, arm="cpc3d", against="scratch", family="reference", metric="dice", region="mean",
    higher_is_better=True, role="main", word="no evidence", reason="", budget="", seeds=3, seeds_planned=3, patients=25,
    arm_mean=0.8431, arm_sd=0.012, against_mean=0.8390, against_sd=0.021, difference=0.0041, low=-0.0271, high=0.0351,
    gain=0.0041, gain_low=-0.0271, gain_high=0.0351, df=2.1, p=0.713, holm=0.713, comparisons=1, margin=0.01,
    non_inferior=False, equivalent=False, smallest_difference=0.0312, seeds_needed=37, patients_needed=None,
)  # fmt: skip


def said(**changes: object) -> str:
    return sentence(dataclasses.replace(PLAIN, **changes))


def test_no_evidence_with_every_number() -> None:
    assert said() == (
        "cpc3d, 16 labelled patients: no evidence of a difference. Dice 0.843 against 0.839 from scratch; difference "
        "+0.004, 95 % interval -0.027 to +0.035 (3 seeds, 25 test patients; p 0.713). This design would show a "
        "difference of 0.031 in four of five such studies; 0.004 would need about 37 seeds."
    )


def test_helps_and_harms_do_not_ask_for_more() -> None:
    helped = said(word="helps", difference=0.05, low=0.02, high=0.08, gain=0.05, gain_low=0.02, p=0.0004, holm=0.0008,
                  comparisons=2, count="all")  # fmt: skip
    assert helped.startswith("cpc3d, all labelled patients: it helps. ")
    assert "p < 0.001, Holm < 0.001)" in helped
    assert "four of five" not in helped
    assert said(word="harms", count=1).startswith("cpc3d, 1 labelled patient: it harms. ")


def test_against_a_longer_scratch_it_is_better_or_worse() -> None:
    for word, claim in (
        ("helps", "it is better"),
        ("harms", "it is worse"),
        ("no evidence", "no evidence of a difference"),
    ):
        text = said(family="longer scratch", against="scratch-x3", word=word)
        assert text.startswith(f"cpc3d against scratch-x3, 16 labelled patients: {claim}. ")
        assert "of scratch-x3" in text


def test_a_distance_keeps_its_own_sign_and_unit() -> None:
    text = said(
        metric="hd95", region="whole", higher_is_better=False, role="secondary", margin=None, arm_mean=1.59,
        against_mean=1.64, difference=-0.05, low=-0.21, high=0.11, gain=0.05, gain_low=-0.11, gain_high=0.21,
        smallest_difference=0.3, non_inferior=None, equivalent=None,
    )  # fmt: skip
    assert text.startswith("cpc3d, 16 labelled patients (secondary score): no evidence")
    assert "Whole HD95 1.59 mm against 1.64 mm from scratch (lower is better); difference -0.05 mm" in text
    assert "-0.21 to +0.11 mm" in text
    assert "a difference of 0.30 mm" in text


def test_not_judged_says_why_and_how_it_looks_so_far() -> None:
    nothing = dict.fromkeys(
        "low high gain gain_low gain_high df p holm non_inferior equivalent smallest_difference seeds_needed".split()
    )
    text = said(word="not judged", reason="2 paired seeds, and at least 3 are needed", seeds=2, **nothing)
    assert ": not judged: 2 paired seeds, and at least 3 are needed. Dice 0.843 against" in text
    assert text.endswith("difference +0.004 so far.")
    text = said(word="not judged", reason="the two arms were scored on other patients", arm_mean=None, **nothing)
    assert text.endswith("not judged: the two arms were scored on other patients.")


def test_what_lies_between_interval_and_word_is_told() -> None:
    text = said(low=0.001, gain_low=0.001, p=0.04, holm=0.08, comparisons=2)
    assert "Taken alone its interval leaves out zero; among 2 comparisons (Holm) that is not enough." in text
    assert "Taken alone" not in said()
    assert "number for number" in said(difference=0.0, low=0.0, high=0.0, gain=0.0, gain_low=0.0, gain_high=0.0, p=1.0)


def test_the_margin_that_matters() -> None:
    small = {"difference": 0.004, "gain": 0.004, "low": 0.001, "gain_low": 0.001, "p": 0.01, "holm": 0.01}
    assert "smaller than 0.010, the smallest that matters" in said(word="helps", **small)
    assert "smaller than" not in said(word="helps", **(small | {"difference": 0.04, "gain": 0.04}))
    assert "The two are equivalent within 0.010." in said(equivalent=True, non_inferior=True)
    assert "It is not worse by 0.010 or more." in said(non_inferior=True)
    assert "worse by" not in said()


def test_what_it_would_take() -> None:
    assert "0.004 would need 12 seeds or about 190 test patients." in said(seeds_needed=12, patients_needed=181)
    assert "about 21 seeds or about 1000 test patients." in said(seeds_needed=21, patients_needed=991)
    assert "0.004 would need about 210 test patients." in said(seeds_needed=None, patients_needed=201)
    assert "neither a thousand seeds nor a thousand test patients alone would show 0.004" in said(seeds_needed=None)
    assert "neither" in said(seeds_needed=None, patients_needed=20)  # fewer than there are
    assert said(difference=0.05, gain=0.05).endswith("0.031 in four of five such studies.")


def test_replicates_that_are_missing_are_told() -> None:
    assert "(3 of 5 seeds, 25 test patients" in said(seeds_planned=5)


def test_all_patients_carry_their_number() -> None:
    assert said(count="all", labelled=16).startswith("cpc3d, all (16) labelled patients: ")
    assert said(count=4, labelled=16).startswith("cpc3d, 4 labelled patients: ")


def test_what_is_worse_so_far_is_no_evidence_of_a_difference_either() -> None:
    for family in ("reference", "longer scratch", "same budget"):
        text = said(family=family, difference=-0.3, gain=-0.3)
        assert "no evidence of a difference." in text
        assert "better" not in text.partition(". Dice")[0]


def test_small_numbers_do_not_round_to_zero_or_onto_the_level() -> None:
    assert "difference -0.0003, " in said(difference=-0.0003, gain=-0.0003)
    assert "difference 0.000, " in said(difference=0.0, gain=0.0)
    assert "p 0.0498)" in said(p=0.0498, word="helps")


def test_variants_are_named() -> None:
    assert said(variant="small").startswith("cpc3d, 16 labelled patients, small: ")


@pytest.mark.parametrize("arm", ["<script>", "größer"])
def test_names_are_left_as_they_are(arm: str) -> None:
    assert said(arm=arm).startswith(f"{arm}, ")
