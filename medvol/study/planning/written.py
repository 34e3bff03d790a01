"""What an evaluation of a bundle would write, asked of its config: metrics, regions, and corruptions that it knows."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from medvol.bundles.checks.corruption_rule import corruption_rule
from medvol.bundles.checks.trying import on_the_side, side_parser
from medvol.bundles.keys import suggest
from medvol.bundles.opening import OpenBundle
from medvol.bundles.plain import located, plain
from medvol.bundles.refusal import Problem

from .design import Robustness, Score

__all__ = ["corruption_problems", "score_problems", "written_scores"]


def written_scores(opened: OpenBundle, place: str = "handlers") -> tuple[list[str] | None, list[str] | None]:
    """Return the metrics and the regions that a config's scores are made of; None for what it does not tell.

    Args:
        opened: an ``evaluate.json`` or a ``train.json``.
        place: where the scores stand, or the handlers that hold them.

    Example:
        >>> from medvol.bundles.opening import open_bundle
        >>> written_scores(open_bundle("unet_hippocampus"), "scores")[1]
        ['anterior', 'posterior', 'whole']
    """
    with on_the_side():
        content = plain(side_parser(opened.config), place)
    node = content
    if isinstance(content, list):
        node = next((entry["scores"] for entry in content if isinstance(entry, dict) and "scores" in entry), None)
    if not isinstance(node, dict) or (made := located(node)) is None:
        return None, None
    parameters = inspect.signature(made).parameters
    regions = _names(node, "regions", parameters) or _names(node, "targets", parameters)
    return _names(node, "metrics", parameters), regions


def score_problems(
    score: Score, number: int, metrics: list[str] | None, regions: list[str] | None
) -> Iterator[Problem]:
    """Yield a problem for a score that is not among those written.

    Args:
        score: the score.
        number: its place in the study file.
        metrics: the metrics that are written, None for unknown.
        regions: the regions, without the mean over them, None for unknown.

    Example:
        >>> [problem.found for problem in score_problems(Score("dise"), 0, ["dice"], None)]
        ["'dise'; did you mean 'dice'?"]
    """
    known = {"metric": metrics, "region": None if regions is None else ["mean", *regions]}
    for key, names in known.items():
        value = getattr(score, key)
        if names is not None and value not in names:
            expected = f"a {key} that the bundle's evaluation writes for scores::{number}::{key}"
            yield Problem(expected, f"'{value}'{suggest(value, names)}", f"give one of {', '.join(names)}")


def corruption_problems(opened: OpenBundle, robustness: Robustness) -> Iterator[Problem]:
    """Yield a problem for corruptions that a bundle's evaluation does not know.

    Args:
        opened: an ``evaluate.json``; its keys ``corruption`` and ``severity`` choose the corruption.
        robustness: what the study asks for.
    """
    config = opened.config
    if "corruption" not in config or "severity" not in config:
        remedy = "leave 'robustness' out, or add the keys and medvol.transforms.Corruptiond to its preprocessing"
        found = f"none in {opened.file.name} of {opened.name}"
        yield Problem("an evaluation with the keys 'corruption' and 'severity'", found, remedy)
        return
    for name in robustness.corruptions:
        for severity in robustness.severities:
            corrupted = replace(opened, parser=side_parser(config, corruption=name, severity=severity))
            if problem := next(corruption_rule(corrupted), None):
                expected = f"corruptions that the evaluation knows for robustness::corruptions ('{name}', {severity})"
                yield Problem(expected, problem.found, "correct the name or the severity")
                break


def _names(node: dict[str, Any], key: str, parameters: Any) -> list[str] | None:
    default = parameters[key].default if key in parameters else None
    value = node.get(key, default)
    if isinstance(value, (list, tuple, dict)):
        return [str(entry) for entry in value]
    return None
