"""What a judgment needs, the same in verdicts, tables and pages."""

from __future__ import annotations

import numpy as np

from .formatting import plural

__all__ = ["ALPHA", "FEWEST_PATIENTS", "FEWEST_SEEDS", "LEVEL", "too_little"]

ALPHA = 0.05
"""A p-value below this, after Holm's adjustment, is a claim."""

LEVEL = 1 - ALPHA
"""Coverage of the intervals."""

FEWEST_SEEDS, FEWEST_PATIENTS = 3, 2

_ROUNDING = 1e-12  # of the largest value: a spread below this is that of the last digits


def too_little(values: np.ndarray) -> str:
    """Say why nothing can be judged by values of seeds and patients; ``""`` where it can.

    Values that are all the same have no spread to judge by, except for a difference of exactly zero everywhere: that
    is one model against itself.

    Args:
        values: ``(S, P)``, by replicate and patient: differences, losses or scores, finite; or ``(S,)``, one value
            per replicate.

    Example:
        >>> too_little(np.ones((2, 20)))
        '2 paired seeds, and at least 3 are needed'
        >>> too_little(np.zeros((3, 20)))
        ''
    """
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        return "there are no paired scores"
    if len(values) < FEWEST_SEEDS:
        return f"{plural(len(values), 'paired seed')}, and at least {FEWEST_SEEDS} are needed"
    if values.ndim > 1 and values.shape[1] < FEWEST_PATIENTS:
        return f"{plural(values.shape[1], 'patient')}, and at least {FEWEST_PATIENTS} are needed"
    means = [values] if values.ndim == 1 else [values.mean(1), values.mean(0)]
    if values.any() and max(np.ptp(mean) for mean in means) <= _ROUNDING * np.abs(values).max():
        who = "all seeds" if values.ndim == 1 else "all seeds and all patients"
        return f"{who} show the very same difference, so that nothing tells how sure it is"
    return ""
