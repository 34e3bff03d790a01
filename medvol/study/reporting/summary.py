"""The beginning of a report: what was asked, what came out, and what a reader must know before the numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..formatting import count_name, count_text, headline, plural, score_text
from .document import SIGNS, Claim, Notice, Table
from .findings import Findings

if TYPE_CHECKING:
    from ..judging.verdict import Verdict

__all__ = ["answer", "claims", "main_verdicts", "notices", "overview"]


_STATES = {"failed": "failed", "refused": "left out", "unfinished": "not finished yet"}
_MOST = 12  # claims that a reader looks through


def main_verdicts(findings: Findings) -> list[Verdict]:
    """The comparisons of the main score."""
    return [verdict for verdict in findings.verdicts if verdict.role == "main"]


def answer(findings: Findings) -> str:
    """All verdicts against the reference arm in one sentence."""
    found = [verdict for verdict in main_verdicts(findings) if verdict.family == "reference"]
    if not found:
        return "Nothing to judge: no other arm has the budget of the reference arm."
    words = Counter(verdict.word for verdict in found)
    compared, open_ = plural(len(found), "comparison"), words["not judged"]
    if open_ == len(found):
        return f"Nothing is judged yet: {open_} of {compared}."
    # Only where everything is judged can it be said that no arm does something.
    parts = [
        "; ".join(_named(findings, found, word)) or ("" if open_ else f"no arm {word}") for word in ("helps", "harms")
    ]
    rest = {"no evidence": "shows no evidence of a difference", "not judged": "is not judged"}
    many = {"no evidence": "show no evidence of a difference", "not judged": "are not judged"}
    parts += [
        f"{words[word]} of {compared} {(rest if words[word] == 1 else many)[word]}" for word in rest if words[word]
    ]
    return f"Compared with {findings.study.reference}: {'; '.join(filter(None, parts))}."


def _named(findings: Findings, found: list[Verdict], word: str) -> list[str]:
    """Arms with the label counts at which they got the word."""
    counts: dict[str, list[str]] = {}
    for verdict in found:
        if verdict.word == word:
            name = f"{verdict.arm} ({verdict.variant})" if verdict.variant else verdict.arm
            counts.setdefault(name, []).append(count_name(verdict.count, findings.labelled))
    return [f"{name} {word} with {count_text(' and '.join(filter(None, [', '.join(known[:-1]), known[-1]])))}"
            for name, known in counts.items()]  # fmt: skip


def notices(findings: Findings) -> tuple[Notice, ...]:
    """Unfinished or failed runs, other problems, and synthetic data."""
    found = []
    states = Counter(str(state) for state in findings.collected.runs["state"])
    done, planned = states["done"], len(findings.plan.runs)
    problems = tuple(findings.collected.problems)
    if done < planned:
        rest = ", ".join(f"{states[state]} {word}" for state, word in _STATES.items() if states[state])
        text = f"{done} of {planned} runs finished ({rest}); everything below is of those alone"
        found.append(Notice(f"{text}." if not problems else f"{text}:", problems))
    elif problems:
        found.append(Notice("these results need care:", problems))
    simulated = {key for key, record in findings.records.items() if record.data.get("synthetic")}
    pretrained = [run.arm for run in findings.plan.runs if run.key in simulated and run.kind == "pretrain"]
    if any(run.key in simulated and run.kind != "pretrain" for run in findings.plan.runs):
        found.append(Notice("the data are synthetic: the scores say nothing about real images."))
    elif pretrained:
        arms = ", ".join(dict.fromkeys(pretrained))
        found.append(Notice(f"{arms}: pre-trained on synthetic data; all scores are of the study's own images."))
    return tuple(found)


def claims(findings: Findings) -> tuple[Claim, ...]:
    """One line per comparison of the main score."""
    found = main_verdicts(findings)
    # The reference comes first; on a page of many claims the other families open when they are asked for.
    fold = len(found) > _MOST
    return tuple(
        Claim(v.word, f"{family_text(v)}: {words}", v.sentence, fold and v.family != "reference")
        for v, words in ((v, count_text(v.count, findings.labelled)) for v in found)
    )


def family_text(verdict: Verdict) -> str:
    """What a comparison is against, in words."""
    kinds = {"longer scratch": ", which trains longer from scratch", "same budget": ", of the same budget"}
    start = f"{verdict.variant}: compared" if verdict.variant else "Compared"
    if verdict.family == "chosen pair":
        return f"{start} pair by pair"
    return f"{start} with {verdict.against}{kinds.get(verdict.family, '')}"


def overview(findings: Findings) -> Table | None:
    """The words alone: a row per arm, a column per label count; None if nothing is compared."""
    found = main_verdicts(findings)
    if not found:
        return None
    cells = {(v.variant, v.against, v.arm, str(v.count)): f"{SIGNS[v.word]} {v.word}" for v in found}
    counts = [str(count) for count in findings.study.counts]
    several = len({(v.variant, v.against) for v in found}) > 1
    rows = []
    for variant, against, arm in dict.fromkeys(key[:3] for key in cells):
        head = (*([variant] if any(findings.variants) else []), *([against] if several else []))
        rows.append((arm, *head, *(cells.get((variant, against, arm, count), "-") for count in counts)))
    heads = (*(["variant"] if any(findings.variants) else []), *(["against"] if several else []))
    columns = ("arm", *heads, *(count_name(count, findings.labelled) for count in counts))
    caption = f"{headline(score_text(found[0].metric, found[0].region))} by the number of labelled patients"
    if not several:
        caption += f", compared with {found[0].against}"
    return Table(caption, columns, tuple(rows), words=len(columns))
