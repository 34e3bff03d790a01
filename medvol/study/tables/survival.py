"""Times to an event that some runs never reach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["median_time"]


def median_time(times: Sequence[float], reached: Sequence[bool]) -> float:
    """Return the median time to an event where some are only known to be longer (right-censored).

    ``S(t) = prod over t_i <= t of (1 - d_i / n_i)`` with ``d_i`` events among ``n_i`` runs still under way at ``t_i``
    (Kaplan, Meier, J. Am. Stat. Assoc. 53, 1958, equation 2a); the median is the first time at which ``S`` is one half
    or less. Without censoring and for an even number of runs this is the lower of the two middle times.

    Args:
        times: of the event, or of the last look at a run that had not reached it; any unit.
        reached: whether the event happened.

    Returns:
        The median in the unit of ``times``; not a number where ``S`` stays above one half.

    Raises:
        ValueError: the two differ in length.

    Example:
        >>> median_time([100, 300, 600], [True, True, False]), median_time([600, 600, 100], [False, False, True])
        (300.0, nan)
    """
    t, event = np.asarray(times, dtype=np.float64), np.asarray(reached, dtype=bool)
    if t.shape != event.shape:
        raise ValueError(
            f"every time must have its event; found {len(t)} times and {len(event)} events; give one for each"
        )
    if not event.any():
        return float("nan")
    from scipy import stats

    surviving = stats.ecdf(stats.CensoredData.right_censored(t, ~event)).sf
    half = np.flatnonzero(surviving.probabilities <= 0.5 + 1e-9)
    return float(surviving.quantiles[half[0]]) if len(half) else float("nan")
