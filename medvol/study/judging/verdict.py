"""Per arm and label count: does it help, does it harm, or is there no evidence, and how sure is that."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from medvol.metrics import (
    bootstrap_interval,
    crossed_components,
    equivalent,
    non_inferior,
    patients_needed,
    permutation_p,
    seeds_needed,
    smallest_difference,
)

from ..planning.design import Score
from ..tables.budgets import budget_tags
from ..tables.pairing import Pairing, pair
from ..tables.table import Collected, cube
from .comparisons import Family, families
from .deciding import Decision, decide
from .sentences import sentence

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True)
class Verdict:
    """One comparison of a study. Numbers are None where they cannot be computed, or where nothing is judged.

    Attributes:
        variant: name of the variant, ``""`` without any.
        count: label count.
        arm: the arm.
        against: the arm that it is compared with.
        family: ``reference`` (against the study's reference), ``longer scratch``, ``same budget`` or ``chosen pair``.
        metric: of the score.
        region: of the score.
        higher_is_better: False for distances and errors.
        role: ``main`` for the study's first score, which the verdict rests on; ``secondary`` for the others.
        word: ``helps``, ``harms``, ``no evidence`` or ``not judged``.
        reason: why it is not judged, or ``""``.
        budget: tag of the arm's budget, ``""`` for the standard one.
        seeds: replicates that both arms have.
        seeds_planned: replicates of the study.
        patients: patients that both arms were scored on.
        labelled: how many patients the label count ``all`` stands for, where that is known.
        arm_mean: mean score, in the unit of the score, as the following ones.
        arm_sd: s.d. of the replicates' means.
        against_mean: mean score of the other arm.
        against_sd: s.d. of its replicates' means.
        difference: mean of arm minus against, as a reader subtracts it.
        low: lower end of its 95 % interval, seeds and patients random.
        high: upper end.
        gain: the same difference, oriented so that more is better.
        gain_low: lower end of the gain's interval.
        gain_high: upper end.
        df: Satterthwaite's degrees of freedom of the interval.
        p: two-sided, of this comparison alone.
        holm: adjusted over the comparisons of its family.
        comparisons: how many those are.
        sd_seed: s.d. of the differences between seeds; 0 where the estimate is negative, as the next ones.
        sd_patient: s.d. between patients.
        sd_residual: s.d. of what neither explains.
        given_low: lower end of the 95 % bootstrap interval over patients of the difference, these trained models given.
        given_high: upper end.
        given_p: sign permutation over patients, these trained models given.
        margin: smallest difference that matters; None for secondary scores.
        non_inferior: whether the arm is worse by less than the margin.
        equivalent: whether it differs by less than the margin in either direction.
        smallest_difference: what this design shows in four of five such studies.
        seeds_needed: seeds that would show the observed difference on these patients; None if a thousand would not.
        patients_needed: patients that would show it with these seeds; None if a thousand would not.
        sentence: all of it in plain English.
    """

    variant: str
    count: int | str
    arm: str
    against: str
    family: str
    metric: str
    region: str
    higher_is_better: bool
    role: str
    word: str
    reason: str
    budget: str
    seeds: int
    seeds_planned: int
    patients: int
    labelled: int | None = None
    arm_mean: float | None = None
    arm_sd: float | None = None
    against_mean: float | None = None
    against_sd: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    df: float | None = None
    p: float | None = None
    holm: float | None = None
    comparisons: int = 0
    sd_seed: float | None = None
    sd_patient: float | None = None
    sd_residual: float | None = None
    given_low: float | None = None
    given_high: float | None = None
    given_p: float | None = None
    margin: float | None = None
    non_inferior: bool | None = None
    equivalent: bool | None = None
    smallest_difference: float | None = None
    seeds_needed: int | None = None
    patients_needed: int | None = None
    sentence: str = ""

    @property
    def below_margin(self) -> bool:
        """Whether a difference was shown that is smaller than what matters."""
        shown = self.word in ("helps", "harms") and self.margin is not None and self.gain is not None
        return bool(shown and abs(self.gain) < self.margin)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, one column each of ``verdicts.csv``."""
        return dataclasses.asdict(self) | {"below_margin": self.below_margin}


def judge(collected: Collected) -> list[Verdict]:
    """Judge every arm of a study at every label count: the main score first, then the secondary ones.

    ``D[s, p]`` is the arm's score minus the reference's of replicate ``s`` on patient ``p``; its mean has the interval
    of :func:`medvol.metrics.crossed_interval`, and Holm's adjustment runs over the arms of one family, variant, label
    count and score (:func:`medvol.study.judging.deciding.decide`). Which arms are compared with which:
    :func:`medvol.study.judging.comparisons.families`.

    Args:
        collected: tables of a study, finished or not.

    Returns:
        By variant, score, family, label count and arm, each in the order of the study.

    Raises:
        ValueError: a score that no evaluation wrote.
    """
    study = collected.study
    return [
        verdict
        for variant in study.variants
        for place, score in enumerate(study.scores)
        for verdict in _sorted_by_family(
            [
                (family, count, _judged(collected, family, variant, count, score, main=place == 0))
                for count in study.counts
                for family in families(collected.plan, variant, count)
            ]
        )
    ]


def _sorted_by_family(blocks: list[tuple[Family, int | str, list[Verdict]]]) -> Iterator[Verdict]:
    order = list(dict.fromkeys(_heading(family) for family, _, _ in blocks))
    for wanted in order:
        for family, _, verdicts in blocks:
            if _heading(family) == wanted:
                yield from verdicts


def _heading(family: Family) -> tuple[str, str]:
    """What the families of several label counts have in common."""
    return family.kind, "" if family.kind == "chosen pair" else family.pairs[0][1]


def _judged(
    collected: Collected, family: Family, variant: str, count: int | str, score: Score, main: bool
) -> list[Verdict]:
    sign = 1.0 if score.higher_is_better else -1.0
    cubes = {
        arm: cube(collected, score, arm, count, variant)
        for arm in {arm for compared in family.pairs for arm in compared}
    }
    pairings = [pair(cubes[arm], cubes[against]) for arm, against in family.pairs]
    gains = [np.empty((0, 0)) if p.problem else sign * (p.arm - p.against) for p in pairings]
    return [
        _verdict(collected, family, (variant, count, *compared), score, main, pairing, decision)
        for compared, pairing, decision in zip(family.pairs, pairings, decide(gains), strict=True)
    ]


def _verdict(
    collected: Collected, family: Family, place: tuple[str, int | str, str, str], score: Score, main: bool,
    pairing: Pairing, decision: Decision,
) -> Verdict:  # fmt: skip
    study, (variant, count, arm, against) = collected.study, place
    budget = budget_tags(collected.plan, variant, count)[arm]
    made = Verdict(
        variant, count, arm, against, family.kind, score.metric, score.region, score.higher_is_better,
        "main" if main else "secondary", decision.word, pairing.problem or decision.reason, budget,
        len(pairing.replicates), len(study.replicates), len(pairing.patients), collected.labelled,
        comparisons=len(family.pairs), margin=study.margin if main else None,
    )  # fmt: skip
    made = dataclasses.replace(made, **_described(pairing), **_inferred(made, pairing, decision))
    return dataclasses.replace(made, sentence=sentence(made))


def _described(pairing: Pairing) -> dict[str, Any]:
    """Means and spreads over seeds, also of what is not judged."""
    if pairing.problem or not pairing.replicates:
        return {}
    means = {"arm": pairing.arm.mean(1), "against": pairing.against.mean(1)}
    several = len(pairing.replicates) > 1
    return {
        **{f"{name}_mean": float(value.mean()) for name, value in means.items()},
        **{f"{name}_sd": float(value.std(ddof=1)) if several else None for name, value in means.items()},
        "difference": float((pairing.arm - pairing.against).mean()),
    }


def _inferred(made: Verdict, pairing: Pairing, decision: Decision) -> dict[str, Any]:
    """Everything that needs at least three seeds."""
    interval = decision.interval
    if interval is None:
        return {}
    raw = pairing.arm - pairing.against
    gains = raw if made.higher_is_better else -raw
    parts = crossed_components(gains)
    ends = (interval.low, interval.high) if made.higher_is_better else (-interval.high, -interval.low)
    sd_seed, sd_patient, sd_residual = (float(np.sqrt(max(0.0, v))) for v in parts.variances)
    given = bootstrap_interval(raw.mean(0))
    return {
        "low": ends[0], "high": ends[1], "gain": interval.mean, "gain_low": interval.low, "gain_high": interval.high,
        "df": interval.df, "p": interval.p, "holm": decision.p,
        "sd_seed": sd_seed, "sd_patient": sd_patient, "sd_residual": sd_residual,
        "given_low": given[0], "given_high": given[1], "given_p": permutation_p(raw.mean(0)),
        "non_inferior": None if made.margin is None else non_inferior(gains, made.margin),
        "equivalent": None if made.margin is None else equivalent(gains, made.margin),
        "smallest_difference": smallest_difference(parts),
        "seeds_needed": seeds_needed(parts, interval.mean), "patients_needed": patients_needed(parts, interval.mean),
    }  # fmt: skip
