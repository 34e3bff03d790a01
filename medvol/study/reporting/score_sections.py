"""Sections of a report about the scores: differences, means by label count, and the models as they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from medvol.metrics import crossed_interval

from ..formatting import (
    arm_text,
    count_name,
    count_text,
    decimals,
    fixed,
    headline,
    interval_text,
    p_text,
    score_text,
    signed,
)
from ..planning.design import Score
from ..rules import too_little
from ..tables.cubes import cube
from .document import Part, Picture, Prose, Section, Table
from .findings import Findings
from .plots import Bar, draw_efficiency, draw_forest
from .spending import budget_text, pretraining_text
from .summary import family_text, main_verdicts

if TYPE_CHECKING:
    from ..judging.verdict import Verdict

__all__ = ["differences_section", "efficiency_section", "given_section", "scores_section"]

_MOST = 24  # rows of a table beside a plot of the same numbers


def differences_section(findings: Findings) -> Section:
    """A forest plot per family of comparisons, and their numbers."""
    parts: list[Part] = []
    score = findings.study.scores[0]
    unit = score_text(score.metric, score.region)
    better = "" if score.higher_is_better else " (turned around, so that right is better)"
    for number, (family, group) in enumerate(_families(findings)):
        bars = _bars(findings, [v for v in group if v.gain is not None])
        if not bars:
            continue
        told = "; ".join(f"{bar.label}, {bar.group}: {signed(bar.mean)}, {bar.word}" for bar in bars)
        parts.append(
            Picture(
                f"differences{number or ''}", draw_forest(bars, findings.study.margin, unit),
                f"{family}: differences of {unit}. {told}.",
                f"{family}: difference of {unit}{better}, mean and 95 % interval, seeds and patients random. "
                f"Gray band: smaller than the margin of {findings.study.margin:g}.",
            )
        )  # fmt: skip
    rows = [_difference_row(findings, verdict) for verdict in findings.verdicts]
    columns = (
        "arm", "labelled patients", "against", "score", "verdict", "difference", "95 % interval", "p", "p (Holm)",
        "seeds", "test patients",
    )  # fmt: skip
    if rows:
        note = (
            "The verdict rests on the first score of the study; others are secondary, in Holm families of their own. "
            "Intervals lie symmetrically about the difference and may reach beyond what the score can take."
        )
        parts.append(
            Table(
                "Differences, arm minus the arm it is compared with",
                columns,
                tuple(rows),
                words=5,
                note=note,
                folded=len(rows) > _MOST,
            )
        )
    return Section("differences", "Differences", tuple(parts))


def _bars(findings: Findings, verdicts: list[Verdict]) -> list[Bar]:
    """Arms below each label count; label counts below each pair of arms."""
    arms, counts = list(findings.study.arms), findings.study.counts
    chosen = bool(verdicts) and verdicts[0].family == "chosen pair"
    turn = -1 if chosen else 1
    bars = []
    for v in sorted(verdicts, key=lambda v: (counts.index(v.count), arms.index(v.arm))[::turn]):
        labels = (count_text(v.count, findings.labelled), f"{v.arm} against {v.against}" if chosen else v.arm)
        ends = (np.nan if x is None else x for x in (v.gain, v.gain_low, v.gain_high))
        bars.append(Bar(*labels[::turn], v.word, *ends))
    return bars


def _families(findings: Findings) -> Iterator[tuple[str, list]]:
    for family, group in itertools.groupby(main_verdicts(findings), family_text):
        yield family, list(group)


def _difference_row(findings: Findings, v) -> tuple[str, ...]:
    digits = decimals(v.metric)
    arm = f"{v.variant}: {v.arm}" if v.variant else v.arm
    role = "" if v.role == "main" else " (secondary)"
    score = score_text(v.metric, v.region, v.higher_is_better)
    return (
        arm, count_name(v.count, findings.labelled), v.against, f"{score}{role}", v.word, signed(v.difference, digits),
        interval_text(v.low, v.high, digits, sign=True), p_text(v.p), p_text(v.holm), str(v.seeds), str(v.patients),
    )  # fmt: skip


def scores_section(findings: Findings) -> Section:
    """Mean, spread and interval of every arm at every label count, beside what it cost."""
    parts: list[Part] = [
        Prose(
            "A patient's images are averaged first. The s.d. is that of the means of single seeds; the interval is of "
            "the mean, with seeds and patients random. Intervals of two arms may overlap although their paired "
            "difference is clear: the differences above are what counts."
        )
    ]
    for place, (score, variant) in enumerate(itertools.product(findings.study.scores, findings.variants)):
        rows = [
            _score_row(findings, score, arm, count, variant)
            for count in findings.study.counts
            for arm in findings.study.arms
        ]
        columns = (
            "labelled patients", "arm", "mean", "s.d. over seeds", "95 % interval", "seeds", "test patients",
            "budget of fine-tuning", "pre-training, each seed",
        )  # fmt: skip
        title = headline(score_text(score.metric, score.region)) + (f", {variant}" if variant else "")
        caption = f"{title}: {_direction(score)}"
        parts.append(Table(caption, columns, tuple(rows), words=2, texts=2, folded=place >= len(findings.variants)))
    return Section("scores", "Scores by label count", tuple(parts))


def _direction(score: Score) -> str:
    return "higher is better" if score.higher_is_better else "lower is better"


def _score_row(findings: Findings, score: Score, arm: str, count: int | str, variant: str) -> tuple[str, ...]:
    values, digits = _values(findings, score, arm, count, variant), decimals(score.metric)
    seeds, patients = values.shape if values.size else (0, 0)
    spread = fixed(float(values.mean(1).std(ddof=1)), digits) if seeds > 1 else "-"
    mean, low, high = _interval(values)
    return (
        count_name(count, findings.labelled), arm, fixed(mean, digits), spread, interval_text(low, high, digits),
        str(seeds), str(patients),
        budget_text(findings, arm, count, variant), pretraining_text(findings, arm),
    )  # fmt: skip


def _values(findings: Findings, score: Score, arm: str, count: int | str, variant: str) -> np.ndarray:
    """``(S, P)`` scores; without those replicates that miss a patient."""
    values = np.asarray(cube(findings.collected, score, arm, count, variant).values, dtype=np.float64)
    return values[np.isfinite(values).all(axis=1)] if values.size else values


def _interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean with its interval; no interval for what would not be judged either."""
    if not values.size:
        return np.nan, np.nan, np.nan
    if too_little(values):
        return float(values.mean()), np.nan, np.nan
    found = crossed_interval(values)
    return found.mean, found.low, found.high


