"""Whether the runs of a study can be compared: same cases, same data, same code, all seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..formatting import count_text, plural
from ..planning.design import Study
from .leftovers import Leftover
from .rows import Scores

__all__ = ["check_cases", "check_corrupted", "check_finite", "told"]


def check_cases(leftovers: Sequence[Leftover], study: Study) -> list[str]:
    """Refuse runs that were not scored on the same cases as the others, and name arms with other patients.

    Expected are the cases, regions and metrics of most runs of a variant. A run with fewer is refused; rows that the
    others do not have are left out. An arm whose runs agree with one another on other patients keeps its scores, but
    is compared with no arm that has not the same.

    Args:
        leftovers: of fine-tunings; those of ``state`` other than ``done`` are not looked at.
        study: its arms.

    Returns:
        Problems, a sentence each; ``leftovers`` is changed.
    """
    problems: list[str] = []
    for variant in study.variants:
        done = [left for left in leftovers if left.run.variant == variant and left.scores is not None]
        if not done:
            continue
        expected = _expected(done, study.reference)
        for arm in study.arms:
            runs = [left for left in done if left.run.arm == arm]
            problems += _check_arm(runs, expected, f"{_words(variant, arm)}")
    return problems


def check_corrupted(leftovers: Iterable[Leftover]) -> None:
    """Leave out corrupted scores on other cases than the clean ones of the same run; the run then says so."""
    for left in leftovers:
        for what, found in list(left.corrupted.items()):
            if left.scores is None or found.identity == left.scores.identity:
                continue
            lacking = sorted(left.scores.keys - found.keys)
            if lacking:
                case, *rest = lacking[0]
                left.problems.append(
                    f"its scores under {what[0]}, severity {what[1]}, are left out: {len(lacking)} scores of the clean "
                    f"images are missing, such as {' '.join(rest)} of {case}"
                )
                del left.corrupted[what]
            else:
                left.corrupted[what] = found.only(left.scores.keys)


def check_finite(leftovers: Iterable[Leftover], study: Study) -> None:
    """Refuse runs that have no finite value of a score that is to be judged."""
    for left in leftovers:
        if left.scores is None:
            continue
        finite = np.isfinite(left.scores.values)
        for score in study.scores:
            rows = zip(left.scores.metrics, left.scores.regions, finite, strict=True)
            mine = [
                good for metric, region, good in rows if metric == score.metric and score.region in (region, "mean")
            ]
            if mine and not any(mine):
                left.refuse(f"none of its values of {score.name} is a finite number")
                break


def told(leftovers: Sequence[Leftover], study: Study) -> Iterator[str]:
    """Yield what a reader must know about the runs as a whole, a sentence each.

    Failed, refused and unfinished runs by name; label counts with fewer replicates than planned; more than one data
    set, version (of runs, or of scorings) or learning rate where there should be one.
    """
    for left in leftovers:
        if left.state in ("failed", "refused"):
            word = "failed" if left.state == "failed" else "has finished, but is left out"
            yield f"{left.run.key} {word}: {left.error or 'no reason was kept'}"
        yield from (f"{left.run.key}: {problem}" for problem in left.problems)
    open_runs = [left.run.key for left in leftovers if left.state == "unfinished"]
    if open_runs:
        yield f"{len(open_runs)} of {len(leftovers)} runs have not finished: {', '.join(open_runs)}"
    yield from _replicates(leftovers, study)
    done = [left for left in leftovers if left.state == "done"]
    yield from _data(done, study)
    for key in sorted({key for left in done for key in left.versions}):
        groups = _by(done, lambda left, key=key: left.versions.get(key, "unknown"))
        if len(groups) > 1:
            yield f"the runs were made by {len(groups)} versions of {_what(key)}: {_listed(groups)}"
    yield from _scorers(done)
    yield from _rates(done)


def _expected(done: Sequence[Leftover], reference: str) -> Scores:
    """The scores that most runs have; of equally many, those that hold the others, then the reference's."""
    known = {left.scores.identity: left.scores for left in done}
    if len(known) == 1:
        return done[0].scores
    number = Counter(left.scores.identity for left in done)
    own = Counter(left.scores.identity for left in done if left.run.arm == reference)
    held = {key: sum(other.keys < scores.keys for other in known.values()) for key, scores in known.items()}
    return known[max(known, key=lambda key: (number[key], held[key], own[key], len(key[0]), key))]


def _check_arm(runs: Sequence[Leftover], expected: Scores, name: str) -> list[str]:
    """Refuse the runs of an arm that differ; one sentence where all of them have the same other patients."""
    different, patients = [], set(expected.patients)
    for left in runs:
        found = left.scores
        if found.identity == expected.identity:
            continue
        if expected.keys <= found.keys and set(found.patients) == patients:
            left.problems.append(f"{len(found.keys - expected.keys)} scores that other runs do not have are left out")
            left.scores = found.only(expected.keys)
        elif found.keys < expected.keys:
            left.refuse(_fewer(found, expected))
        else:
            different.append(left)
    alike = len({left.scores.identity for left in different}) == 1
    if alike and len(different) == sum(left.scores is not None for left in runs):
        return [
            f"{name} was scored on other patients than most runs ({_others(different[0].scores, expected)}): it is "
            "compared with no arm that has not the same; score all runs on the same section"
        ]
    for left in different:
        others = _others(left.scores, expected)
        left.refuse(f"it was scored on other patients than the other runs ({others}); run the study again")
    return []


