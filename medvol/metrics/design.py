"""What a design of seeds and patients can show, and how many more would show a given difference."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from .components import Components, mean_variance

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
    s = components.seeds if seeds is None else seeds
    p = components.patients if patients is None else patients
    return float(_powers(components, difference, s, p, alpha)[0])


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
    s = components.seeds if seeds is None else seeds
    p = components.patients if patients is None else patients
    error, df = (float(value[0]) for value in _expected(components, s, p, alpha))
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
    numbers = np.arange(2, _MOST + 1)
    return _first(numbers, _powers(components, difference, numbers, components.patients, alpha) >= wanted)


def patients_needed(components: Components, difference: float, alpha: float = 0.05, wanted: float = 0.8) -> int | None:
    """The smallest number of patients that shows a difference with the same seeds; None if a thousand do not.

    Example:
        >>> patients_needed(Components(0.0, 3, 20, (0.02, 0.004, 0.002)), 0.02) is None  # the seeds differ too much
        True
    """
    numbers = np.arange(2, _MOST + 1)
    return _first(numbers, _powers(components, difference, components.seeds, numbers, alpha) >= wanted)


def _powers(
    components: Components, difference: float, seeds: ArrayLike, patients: ArrayLike, alpha: float
) -> np.ndarray:
    """Power ``(N,)`` of many designs at once."""
    error, df = _expected(components, seeds, patients, alpha)
    if not error.any():
        return np.full(len(error), float(difference != 0))
    return stats.nct.sf(stats.t.ppf(1 - alpha / 2, df), df, abs(difference) / error)


def _expected(
    components: Components, seeds: ArrayLike, patients: ArrayLike, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of the means of designs and their degrees of freedom, each ``(N,)``."""
    s, p = (np.asarray(number) for number in np.broadcast_arrays(*np.atleast_1d(seeds, patients)))
    least = min(int(s.min()), int(p.min()))
    if least < 2 or not 0 < alpha < 1:
        found = f"{int(s.min())}, {int(p.min())} and {alpha}"
        raise ValueError(f"a design must have two seeds, two patients and a level in (0, 1); found {found}; correct it")
    v_seed, v_patient, v_rest = (max(0.0, value) for value in components.variances)
    squares = np.stack([p * v_seed + v_rest, s * v_patient + v_rest, np.full(s.shape, v_rest)])
    variance, df = mean_variance(squares, s, p)
    return np.sqrt(variance), df


def _first(numbers: np.ndarray, reached: np.ndarray) -> int | None:
    # Not by halving: with more patients the degrees of freedom can fall to those of the seeds, and the power with them.
    return int(numbers[reached.argmax()]) if reached.any() else None