def efficiency_section(findings: Findings) -> Section:
    """How the main score grows with labels, and with how few an arm is as good as the reference with all."""
    score, counts = findings.study.scores[0], [count_name(count, findings.labelled) for count in findings.study.counts]
    name, parts = score_text(score.metric, score.region), list[Part]()
    for number, variant in enumerate(findings.variants):
        lines = {
            arm: [_interval(_values(findings, score, arm, count, variant)) for count in findings.study.counts]
            for arm in findings.study.arms
        }
        lines = {arm: points for arm, points in lines.items() if np.isfinite([mean for mean, *_ in points]).any()}
        if not lines:
            continue
        title = f", {variant}" if variant else ""
        told = "; ".join(
            f"{arm}: "
            + ", ".join(f"{fixed(mean)} with {count}" for count, (mean, *_) in zip(counts, points, strict=True))
            for arm, points in lines.items()
        )
        parts.append(
            Picture(
                f"labels{number or ''}", draw_efficiency(lines, counts, name),
                f"{headline(name)} by the number of labelled patients{title}. {told}.",
                f"{headline(name)} by the number of labelled patients{title}: mean and 95 % interval; the label counts "
                "stand at equal distances.",
            )
        )  # fmt: skip
    rows = [
        (
            *([row.variant] if any(findings.variants) else []),
            arm_text(row.arm, row.budget),
            row.status,
            count_name(row.smallest_count, findings.labelled) if row.smallest_count else "-",
            row.sentence,
        )
        for row in findings.equivalence.itertuples(index=False)
    ]
    if rows:
        columns = ("arm", "as good as all labels", "smallest label count", "in words")
        columns = (*(["variant"] if any(findings.variants) else []), *columns)
        title = f"With how few labels an arm is not worse than {findings.study.reference} with all of them"
        parts.append(Table(title, columns, tuple(rows), words=len(columns)))
    return Section("labels", "Labels saved", tuple(parts))


def given_section(findings: Findings) -> Section:
    """What the same models would show on other patients, where the spread comes from, and what more runs would show."""
    main = findings.study.scores[0]
    digits, name = decimals(main.metric), score_text(main.metric, main.region, main.higher_is_better)
    rows, spreads = [], []
    for v in main_verdicts(findings):
        arm = f"{v.variant}: {v.arm}" if v.variant else v.arm
        head = (arm, count_name(v.count, findings.labelled), v.against)
        if v.low is None:
            continue
        rows.append(
            (
                *head,
                signed(v.difference, digits),
                interval_text(v.given_low, v.given_high, digits, sign=True),
                p_text(v.given_p),
            )
        )
        spreads.append((
            *head, fixed(v.sd_seed, digits), fixed(v.sd_patient, digits), fixed(v.sd_residual, digits),
            fixed(v.smallest_difference, digits), _needed(v.seeds_needed, v.seeds),
            _needed(v.patients_needed, v.patients),
        ))  # fmt: skip
    if not rows:
        return Section("given", "These models, and larger studies", ())
    parts = (
        Prose(
            "Given these trained models, and other patients only: the spread between seeds is left out, so these "
            "intervals are too narrow to say what pre-training does. No verdict rests on them."
        ),
        Table(
            f"Given these trained models, {name}: bootstrap and sign permutation over test patients",
            ("arm", "labelled patients", "against", "difference", "95 % interval", "p"), tuple(rows), words=3,
        ),
        Table(
            f"Where the spread of the differences comes from, {name}, and what a larger study could show",
            ("arm", "labelled patients", "against", "s.d. of seeds", "s.d. of test patients", "s.d. of the rest",
             "smallest difference shown", "seeds for the observed one", "test patients for the observed one"),
            tuple(spreads), words=3,
            note="Smallest difference shown: the true difference that this design finds in four of five such studies. "
            "Seeds, or test patients, for the observed one: how many would show it as often, the other number "
            "unchanged.",
        ),
    )  # fmt: skip
    return Section("given", "These models, and larger studies", parts)


def _needed(number: int | None, now: int) -> str:
    if number is None:
        return "more than 1000"
    return str(number) if number > now else f"{number} (here: {now})"
