"""The section of a report about corrupted test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..formatting import arm_text, count_text, decimals, fixed, interval_text, score_text, signed
from .document import Part, Picture, Prose, Section, Table
from .findings import Findings
from .plots import draw_drops

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["robustness_section"]


def robustness_section(findings: Findings) -> Section:
    """How far each arm falls under each corruption, and whether it falls less than the reference."""
    frame, score = findings.robustness, findings.study.scores[0]
    if frame.empty:
        return Section("robustness", "Corrupted images", ())
    frame = frame[(frame["metric"] == score.metric) & (frame["region"] == score.region)]
    name, digits = score_text(score.metric, score.region), decimals(score.metric)
    reference = findings.study.reference
    parts: list[Part] = [
        Prose(
            f"The finished models on corrupted copies of the test images. Loss: how much worse {name} is than on the "
            f"clean images. Compared with {reference}: the arm's loss minus that of {reference}, so a negative number "
            "means that the arm loses less. Intervals treat seeds and patients as random and are not adjusted for the "
            "number of comparisons."
        )
    ]
    for (variant, count), group in frame.groupby(["variant", "count"], sort=False):
        title = f"{count_text(count, findings.labelled)}{f', {variant}' if variant else ''}"
        wide = _wide(group)
        if wide.notna().any(axis=None):
            mean = wide.iloc[-1]
            told = "; ".join(f"{arm} loses {fixed(float(mean[arm]), digits)}" for arm in wide.columns)
            parts.append(
                Picture(
                    f"robustness{len([p for p in parts if isinstance(p, Picture)]) or ''}", draw_drops(wide, name),
                    f"Loss of {name} by corruption and arm, {title}. On average {told}.",
                    f"Loss of {name} by corruption, mean over severities; {title}. Darker is worse.",
                )
            )  # fmt: skip
        parts.append(_table(group, name, digits, title))
    return Section("robustness", "Corrupted images", tuple(parts))


def _wide(group: pd.DataFrame) -> pd.DataFrame:
    """Mean drop over severities; corruptions as rows, their mean last, and arms as columns, in the study's order."""
    rows, columns = list(dict.fromkeys(group["corruption"])), list(dict.fromkeys(group["arm"]))
    wide = group.pivot_table(index="corruption", columns="arm", values="drop", aggfunc="mean", dropna=False)
    return wide.reindex(index=[*(row for row in rows if row != "mean"), "mean"], columns=columns)


def _table(group: pd.DataFrame, name: str, digits: int, title: str) -> Table:
    rows = tuple(
        (
            str(row.corruption).replace("_", " "), str(row.severity) if row.severity else "all",
            arm_text(row.arm, row.budget),
            fixed(row.clean, digits), fixed(row.corrupted, digits), fixed(row.drop, digits),
            interval_text(row.low, row.high, digits, sign=True), signed(row.against, digits),
            interval_text(row.against_low, row.against_high, digits, sign=True), str(row.seeds), str(row.note or "-"),
        )
        for row in group.itertuples(index=False)
    )  # fmt: skip
    columns = (
        "corruption", "severity", "arm", "clean", "corrupted", "loss", "95 % interval", "compared with the reference",
        "95 % interval", "seeds", "note",
    )  # fmt: skip
    kept = [place for place in range(len(columns)) if place < 10 or any(row[place] != "-" for row in rows)]
    rows = tuple(tuple(row[place] for place in kept) for row in rows)
    columns = tuple(columns[place] for place in kept)
    return Table(f"{name} on corrupted images, {title}", columns, rows, words=3, folded=len(rows) > 12)
