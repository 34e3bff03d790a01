"""The end of a report: tables of papers, how to read it, and everything that another person needs to run it again."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from ..formatting import count_name, decimals, duration_text, fixed, listed, plural, score_text
from ..tables.cubes import cube
from .document import Code, Part, Prose, Section, Table
from .findings import Findings

__all__ = ["published_section", "reading_section", "recipe_section"]

_WIDEST = 100  # letters of a line of JSON
_KINDS = {"pretrain": "pre-training", "tune": "tuning", "finetune": "fine-tuning"}


def published_section(findings: Findings) -> Section:
    """Tables of papers as they were printed, apart from the study's own."""
    parts: list[Part] = []
    for table in findings.study.published:
        parts.append(Prose(f"Source: {table.citation}"))
        parts.append(Table(f"Published, not ours: {table.title}", table.columns, table.rows, note=table.note))
    if parts:
        sentence = (
            "These numbers were printed by others, from other data, splits and code. They stand here for orientation "
            "and enter no comparison of this study."
        )
        parts = [Prose(sentence), _ours(findings), *parts]
    return Section("published", "Published tables", tuple(parts))


def _ours(findings: Findings) -> Table:
    """The means of this study in the form in which papers print theirs."""
    score, counts = findings.study.scores[0], findings.study.counts
    rows = []
    for variant in findings.variants:
        for arm in findings.study.arms:
            cubes = [cube(findings.collected, score, arm, count, variant).values for count in counts]
            means = (fixed(float(values.mean()), decimals(score.metric)) if values.size else "-" for values in cubes)
            rows.append((f"{arm}, {variant}" if variant else arm, *means))
    title = f"Ours: {score_text(score.metric, score.region)}, mean over test patients and seeds, by labelled patients"
    return Table(title, ("arm", *(count_name(count, findings.labelled) for count in counts)), tuple(rows))


def reading_section(findings: Findings) -> Section:
    """Five sentences for a clinician."""
    study = findings.study
    main = score_text(study.scores[0].metric, study.scores[0].region)
    sentences = (
        f"Each arm is one way to start the same training, and “{study.reference}” is the start that the others are "
        "compared with; a label count is the number of patients whose labels the training may see.",
        f"“Helps” and “harms” mean that a difference of the mean {main} this large would be rare if there were "
        "none, counting both that other seeds give other models and that other test patients give other scores, and "
        "after allowing for the number of arms (Holm).",
        "“No evidence” does not mean that there is no effect: look at the interval, which holds the differences "
        "that fit these data, and at the smallest difference that this study could show.",
        f"The study file calls a difference below its margin of {study.margin:g} too small to matter; whether any of "
        "this helps a patient is not measured here.",
        "“Not judged” means that there are fewer than three seeds or two test patients: one training run against "
        "another shows luck as often as merit.",
    )
    return Section("reading", "How to read this", (Prose("In five sentences:", sentences),))


def recipe_section(findings: Findings) -> Section:
    """Commands, study file, seeds, machine, dates, versions, hashes, and every run."""
    study, records = findings.study, findings.records.values()
    place = " --dataset_dir <folder of the images>" if findings.plan.dataset_dir else ""
    commands = [
        f"python -m medvol study plan study.json --out again{place}",
        f"python -m medvol study run study.json --out again{place}",
        "python -m medvol study report study.json --out again",
    ]
    data = {(str(r.data.get("name")), str(r.data.get("hash")), str(r.data.get("licence"))) for r in records if r.data}
    facts = [
        ("finished on", _span([str(r.state["finished"]) for r in records if r.state.get("finished")])),
        ("machine", listed(sorted({r.machine for r in records if r.machine}))),
        *((name, listed(sorted({r.versions[name] for r in records if name in r.versions})))
          for name in sorted({name for r in records for name in r.versions})),
        *((f"data: {name}", f"hash {digest}; licence: {licence}") for name, digest, licence in sorted(data)),
        ("time of all runs", f"{duration_text(_seconds(findings))}; of runs that were stopped, what they took since"),
    ]  # fmt: skip
    seeds = tuple((str(r.index), str(r.pretraining), str(r.subset), str(r.finetuning)) for r in study.replicates)
    parts = (
        Code("Commands, with the study file below as study.json:", "\n".join(commands)),
        Table("Seeds", ("replicate", "pre-training", "drawn patients", "fine-tuning"), seeds),
        Table("Machine, versions and data", ("what", "value"), tuple(facts), words=2),
        Code("The study file", _compact(study.raw), folded=True),
        _runs_table(findings),
    )
    return Section("recipe", "How to run it again", parts)


def _compact(value: Any, start: str = "") -> str:
    """JSON with an entry on one line where it fits; ``start`` is what stands before the value on its line."""
    line = json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or (start and len(start) + len(line) <= _WIDEST):
        return line
    pad = " " * (len(start) - len(start.lstrip()) + 1)
    if isinstance(value, dict):
        entries = [(f"{pad}{json.dumps(key, ensure_ascii=False)}: ", entry) for key, entry in value.items()]
    else:
        entries = [(pad, entry) for entry in value]
    inside = ",\n".join(f"{before}{_compact(entry, before)}" for before, entry in entries)
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{inside}\n{pad[1:]}{last}"


def _seconds(findings: Findings) -> float:
    """Seconds of all runs; a tuning run that won is the grid's run, too, and counts once."""
    return float(findings.collected.runs.groupby("run_dir")["seconds"].max().sum())


def _span(dates: list[str]) -> str:
    first, last = min(dates, default="-"), max(dates, default="-")
    return first if first == last else f"{first} to {last}"


def _runs_table(findings: Findings) -> Table:
    runs = findings.collected.runs
    rows = []
    for run in runs.itertuples(index=False):
        record = findings.records.get(run.key)
        finished = str(record.state.get("finished") or "-") if record else "-"
        rate = f"{run.learning_rate:g}" if run.learning_rate == run.learning_rate and run.learning_rate else "-"
        rows.append((
            run.key, _KINDS.get(run.kind, run.kind), str(run.state), str(run.hash or "-")[:8], finished, f"{run.steps}",
            f"{run.examples}", rate, duration_text(run.seconds),
        ))  # fmt: skip
    states = Counter(str(state) for state in runs["state"])
    caption = f"All {plural(len(runs), 'run')}: " + ", ".join(f"{number} {state}" for state, number in states.items())
    columns = ("run", "kind", "state", "hash", "finished", "steps", "examples", "learning rate", "time")
    return Table(caption, columns, tuple(rows), words=5, folded=True)
