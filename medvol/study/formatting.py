"""How a report writes numbers, durations and label counts."""

from __future__ import annotations

import math
from collections.abc import Iterable

from medvol.metrics.direction import is_distance, metric_title

__all__ = [
    "arm_text", "count_name", "count_text", "decimals", "duration_text", "fixed", "headline", "interval_text",
    "listed", "p_text", "plural", "score_name", "score_text", "signed",
]  # fmt: skip

NOTHING = "-"
"""Stands where there is no number."""


def decimals(metric: str) -> int:
    """Digits after the point: three for scores between 0 and 1, two for distances.

    Example:
        >>> decimals("dice"), decimals("hd95")
        (3, 2)
    """
    return 2 if is_distance(metric) else 3


def fixed(value: float | None, digits: int = 3) -> str:
    """A number with so many digits after the point; a dash for none.

    Example:
        >>> fixed(0.84321), fixed(float("nan"))
        ('0.843', '-')
    """
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """The same with its sign, and without one where it rounds to zero.

    Example:
        >>> signed(0.004), signed(-0.0001)
        ('+0.004', '0.000')
    """
    text = fixed(value, digits)
    if text == NOTHING:
        return text
    if not float(text):
        return text.lstrip("-")
    return text if text.startswith("-") else f"+{text}"


def interval_text(low: float | None, high: float | None, digits: int = 3, sign: bool = False) -> str:
    """Both ends of an interval; a dash if one is missing.

    Example:
        >>> interval_text(-0.01, 0.02, sign=True)
        '-0.010 to +0.020'
    """
    show = signed if sign else fixed
    ends = show(low, digits), show(high, digits)
    return NOTHING if NOTHING in ends else " to ".join(ends)


def p_text(value: float | None) -> str:
    """A p-value; small ones by their bound.

    Example:
        >>> p_text(0.0312), p_text(1e-9)
        ('0.031', '< 0.001')
    """
    return "< 0.001" if value is not None and value < 0.001 else fixed(value)


def count_name(count: int | str | None, patients: int | None = None) -> str:
    """A label count as it stands in a table; ``all`` with its number where that is known.

    Example:
        >>> count_name("all", 16), count_name("all"), count_name(4, 16)
        ('all (16)', 'all', '4')
    """
    return f"{count} ({patients})" if str(count) == "all" and patients else str(count)


def count_text(count: int | str | None, patients: int | None = None) -> str:
    """A label count in words.

    Args:
        count: a number of patients, or ``all``.
        patients: how many ``all`` stands for, where that is known.

    Example:
        >>> count_text("all", 16), count_text("1"), count_text(16)
        ('all (16) labelled patients', '1 labelled patient', '16 labelled patients')
    """
    return f"{count_name(count, patients)} labelled patient{'' if str(count) == '1' else 's'}"


def arm_text(arm: str, budget: str) -> str:
    """An arm with the tag of a budget that is not the standard one.

    Example:
        >>> arm_text("scratch-x3", "1800 steps"), arm_text("scratch", "")
        ('scratch-x3 (1800 steps)', 'scratch')
    """
    return f"{arm} ({budget})" if budget else arm


def duration_text(seconds: float | None) -> str:
    """A duration as all of medvol tells it; a dash for none.

    Example:
        >>> duration_text(42), duration_text(100), duration_text(None)
        ('42 s', '1 min 40 s', '-')
    """
    from medvol.bundles.checks.estimate import duration

    return NOTHING if seconds is None or not math.isfinite(seconds) else duration(seconds)


def score_text(metric: str, region: str, higher_is_better: bool = True) -> str:
    """A score as a reader knows it; the mean over regions goes without saying, and so does that more is better.

    Example:
        >>> score_text("dice", "mean"), score_text("hd95", "whole")
        ('Dice', 'whole HD95 (mm)')
        >>> score_text("hd95", "whole", higher_is_better=False)
        'whole HD95 (mm), lower is better'
    """
    unit = " (mm)" if is_distance(metric) else ""
    return f"{score_name(metric, region)}{unit}{'' if higher_is_better else ', lower is better'}"


def score_name(metric: str, region: str) -> str:
    """A score without its unit.

    Example:
        >>> score_name("hd95", "whole")
        'whole HD95'
    """
    return f"{'' if region == 'mean' else f'{region} '}{metric_title(metric)}"


def headline(text: str) -> str:
    """A text with its first letter large.

    Example:
        >>> headline("mean dice"), headline("")
        ('Mean dice', '')
    """
    return text[:1].upper() + text[1:]


def plural(number: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> plural(1, "run"), plural(2, "run")
        ('1 run', '2 runs')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(values: Iterable[object]) -> str:
    """Different values in order, as a list in words.

    Example:
        >>> listed([1, 2, 2]), listed([])
        ('1, 2', '-')
    """
    return ", ".join(dict.fromkeys(str(value) for value in values)) or NOTHING
