"""Sections of a report about single patients: every patient of two arms, and pictures of test cases."""

from __future__ import annotations

from ..formatting import count_text, decimals, fixed, headline, plural, score_text
from ..tables.cubes import cube
from ..tables.pairing import Pairing, pair
from .document import Part, Picture, Prose, Section
from .findings import Findings
from .overlays import legend_text, read_overlays
from .plots import draw_pairs

__all__ = ["cases_section", "main_arm", "patients_section"]


def main_arm(findings: Findings) -> str | None:
    """The arm whose pictures are shown: the first that is compared with the reference; None without any."""
    others = [arm for arm in findings.study.arms if arm != findings.study.reference]
    compared = [v.arm for v in findings.verdicts if v.family == "reference"]
    return next(iter([*compared, *others]), None)


def patients_section(findings: Findings) -> Section:
    """One dot per patient: the arm against the reference, both averaged over seeds."""
    reference = findings.study.reference
    score = findings.study.scores[0]
    name = score_text(score.metric, score.region)
    parts: list[Part] = []
    # An arm of another budget is not compared with the reference, here as little as in the verdicts.
    compared = {v.arm for v in findings.verdicts if v.family == "reference"}
    for variant in findings.variants:
        for arm in findings.study.arms:
            pairings = _pairings(findings, arm, variant) if arm in compared else []
            if not pairings:
                continue
            panels = [(count_text(count, findings.labelled), p.against.mean(0), p.arm.mean(0)) for count, p in pairings]
            sign = 1 if score.higher_is_better else -1
            told = "; ".join(
                f"{count_text(count, findings.labelled)}: {((sign * (p.arm - p.against).mean(0)) > 0).sum()} of "
                f"{plural(len(p.patients), 'test patient')} better with {arm}"
                for count, p in pairings
            )
            side = "above" if score.higher_is_better else "below"
            title = f"{arm}{f', {variant}' if variant else ''} against {reference}"
            parts.append(
                Picture(
                    f"patients{len(parts) or ''}", draw_pairs(panels, arm, reference, name),
                    f"{headline(name)} of every test patient, {title}. {told}.",
                    f"{title}: a dot per test patient, mean over seeds; {side} the line, {arm} is better. {told}.",
                )
            )  # fmt: skip
    return Section("patients", "Patient by patient", tuple(parts))


def _pairings(findings: Findings, arm: str, variant: str) -> list[tuple[int | str, Pairing]]:
    score, reference = findings.study.scores[0], findings.study.reference
    found = [
        (count, pair(*(cube(findings.collected, score, name, count, variant) for name in (arm, reference))))
        for count in findings.study.counts
    ]
    return [(count, pairing) for count, pairing in found if not pairing.problem]


def cases_section(findings: Findings) -> Section:
    """The best, the median and the worst test case of the main arm beside the reference's."""
    arms = [arm for arm in (findings.study.reference, main_arm(findings)) if arm]
    variant, count = findings.variants[0], findings.study.counts[-1]
    runs = findings.collected.runs
    places, legend = [], ""
    for arm in arms:
        chosen = runs[
            (runs["kind"] == "finetune") & (runs["arm"] == arm) & (runs["variant"] == variant)
            & (runs["count"] == str(count)) & (runs["replicate"] == findings.study.replicates[0].index)
            & (runs["state"] == "done")
        ]  # fmt: skip
        places += [(arm, str(place)) for place in chosen["run_dir"] if place]
        legend = legend or next((_legend(findings, key) for key in chosen["key"]), "")
    scores = _case_scores(findings, variant, str(count))
    pictures = read_overlays(findings.folder, places, scores, legend, findings.study.section)
    if not pictures:
        return Section("cases", "Best, median and worst cases", ())
    sentence = (
        f"Test cases of {' and '.join(arm for arm, _ in places)}{f', {variant}' if variant else ''}, first replicate, "
        f"{count_text(count, findings.labelled)}. Best, median and worst are by each arm's own scores, so the cases "
        "of two arms may differ. The pictures stand in report.html alone."
    )
    return Section("cases", "Best, median and worst cases", (Prose(sentence), *pictures))


def _legend(findings: Findings, key: str) -> str:
    record = findings.records.get(key)
    passport = record.passport if record else {}
    is_volume = (passport.get("architecture") or {}).get("spatial_dims") == 3
    return legend_text((passport.get("data") or {}).get("label_map") or {}, is_volume)


def _case_scores(findings: Findings, variant: str, count: str) -> dict[tuple[str, str], str]:
    """Main score of every case of the first replicate, in words, by arm and case."""
    score, scores = findings.study.scores[0], findings.collected.scores
    chosen = scores[
        (scores["variant"] == variant) & (scores["count"] == count) & (scores["metric"] == score.metric)
        & (scores["region"] == score.region) & (scores["replicate"] == findings.study.replicates[0].index)
    ]  # fmt: skip
    name, digits = score_text(score.metric, score.region), decimals(score.metric)
    return {(row.arm, row.case): f"{name} {fixed(row.value, digits)}" for row in chosen.itertuples(index=False)}