def _others(found: Scores, expected: Scores) -> str:
    return _names(set(found.patients) ^ set(expected.patients)) or "the same patients, but other cases or regions"


def _fewer(found: Scores, expected: Scores) -> str:
    parts = [f"{len(found.cases)} of {len(expected.cases)} rows"]
    for name in ("cases", "regions", "metrics"):
        have, wanted = set(getattr(found, name)), set(getattr(expected, name))
        if have < wanted:
            parts.append(f"{len(have)} of {len(wanted)} {name} (not {_names(wanted - have)})")
    return (
        f"its metrics.csv must hold what the other runs hold; found {', '.join(parts)}; remove the file and run the "
        "study again"
    )


def _replicates(leftovers: Sequence[Leftover], study: Study) -> Iterator[str]:
    tunings = [left for left in leftovers if left.run.kind == "finetune"]
    if not any(left.state == "done" for left in tunings):
        return
    cells = _by(tunings, lambda left: (left.run.variant, left.run.arm, str(left.run.count)))
    have = {cell: {left.run.replicate for left in runs if left.state == "done"} for cell, runs in cells.items()}
    for (variant, arm, count), runs in cells.items():
        done, planned = have[variant, arm, count], len(runs)
        if 0 < len(done) < planned:
            shared = done & have.get((variant, study.reference, count), set())
            pairs = "" if arm == study.reference else f"; compared with {study.reference} on {len(shared)}"
            yield f"{_words(variant, arm)}, {count_text(count)}: {len(done)} of {planned} replicates{pairs}"


def _data(done: Sequence[Leftover], study: Study) -> Iterator[str]:
    for variant in study.variants:
        runs = [left for left in done if left.run.kind != "pretrain" and left.run.variant == variant]
        groups = _by(runs, lambda left: left.data or "unknown")
        if len(groups) > 1:
            where = f" of {variant}" if variant else ""
            arms = {
                key: sorted({f"{left.run.arm} ({left.run.count})" for left in group}) for key, group in groups.items()
            }
            listed = "; ".join(f"{key[:8]} by {', '.join(names)}" for key, names in sorted(arms.items()))
            yield f"the fine-tunings{where} were made on {len(groups)} versions of the data: {listed}"


def _scorers(done: Sequence[Leftover]) -> Iterator[str]:
    """Scores by several versions of the code; those that do not say it may be of any."""
    silent = [left.run.key for left in done if None in left.scorers.values()]
    if silent:
        yield f"the scores of {plural(len(silent), 'run')} do not say by which code they were made: {_names(silent)}"
    made = [(left, versions) for left in done for versions in left.scorers.values() if versions is not None]
    for key in sorted({key for _, versions in made for key in versions}):
        groups: dict[str, list[Leftover]] = {}
        for left, versions in made:
            group = groups.setdefault(versions.get(key, "unknown"), [])
            if left not in group[-1:]:
                group.append(left)
        if len(groups) > 1:
            yield f"the scores were made by {len(groups)} versions of {_what(key)}: {_listed(groups)}"


def _what(key: str) -> str:
    return "medvol's code" if key == "code" else key


def _rates(done: Sequence[Leftover]) -> Iterator[str]:
    tuned = [left for left in done if left.run.kind == "finetune" and left.run.tuned_by]
    for arm, runs in _by(tuned, lambda left: left.run.arm).items():
        rates = sorted({left.learning_rate for left in runs if left.learning_rate is not None})
        if len(rates) > 1:
            yield f"{arm} was fine-tuned with {len(rates)} learning rates, {', '.join(f'{r:g}' for r in rates)}"


def _by(leftovers: Iterable[Leftover], key: Callable[[Leftover], Any]) -> dict[Any, list[Leftover]]:
    groups: dict[Any, list[Leftover]] = {}
    for left in leftovers:
        groups.setdefault(key(left), []).append(left)
    return groups


def _listed(groups: dict[str, list[Leftover]]) -> str:
    most = max(groups, key=lambda key: (len(groups[key]), key))
    texts = [f"{most[:12]} ({len(groups[most])} runs)"]
    for key in sorted(set(groups) - {most}):
        texts.append(f"{key[:12]} ({_names({left.run.key for left in groups[key]})})")
    return "; ".join(texts)


def _names(names: Iterable[str]) -> str:
    """Names in order, ten at most."""
    known = [name for _, name in sorted((len(name), name) for name in names)]
    return ", ".join(known[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")


def _words(variant: str, arm: str) -> str:
    return f"{arm} ({variant})" if variant else arm
