"""Sections of a report about training: how fast each arm learns, and with which learning rate."""

from __future__ import annotations

import itertools
from typing import Any

from ..formatting import arm_text, count_name, count_text, decimals, fixed, interval_text, score_text, signed
from .document import Part, Picture, Prose, Section, Table
from .findings import Findings
from .plots import draw_curves

__all__ = ["convergence_section", "tuning_section"]


def convergence_section(findings: Findings) -> Section:
    """Validation curves with a band over seeds, and how soon each arm reaches what scratch ends with."""
    study, curves = findings.study, findings.collected.curves
    score, parts = study.scores[0], list[Part]()
    name = score_text(score.metric, score.region)
    for variant, count in itertools.product(findings.variants, study.counts):
        chosen = curves[
            (curves["variant"] == variant) & (curves["count"] == str(count)) & (curves["name"] == score.curve)
        ]
        if chosen.empty:
            continue
        title = f"{count_text(count, findings.labelled)}{f', {variant}' if variant else ''}"
        last = chosen.sort_values("examples").groupby(["arm", "replicate"], sort=False)["value"].last()
        told = "; ".join(
            f"{arm} ends at {fixed(last[arm].mean(), decimals(score.metric))}"
            for arm in study.arms
            if arm in last.index.get_level_values("arm")
        )
        target = _target(findings, variant, count)
        several = len(study.replicates) > 2
        band = "mean over seeds, band: one s.d. to either side" if several else "a line per seed"
        parts.append(
            Picture(
                f"curves{len(parts) or ''}", draw_curves(chosen, list(study.arms), f"validation {name}", target),
                f"Validation {name} during training, {title}. {told}.", f"{title}: {band}.",
            )
        )  # fmt: skip
    table = _convergence_table(findings)
    if table.rows:
        parts += [Prose(_RULES.format(reference=study.reference)), table]
    return Section("curves", "How fast it learns", tuple(parts))


_RULES = (
    "Target: 95 % of what {reference} ends with at the same label count (of a distance: 95 % of the way down to it). "
    "Steps to the target: median over seeds, at the first evaluation that reaches it; where too few seeds reach it, "
    "there is no number, and the runs that never did are counted. Area: the mean height of the curve over the "
    "examples that all arms have seen, with the paired difference to {reference} and its interval over seeds."
)


def _target(findings: Findings, variant: str, count: int | str) -> float | None:
    score, frame = findings.study.scores[0], findings.convergence
    chosen = frame[
        (frame["variant"] == variant) & (frame["count"] == str(count)) & (frame["metric"] == score.metric)
        & (frame["region"] == score.region)
    ]  # fmt: skip
    return None if chosen.empty else float(chosen["target"].iloc[0])


def _convergence_table(findings: Findings) -> Table:
    score, frame = findings.study.scores[0], findings.convergence
    digits = decimals(score.metric)
    shown = frame[(frame["metric"] == score.metric) & (frame["region"] == score.region)]
    notes = dict.fromkeys(f"{row.arm}: {row.note}." for row in shown.itertuples(index=False) if row.note)
    rows = [
        (
            *([row.variant] if any(findings.variants) else []), count_name(row.count, findings.labelled),
            arm_text(row.arm, row.budget), _steps(row),
            f"{row.reached} of {row.reached + row.censored}", fixed(row.target, digits), fixed(row.area, digits),
            signed(row.area_difference, digits), interval_text(row.area_low, row.area_high, digits, sign=True),
            fixed(row.final, digits), fixed(row.final_sd, digits),
        )
        for row in shown.itertuples(index=False)
    ]  # fmt: skip
    heads = (*(["variant"] if any(findings.variants) else []), "labelled patients", "arm")
    columns = (
        *heads, "steps to the target", "seeds that reach it", "target", "area", "area, difference", "95 % interval",
        "end", "s.d. over seeds",
    )  # fmt: skip
    caption = f"Convergence of the validation {score_text(score.metric, score.region, score.higher_is_better)}"
    return Table(caption, columns, tuple(rows), words=len(heads), note=" ".join(notes))


def _steps(row: Any) -> str:
    """The median, or that it lies beyond the runs' end."""
    if row.steps == row.steps:
        return f"{row.steps:g}"
    return "not reached" if row.censored else "-"


def tuning_section(findings: Findings) -> Section:
    """The learning rates that were tried for each arm, and the chosen one."""
    tuning, rule = findings.collected.tuning, findings.study.tuning
    if rule is None or tuning.empty:
        return Section("tuning", "Learning rates", ())
    digits = decimals(findings.study.scores[0].metric)
    rates = sorted({float(rate) for rate in tuning["learning_rate"]})
    rows, at_end = [], []
    for arm in dict.fromkeys(tuning["arm"]):
        mine = tuning[tuning["arm"] == arm].set_index("learning_rate")
        chosen = [f"{rate:g}" for rate in rates if rate in mine.index and bool(mine.loc[rate, "chosen"])]
        values = (fixed(float(mine.loc[rate, "value"]), digits) if rate in mine.index else "-" for rate in rates)
        rows.append((arm, *values, ", ".join(chosen) or "-"))
        ends = {f"{rates[0]:g}": "smaller", f"{rates[-1]:g}": "larger"} if len(rates) > 1 else {}
        at_end += [f"{arm}: a {ends[rate]} rate than any tried may suit it better" for rate in chosen if rate in ends]
    scored = "the test patients were not looked at"
    if findings.study.section == "validation":
        scored = "the same patients are scored in this report, which flatters every arm"
    sentence = (
        f"Chosen once per arm, with {count_text(rule.count, findings.labelled)} and replicate {rule.replicate}, by "
        f"the last validation score; {scored}. The chosen rate holds for all label counts and seeds."
    )
    columns = ("arm", *(f"{rate:g}" for rate in rates), "chosen")
    score = findings.study.scores[0]
    caption = f"Validation {score_text(score.metric, score.region, score.higher_is_better)} by learning rate"
    table = Table(caption, columns, tuple(rows))
    taken = [
        f"{arm.name}: the rate of {arm.learning_rate}" if isinstance(arm.learning_rate, str)
        else f"{arm.name}: {arm.learning_rate:g}, fixed by the study"
        for arm in findings.study.arms.values() if arm.learning_rate is not None
    ]  # fmt: skip
    return Section("tuning", "Learning rates", (Prose(sentence, (*taken, *at_end)), table))
