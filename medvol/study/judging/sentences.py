"""A verdict in plain English, with its numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from medvol.metrics.direction import is_distance

from ..formatting import count_text, decimals, fixed, headline, p_text, plural, score_name, signed
from ..rules import ALPHA

if TYPE_CHECKING:
    from .verdict import Verdict

__all__ = ["sentence"]

_EXACT = 20  # numbers of seeds or patients above which only two digits are told

_CLAIMS = {
    ("reference", "helps"): "it helps",
    ("reference", "harms"): "it harms",
    ("reference", "no evidence"): "no evidence of a difference",
    ("", "helps"): "it is better",
    ("", "harms"): "it is worse",
    ("", "no evidence"): "no evidence of a difference",
}


def sentence(verdict: Verdict) -> str:
    """Return the verdict with its numbers, differences as a reader subtracts them.

    Args:
        verdict: all of its numbers filled in.

    Example:
        >>> from types import SimpleNamespace as Some
        >>> print(sentence(Some(variant="", count=4, arm="cpc3d", against="scratch", family="reference", role="main",
        ...     metric="dice", region="mean", higher_is_better=True, word="not judged", reason="1 paired seed",
        ...     labelled=None, arm_mean=None, gain=None)))
        cpc3d, 4 labelled patients: not judged: 1 paired seed.
    """
    parts = [f"{_place(verdict)}: {_claim(verdict)}."]
    if verdict.arm_mean is not None:
        parts.append(_scores(verdict))
    if verdict.gain is not None:
        parts += [part for part in (_limits(verdict), _margin(verdict), _design(verdict)) if part]
    return " ".join(parts)


def _place(v: Verdict) -> str:
    arm = v.arm if v.family == "reference" else f"{v.arm} against {v.against}"
    extra = "" if v.role == "main" else " (secondary score)"
    return f"{arm}, {count_text(v.count, v.labelled)}{f', {v.variant}' if v.variant else ''}{extra}"


def _claim(v: Verdict) -> str:
    if v.word == "not judged":
        return f"not judged: {v.reason}"
    return _CLAIMS[v.family if v.family == "reference" else "", v.word]


def _unit(v: Verdict) -> str:
    return " mm" if is_distance(v.metric) else ""


def _scores(v: Verdict) -> str:
    digits, unit, name = decimals(v.metric), _unit(v), headline(score_name(v.metric, v.region))
    source = f"from {v.against}" if v.against == "scratch" else f"of {v.against}"
    better = "" if v.higher_is_better else " (lower is better)"
    means = f"{fixed(v.arm_mean, digits)}{unit} against {fixed(v.against_mean, digits)}{unit} {source}"
    start = f"{name} {means}{better}; difference {_small(v.difference, digits)}{unit}"
    if v.gain is None:
        return f"{start} so far."
    interval = f"95 % interval {_small(v.low, digits)} to {_small(v.high, digits)}{unit}"
    seeds = plural(v.seeds, "seed") if v.seeds == v.seeds_planned else f"{v.seeds} of {v.seeds_planned} seeds"
    tests = f"p {_p(v.p)}" + (f", Holm {_p(v.holm)}" if v.comparisons > 1 else "")
    return f"{start}, {interval} ({seeds}, {plural(v.patients, 'test patient')}; {tests})."


def _limits(v: Verdict) -> str:
    """What stands between the interval and the word."""
    if v.difference == 0 and v.gain_low == v.gain_high == 0:
        return "The scores are the same, number for number."
    if v.word == "no evidence" and v.p < ALPHA:
        return (
            f"Taken alone its interval leaves out zero; among {plural(v.comparisons, 'comparison')} (Holm) that is "
            "not enough."
        )
    return ""


def _margin(v: Verdict) -> str:
    if v.margin is None:
        return ""
    margin = fixed(v.margin, max(decimals(v.metric), 3))
    if v.below_margin:
        return f"The difference is smaller than {margin}, the smallest that matters in this study."
    if v.equivalent:
        return f"The two are equivalent within {margin}."
    if v.word == "no evidence" and v.non_inferior:
        return f"It is not worse by {margin} or more."
    return ""


def _design(v: Verdict) -> str:
    """What a study like this one would show, and what the observed difference would take."""
    digits = decimals(v.metric)
    if v.word != "no evidence" or not v.smallest_difference:
        return ""
    smallest = f"{_small(v.smallest_difference, digits)[1:]}{_unit(v)}"
    start = f"This design would show a difference of {smallest} in four of five such"
    if not v.difference or abs(v.difference) >= v.smallest_difference:
        return f"{start} studies."
    observed = f"{_small(abs(v.difference), digits)[1:]}{_unit(v)}"
    needed = ((v.seeds_needed, v.seeds, "seed"), (v.patients_needed, v.patients, "test patient"))
    ways = [
        f"about {plural(_about(number), noun)}" if number > _EXACT else plural(number, noun)
        for number, present, noun in needed
        if number is not None and number > present
    ]
    if ways:
        return f"{start} studies; {observed} would need {' or '.join(ways)}."
    return f"{start} studies; neither a thousand seeds nor a thousand test patients alone would show {observed}."


def _small(value: float, digits: int) -> str:
    """A signed number that does not round to zero unless it is zero."""
    if value and math.isfinite(value) and not float(signed(value, digits)):
        return f"{value:+.{min(12, math.ceil(-math.log10(abs(value))))}f}"
    return signed(value, digits)


def _p(value: float) -> str:
    """A p-value that does not round onto the level from below."""
    text = p_text(value)
    return f"{value:.4f}" if value < ALPHA and text == p_text(ALPHA) else text


def _about(number: int) -> int:
    """Rounded up to two digits."""
    step = 10 ** max(0, len(str(number)) - 2)
    return -(-number // step) * step
