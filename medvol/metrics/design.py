"""What a design of seeds and patients can show, and how many more would show a given difference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from .components import Components

__all__ = ["patients_needed", "power", "seeds_needed", "smallest_difference"]

_MOST = 1000  # seeds or patients beyond which nobody will go


def power(
    components: Components,
    difference: float,
    seeds: int | None = None,
    patients: int | None = None,
    alpha: float = 0.05,
) -> float:
    """Probability that the crossed interval of a design excludes zero in the direction of a true difference.

    The variances are those of a pilot, negative ones taken as zero; the test statistic is a noncentral t with
    Satterthwaite's degrees of freedom at the expected mean squares, ``E[MS_seed] = P v_s + v_r``,
    ``E[MS_patient] = S v_p + v_r``, ``E[MS_residual] = v_r``.

    Args:
        components: of the pilot.
        difference: true mean difference, in the unit of the score.
        seeds: of the design; the pilot's if not given.
        patients: of the design; the pilot's if not given.
        alpha: two-sided level.

    Raises:
        ValueError: fewer than two seeds or patients, or a level outside of (0, 1).

    Example:
        >>> pilot = Components(0.0, 3, 20, (0.02, 0.004, 0.002))
        >>> power(pilot, 0.1) > power(pilot, 0.02)
        True
    """
    error, df = _expected(components, seeds, patients, alpha)
    if error == 0:
        return float(difference != 0)
    bound = stats.t.ppf(1 - alpha / 2, df)
    return float(stats.nct.sf(bound, df, abs(difference) / error))


def smallest_difference(
    components: Components,
    seeds: int | None = None,
    patients: int | None = None,
    alpha: float = 0.05,
    wanted: float = 0.8,
) -> float:
    """The smallest true difference that a design shows with the wanted power, in the unit of the score.

    Args:
        components: of the pilot.
        seeds: of the design; the pilot's if not given.
        patients: of the design; the pilot's if not given.
        alpha: two-sided level.
        wanted: power, between ``alpha`` and 1.

    Raises:
        ValueError: see :func:`power`; or a wanted power that is not between ``alpha`` and 1.

    Example:
        >>> pilot = Components(0.0, 3, 20, (0.02, 0.004, 0.002))
        >>> smallest_difference(pilot, seeds=10) < smallest_difference(pilot)
        True
    """
    if not alpha < wanted < 1:
        raise ValueError(f"the wanted power must lie between {alpha} and 1; found {wanted}; 0.8 is usual")
    error, df = _expected(components, seeds, patients, alpha)
    if error == 0:
        return 0.0
    bound = stats.t.ppf(1 - alpha / 2, df)
    shift = optimize.brentq(lambda ncp: stats.nct.sf(bound, df, ncp) - wanted, 0.0, 10 * bound + 10)
    return float(shift * error)


def seeds_needed(components: Components, difference: float, alpha: float = 0.05, wanted: float = 0.8) -> int | None:
    """The smallest number of seeds that shows a difference on the same number of patients; None if a thousand do not.

    Example:
        >>> seeds_needed(Components(0.0, 3, 20, (0.02, 0.004, 0.002)), 0.05)
        6
    """
    return _first(lambda n: power(components, difference, seeds=n, alpha=alpha), wanted)


def patients_needed(components: Components, difference: float, alpha: float = 0.05, wanted: float = 0.8) -> int | None:
    """The smallest number of patients that shows a difference with the same seeds; None if a thousand do not.

    Example:
        >>> patients_needed(Components(0.0, 3, 20, (0.02, 0.004, 0.002)), 0.02) is None  # the seeds differ too much
        True
    """
    return _first(lambda n: power(components, difference, patients=n, alpha=alpha), wanted)


def _expected(components: Components, seeds: int | None, patients: int | None, alpha: float) -> tuple[float, float]:
    """Standard error of the mean of a design and its degrees of freedom."""
    s = components.seeds if seeds is None else seeds
    p = components.patients if patients is None else patients
    if min(s, p) < 2 or not 0 < alpha < 1:
        raise ValueError(
            f"a design must have two seeds, two patients and a level in (0, 1); found {s}, {p} and {alpha}; correct it"
        )
    v_seed, v_patient, v_rest = (max(0.0, value) for value in components.variances)
    squares = (p * v_seed + v_rest, s * v_patient + v_rest, v_rest)
    variance, df = Components(0.0, s, p, squares).variance_of_mean()
    return float(np.sqrt(variance)), df


def _first(reached: Callable[[int], float], wanted: float) -> int | None:
    # One by one: with more patients the degrees of freedom can fall to those of the seeds, and the power with them.
    return next((n for n in range(2, _MOST + 1) if reached(n) >= wanted), None)
