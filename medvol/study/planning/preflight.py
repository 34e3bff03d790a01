"""Refuse a plan whose runs would fail, with all reasons at once and before the first of them is started."""

from __future__ import annotations

import json
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medvol.bundles.checks.metadata_rules import metadata_rule
from medvol.bundles.checks.place_rules import links_rule, places_rule
from medvol.bundles.checks.rules import IN_CHECK, Rule, data_rule
from medvol.bundles.checks.trying import on_the_side, side_parser
from medvol.bundles.checks.weight_rules import weights_rule
from medvol.bundles.opening import OpenBundle
from medvol.bundles.refusal import Problem, innermost

from .opened import evaluation_overrides, open_evaluation, open_run, run_overrides
from .plan import Plan, PlannedRun
from .standin import write_stand_in
from .written import corruption_problems, score_problems, written_scores

__all__ = ["check_plan", "plan_problems"]

# The folders are the machine's affair, and each run looks at its own; the bundle's page and links matter to no run.
_LEFT_OUT = (places_rule, metadata_rule, links_rule, weights_rule, data_rule)
_RULES: tuple[Rule, ...] = tuple(rule for rule in IN_CHECK if rule not in _LEFT_OUT)
_DATA_KEYS = ("manifest", "dataset_dir", "modalities", "where", "num_patients", "subset_seed", "section", "input_dir")


def check_plan(plan: Plan) -> None:
    """Refuse a plan whose runs would fail.

    Args:
        plan: the plan.

    Raises:
        ValueError: names every reason, in three parts each.
    """
    found: dict[Problem, list[str]] = {}
    for who, problem in plan_problems(plan):
        found.setdefault(problem, []).append(who)
    if found:
        parts = [f"{'; '.join(dict.fromkeys(names))}\n{problem.text()}" for problem, names in found.items()]
        shown = "\n\n".join(textwrap.indent(part, "  ") for part in parts)
        raise ValueError(f"the study '{plan.study.name}' cannot be run as planned.\n{shown}")


def plan_problems(plan: Plan) -> Iterator[tuple[str, Problem]]:
    """Yield whose runs would fail and why: one run is looked at for each arm of each variant and each pre-training.

    Args:
        plan: the plan.
    """
    seen: dict[str, list[Problem]] = {}
    with tempfile.TemporaryDirectory(prefix="medvol-study-") as folder:
        starts: dict[str, Path | None] = {}
        for number, run in enumerate(_one_of_each(plan)):
            place = Path(folder) / str(number)
            place.mkdir()
            who = f"arm '{run.arm}'" + (f", variant '{run.variant}'" if run.variant else "")
            who += ", pre-training" if run.kind == "pretrain" else ""
            found = list(_run_problems(plan, run, place, starts, seen))
            yield from ((who, problem) for problem in found)
            if run.kind != "pretrain" and not found:
                yield from ((who, problem) for problem in _evaluation_problems(plan, run, place))


def _one_of_each(plan: Plan) -> list[PlannedRun]:
    """Pre-trainings first; of a fine-tuning, the one with the most patients."""
    chosen: dict[tuple[str, str, str], PlannedRun] = {}
    for run in plan.runs:
        if run.kind == "pretrain":
            chosen.setdefault(("pretrain", run.arm, ""), run)
    for run in plan.runs:
        if run.kind == "finetune" and run.replicate == plan.study.replicates[0].index:
            chosen["finetune", run.arm, run.variant] = run  # counts ascend
    return list(chosen.values())


def _run_problems(
    plan: Plan, run: PlannedRun, folder: Path, starts: dict[str, Path | None], seen: dict[str, list[Problem]]
) -> Iterator[Problem]:
    more: dict[str, Any] = {}
    if run.kind == "finetune":
        start = starts.get(_without_seed(run.start)) if run.start is not None else run.weights
        more = {} if start is None else {"pretrained": str(start)}
    try:
        opened = open_run(plan, run, **more)
    except (OSError, ValueError) as error:
        yield Problem("a bundle's config that takes the study's overrides", str(error), "correct the overrides")
        return
    too_many = list(_count_problems(plan, opened)) if run.kind == "finetune" else []
    yield from too_many
    found = [problem for rule in _RULES for problem in rule(opened)]
    found += [] if too_many else _data_problems(opened, seen)
    if not any(problem.state == "error" for problem in found):
        found += weights_rule(opened)
    yield from (problem for problem in dict.fromkeys(found) if problem.state == "error")
    if run.kind == "pretrain":
        is_sound = not any(problem.state == "error" for problem in found)
        starts[_without_seed(run.key)] = write_stand_in(opened, folder) if is_sound else None


def _data_problems(opened: OpenBundle, seen: dict[str, list[Problem]]) -> list[Problem]:
    """The rule of the data looks for every file; arms that read the same ones need it once."""
    name = json.dumps([opened.config.get(key) for key in _DATA_KEYS] + ["train" in opened.config], default=str)
    if name not in seen:
        seen[name] = list(data_rule(opened))
    return seen[name]


def _count_problems(plan: Plan, opened: OpenBundle) -> Iterator[Problem]:
    largest = max((count for count in plan.study.counts if count != "all"), default=None)
    if largest is None or "num_patients" not in opened.config:
        return
    try:
        with on_the_side():
            items = side_parser(opened.config, num_patients="all").get_parsed_content("train::dataset::data")
    except Exception:  # the rule of the data says it
        return
    held = _num_patients(items)
    if largest > held:
        expected = f"label counts of at most {held}, the labelled training patients of '{opened.config['manifest']}'"
        yield Problem(expected, str(largest), 'give smaller counts, or "all"')


def _num_patients(items: Any) -> int:
    if hasattr(items, "places"):  # rows on disk, perhaps millions: their column is read, not every item
        return len(items.rows.column("patient").take(items.places).unique())
    return len({item["patient"] for item in items})


def _evaluation_problems(plan: Plan, run: PlannedRun, folder: Path) -> Iterator[Problem]:
    study = plan.study
    training = open_run(plan, run)
    try:
        weights = str(write_stand_in(training, folder, like_trained=True))
        given = evaluation_overrides(plan, run, run_overrides(plan, run), weights=weights)
        opened = open_evaluation(training, given)
    except (OSError, ValueError) as error:
        yield Problem("an evaluate.json that scores the runs", innermost(error), "correct the bundle or the overrides")
        return
    yield from _section_problems(opened)
    metrics, regions = written_scores(opened)
    for number, score in enumerate(study.scores):
        yield from score_problems(score, number, metrics, regions)
    main = study.scores[0]
    during, _ = written_scores(training, "scores")
    if during is not None and main.metric not in during and (metrics is None or main.metric in metrics):
        remedy = f"add '{main.metric}' to 'scores::metrics', or put another score first"
        yield Problem("a first score that trainings validate by, too", f"only {', '.join(during)}", remedy)
    if study.robustness is not None:
        yield from corruption_problems(opened, study.robustness)


def _section_problems(opened: OpenBundle) -> Iterator[Problem]:
    expected = f"labelled cases in section '{opened.config.get('section')}' to score"
    try:
        with on_the_side():
            held = len(side_parser(opened.config).get_parsed_content("dataset::data"))
    except Exception as error:  # whatever the manifest says
        yield Problem(expected, innermost(error), "correct the manifest, or choose another 'section'")
        return
    if not held:
        remedy = "deal cases out with 'python -m medvol manifest split', or choose another 'section'"
        yield Problem(expected, "none", remedy)


def _without_seed(key: str | None) -> str:
    return str(key).rpartition("-seed")[0]
