"""How numbers are written."""

import pytest

from medvol.bundles.checks.estimate import duration
from medvol.study.formatting import (
    arm_text,
    count_name,
    count_text,
    decimals,
    duration_text,
    fixed,
    headline,
    interval_text,
    listed,
    p_text,
    score_text,
    signed,
)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_no_number_is_a_dash(value):
    assert [fixed(value), signed(value), duration_text(value)] == ["-"] * 3


@pytest.mark.parametrize(
    ("value", "text"), [(0.0126, "+0.013"), (-0.0126, "-0.013"), (-0.0004, "0.000"), (0.0004, "0.000"), (0.0, "0.000")]
)
def test_a_sign_stands_only_before_what_is_not_zero(value, text):
    assert signed(value) == text


def test_an_interval_with_one_end_is_none():
    assert interval_text(0.1, float("nan")) == "-"
    assert interval_text(-0.1, 0.1, 2, sign=True) == "-0.10 to +0.10"


def test_small_p_values_are_not_zero():
    assert [p_text(0.00099), p_text(0.001), p_text(None)] == ["< 0.001", "0.001", "-"]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59, "59 s"), (100, "1 min 40 s"), (5400, "1 h 30 min")])
def test_durations(seconds, text):
    assert duration_text(seconds) == duration(seconds) == text


def test_names():
    assert [decimals("dice"), decimals("hd95")] == [3, 2]
    assert [count_text(1), count_text("all")] == ["1 labelled patient", "all labelled patients"]
    assert [count_name("all", 16), count_name("all"), count_name(4, 16)] == ["all (16)", "all", "4"]
    assert [count_text("all", 16), count_text(4, 16)] == ["all (16) labelled patients", "4 labelled patients"]
    assert score_text("hd95", "WT", higher_is_better=False) == "WT HD95 (mm), lower is better"
    assert [score_text("hd95", "whole"), score_text("dice", "mean")] == ["whole HD95 (mm)", "Dice"]
    assert [score_text("assd", "mean"), decimals("assd")] == ["ASSD (mm)", 2]
    assert [arm_text("a", "9 steps"), arm_text("a", "")] == ["a (9 steps)", "a"]
    assert [headline("größe"), headline("ärmel")] == ["Größe", "Ärmel"]
    assert listed(["b", "a", "b"]) == "b, a"
