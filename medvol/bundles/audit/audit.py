"""Audit a bundle for shortcuts: can its pretext task be solved from crude statistics?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.rules import data_rule, keys_rule, problems_of, shards_rule, values_rule
from ..checks.trying import on_the_side
from ..inherit import fill_inherited
from ..opening import OpenBundle, open_bundle
from ..refusal import innermost
from .countermeasures import MEANT_FOR
from .draws import LEARNING, Draw, FewPatientsError, fixture_draws, own_draws
from .fixtures import chosen_fixtures
from .guessing import FEWEST, Table, best_by_group, chance_of, guess
from .matching import match
from .puzzles import guess_orders, listed_permutations
from .questions import SENTENCES, Rows, find_question, question_rows
from .report import Finding, Report
from .task import Task, find_task

__all__ = ["OWN", "audit"]

OWN = "own"
"""Name of the bundle's own data among the images."""

_LEAST, _MOST = 100, 100_000  # samples
_PATIENCE = 200  # draws in a row of which every patch was left out


def audit(
    bundle: str | Path,
    config: str = "train.json",
    overrides: Mapping[str, Any] | None = None,
    fixture: str | None = None,
    data: str | None = None,
    without: Sequence[str] = (),
    samples: int = 2000,
    seed: int = 0,
    full_size: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Report:
    """Ask whether a bundle's pretext task can be solved without looking at anatomy.

    Synthetic volumes without anatomy go through the bundle's own transforms. Two classifiers see crude statistics of
    what the network would see, learn on some volumes and guess on others. On such images every right answer beyond
    chance is a shortcut: a network can take it, too, and then learns nothing. The remedies and the size of such leaks
    are discussed by Doersch et al. 2015 (https://arxiv.org/abs/1505.05192, section 3.1) and Noroozi and Favaro 2016
    (https://arxiv.org/abs/1603.09246, section 4.2).

    Args:
        bundle: a bundle's name, folder or config file.
        config: which config, where ``bundle`` is not itself a file.
        overrides: values by key, such as ``{"patch_size": [12, 12, 12]}``.
        fixture: ``"noise"``, ``"ramp"``, ``"padded"`` or ``"all"``; None for all, or, with ``without``, for those that
            the counter-measures are for.
        data: ``"own"`` for the images that the bundle trains on; they have anatomy, so no bar holds for them.
        without: counter-measures to switch off: ``intensity``, ``detrend``, ``mask``.
        samples: patches, pairs or views to learn from, and as many to be tested on, 100 to 100,000.
        seed: of volumes, draws and classifiers, 0 or more.
        full_size: audit whole views of more than 32 x 32 x 32 voxels at their size, and not made smaller.
        report: gets a line before each kind of images.

    Raises:
        ValueError: an argument or key is wrong, the bundle has no pretext task, or a transform fails.
        FileNotFoundError: no such bundle or config.

    Example:
        >>> audit("cpc3d", fixture="rmap")
        Traceback (most recent call last):
        ...
        ValueError: the fixture must be one of noise, ramp, padded or all; found 'rmap'; did you mean 'ramp'?
    """
    without = list(dict.fromkeys(without))
    names = _checked(fixture, data, without, samples, seed)
    opened = _opened(bundle, config, overrides, seed, data is not None)
    task = find_task(opened, without, full_size or data is not None)
    findings: list[Finding] = []
    for name in names:
        report(f"{name}: drawing and guessing ...")
        with on_the_side():
            findings += _audit_images(opened, task, name, samples, seed)
    sentences = " And ".join(dict.fromkeys(SENTENCES[finding.question] for finding in findings))
    return Report(opened.name, sentences, findings, without, seed, task.notes)


def _checked(fixture: str | None, data: str | None, without: Sequence[str], samples: int, seed: int) -> tuple[str, ...]:
    """Return the kinds of images, after a look at every argument that needs no bundle."""
    for name, value, least, most in (("samples", samples, _LEAST, _MOST), ("seed", seed, 0, 2**32 - 1)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{name} must be a whole number from {least} to {most}; found {value!r}; choose another")
    if data is not None and data != OWN:
        raise ValueError(f"the data must be '{OWN}', what the bundle trains on; found {data!r}; name a fixture instead")
    if data is not None and fixture is not None:
        raise ValueError(f"images must be a fixture or your data; found both, '{fixture}' and '{data}'; leave one out")
    if data is not None:
        return (OWN,)
    if fixture is None and without and set(without) <= set(MEANT_FOR):
        return tuple(dict.fromkeys(MEANT_FOR[name] for name in without))
    return chosen_fixtures("all" if fixture is None else fixture)


def _opened(
    bundle: str | Path, config: str, overrides: Mapping[str, Any] | None, seed: int, is_own: bool
) -> OpenBundle:
    opened = open_bundle(bundle, config, overrides)
    rules = (keys_rule, values_rule, *((data_rule, shards_rule) if is_own else ()))
    errors = [problem for problem in problems_of(rules, opened) if problem.state == "error"]
    if errors:  # no GuardError: its exit code 1 is what a shortcut has
        raise ValueError("\n".join(["this bundle cannot be audited.", *(problem.text() for problem in errors)]))
    fill_inherited(opened.parser, opened.original)
    if is_own and "seed" in opened.config:
        opened.parser["seed"] = seed
    return opened


def _audit_images(opened: OpenBundle, task: Task, name: str, samples: int, seed: int) -> list[Finding]:
    def draws(testing: bool, **ways: int) -> Iterator[Draw]:
        if name == OWN:
            return _safe(own_draws(opened.parser, seed, testing), opened)
        return _safe(fixture_draws(opened.parser, task, name, seed, testing, **ways), opened)

    learning = draws(False)
    first = next(learning)
    question = find_question(first[1])
    scale = float(first[1]["image"].float().square().mean().sqrt()) or 1.0
    if question == "match":
        apart = _apart(draws(True, turns=1), task.batch_size)
        table = _table(apart, question, task, scale, samples, whole=task.batch_size)
        answer, chance = match(table.features, table.draws, task.batch_size, table.units)
        return [Finding(name, question, chance, [answer], has_bar=False)]
    train = _table(chain([first], learning), question, task, scale, samples, LEARNING)
    test = _table(draws(True), question, task, scale, samples, FEWEST)
    answers, chance = guess(train, test, seed), chance_of(train, test)
    found = [Finding(name, question, chance, answers, has_bar=name != OWN)]
    permutations = listed_permutations(opened.parser) if first[1]["pretext"].get("permutation") else None
    if question == "cell" and permutations is not None:
        orders = guess_orders(train, test, permutations, seed)
        found.append(Finding(name, "order", 1 / len(permutations), [orders], {}, name != OWN, len(test.labels)))
    if name == OWN or any(finding.is_shortcut for finding in found):
        found[0] = replace(found[0], groups=best_by_group(train, test))
    return found


def _safe(draws: Iterator[Draw], opened: OpenBundle) -> Iterator[Draw]:
    """Turn whatever a transform raises into one sentence."""
    while True:
        try:
            drawn = next(draws)
        except FewPatientsError:
            raise
        except Exception as error:  # a transform may raise anything, and MONAI wraps it several times
            raise ValueError(
                f"an audit needs transforms of {opened.file.name} that can read and cut the images; found: "
                f"{innermost(error)}; correct the sizes or the transform that this names, by --key value"
            ) from error
        yield drawn


def _apart(draws: Iterator[Draw], batch_size: int) -> Iterator[Draw]:
    """Leave out draws so that a batch has no volume or patient twice."""
    recent: deque[int] = deque(maxlen=batch_size - 1)
    for unit, sample in draws:
        if unit not in recent:
            recent.append(unit)
            yield unit, sample


def _table(
    draws: Iterator[Draw], question: str, task: Task, scale: float, samples: int, fewest: int = FEWEST, whole: int = 1
) -> Table:
    """Collect rows until there are enough, of enough volumes, all of a draw and ``whole`` draws at a time."""
    found: list[Rows] = []
    units: list[int] = []
    numbers: list[int] = []
    idle = 0
    while len(units) < samples or len(set(units)) < fewest or len(found) % whole:
        unit, sample = next(draws)
        rows = question_rows(sample, question, task.threshold, scale)
        helps = len(rows.labels) and (len(units) < samples or unit not in units or len(found) % whole)
        idle = 0 if helps else idle + 1
        if idle == _PATIENCE:
            raise ValueError(
                f"samples of {fewest} volumes must hold patches with enough foreground; found none in {_PATIENCE} "
                "draws; correct the mask, or lower the least fraction of foreground"
            )
        units += [unit] * len(rows.labels)
        numbers += [len(found)] * len(rows.labels)
        found.append(rows)
    features, labels = (np.concatenate([getattr(rows, part) for rows in found]) for part in ("features", "labels"))
    return Table(features, labels, np.array(units), found[0].columns, np.array(numbers))
