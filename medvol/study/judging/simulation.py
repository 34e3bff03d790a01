"""Simulated studies: how often the verdict's rule claims something, where nothing differs and where something does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medvol.metrics import Components, power, smallest_difference

from .deciding import decide

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Claims", "Spread", "null_table", "power_table", "simulate"]


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the paired differences of one arm, in the unit of the score.

    Attributes:
        seed: between seeds.
        patient: between patients, the same for every seed.
        residual: of what neither explains.
    """

    seed: float
    patient: float
    residual: float


@dataclass(frozen=True)
class Claims:
    """Shares of the simulated studies.

    Attributes:
        helps: in which the first arm "helps".
        harms: in which it "harms".
        any: in which at least one arm "helps" or "harms".
    """

    helps: float
    harms: float
    any: float


def simulate(
    spread: Spread,
    seeds: int,
    patients: int,
    effect: float = 0.0,
    arms: int = 1,
    studies: int = 2000,
    seed: int = 0,
) -> Claims:
    """Draw studies and judge each by :func:`medvol.study.judging.deciding.decide`.

    All arms are compared with one reference, whose own seeds, patients and noise are in every difference: half of each
    variance is the reference's, so the comparisons of a family depend on each other as in a real study.

    Args:
        spread: of the differences; normal distributions.
        seeds: S of each study.
        patients: P of each study.
        effect: true difference of every arm, in the unit of the score.
        arms: compared arms in the family.
        studies: number of studies.
        seed: of the simulation.

    Raises:
        ValueError: no studies or arms, or a negative standard deviation.

    Example:
        >>> simulate(Spread(0.01, 0.0, 0.01), seeds=3, patients=10, effect=1.0, studies=5).helps
        1.0
    """
    if min(studies, arms, seeds, patients) < 1 or min(spread.seed, spread.patient, spread.residual) < 0:
        found = f"{studies} studies, {arms} arms, {seeds} seeds, {patients} patients, {spread}"
        raise ValueError(
            f"studies, arms, seeds and patients must be positive, deviations not negative; found {found}; correct it"
        )
    rng = np.random.default_rng(seed)
    counts = np.zeros(3)
    for _ in range(studies):
        shape = (arms + 1, seeds, patients)
        scores = (
            rng.normal(0, spread.seed, (*shape[:2], 1))
            + rng.normal(0, spread.patient, (shape[0], 1, patients))
            + rng.normal(0, spread.residual, shape)
        ) / 2**0.5
        words = [decision.word for decision in decide(effect + scores[1:] - scores[0])]
        counts += words[0] == "helps", words[0] == "harms", bool({"helps", "harms"} & set(words))
    return Claims(*(float(count) for count in counts / studies))


def null_table(
    ratios: Sequence[float] = (0, 0.5, 1, 2),
    patient_by_arm: Sequence[float] = (0, 1),
    seeds: Sequence[int] = (3, 5),
    arms: Sequence[int] = (1, 3),
    patients: int = 25,
    studies: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often something is claimed where nothing differs; at most 0.05 is wanted, at most 0.07 is tolerated.

    Args:
        ratios: s.d. between seeds in standard errors over patients, ``sqrt((patient^2 + residual^2) / P)``.
        patient_by_arm: s.d. between patients of the differences, in units of the residual s.d.
        seeds: of a study.
        arms: compared arms under Holm's adjustment.
        patients: of a study.
        studies: per row.
        seed: of the simulation.

    Returns:
        One row per combination, with the share of verdicts (of the first arm) that say "helps" or "harms", and the
        share of studies in which the verdict of any arm does.

    Example:
        >>> len(null_table(ratios=[1], patient_by_arm=[0], seeds=[3], arms=[1], studies=3))
        1
    """
    import pandas as pd

    rows = []
    for compared in arms:
        for size in seeds:
            for variance in patient_by_arm:
                for ratio in ratios:
                    error = ((variance**2 + 1) / patients) ** 0.5
                    spread = Spread(ratio * error, variance, 1.0)
                    found = simulate(spread, size, patients, arms=compared, studies=studies, seed=seed)
                    rows.append((compared, size, variance, ratio, found.helps + found.harms, found.any))
    return pd.DataFrame(rows, columns=["arms", "seeds", "patient by arm", "seed ratio", "one verdict", "any verdict"])


def power_table(
    spread: Spread,
    effect: float = 0.02,
    seeds: Sequence[int] = (3, 5, 10),
    patients: int = 25,
    arms: Sequence[int] = (1, 3),
    studies: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """How often an arm that truly helps is said to help.

    Args:
        spread: of the differences, from a pilot or another study.
        effect: true difference, in the unit of the score.
        seeds: of a study.
        patients: of a study.
        arms: compared arms under Holm's adjustment, all with this effect.
        studies: per row.
        seed: of the simulation.

    Returns:
        One row per combination: the share of simulated studies in which the first arm "helps", the formula's power of
        one comparison alone, and the difference that it shows in four of five studies.

    Example:
        >>> table = power_table(Spread(0.008, 0.005, 0.015), seeds=[3], arms=[1], studies=3)
        >>> table.columns.tolist()
        ['arms', 'seeds', 'patients', 'power', 'formula', 'smallest difference']
    """
    import pandas as pd

    rows = []
    for compared in arms:
        for size in seeds:
            helps = simulate(spread, size, patients, effect, compared, studies, seed).helps
            v_seed, v_patient, v_rest = (value**2 for value in (spread.seed, spread.patient, spread.residual))
            squares = (patients * v_seed + v_rest, size * v_patient + v_rest, v_rest)
            parts = Components(effect, size, patients, squares)
            rows.append((compared, size, patients, helps, power(parts, effect), smallest_difference(parts)))
    return pd.DataFrame(rows, columns=["arms", "seeds", "patients", "power", "formula", "smallest difference"])
