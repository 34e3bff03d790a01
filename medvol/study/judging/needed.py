"""How many seeds or patients would have shown a difference, without a long search where no number does."""

from __future__ import annotations

from scipy import stats

from medvol.metrics import Components, patients_needed, seeds_needed

__all__ = ["MOST", "more_patients", "more_seeds"]

MOST = 1000
"""Seeds or patients beyond which :mod:`medvol.metrics.design` does not look."""

_ALPHA, _WANTED, _GENEROUS = 0.05, 0.8, 1.25
_SIZES = (2, 3, 4, 6, 9, 14, 20, 30, 45, 70, 100, 150, 220, 330, 500, 700, MOST)


def more_seeds(components: Components, difference: float) -> int | None:
    """Seeds that show a difference on the same patients in four of five studies; None if a thousand do not.

    Args:
        components: of the study at hand.
        difference: the true difference to show, in the unit of the score.

    Example:
        >>> more_seeds(Components(0.0, 3, 20, (0.02, 0.004, 0.002)), 0.05)
        6
    """
    return seeds_needed(components, difference) if _within_reach(components, difference, seeds=MOST) else None


def more_patients(components: Components, difference: float) -> int | None:
    """Patients that show a difference with the same seeds in four of five studies; None if a thousand do not.

    Args:
        components: of the study at hand.
        difference: the true difference to show, in the unit of the score.

    Example:
        >>> more_patients(Components(0.0, 3, 20, (0.02, 0.004, 0.002)), 0.02) is None
        True
    """
    return patients_needed(components, difference) if _within_reach(components, difference, patients=MOST) else None


def _within_reach(components: Components, difference: float, seeds: int = 0, patients: int = 0) -> bool:
    """Whether the smallest standard error of any design with the most degrees of freedom of any would do."""
    designs = [(n if seeds else components.seeds, n if patients else components.patients) for n in _SIZES]
    v_seed, v_patient, v_rest = (max(0.0, value) for value in components.variances)
    if difference == 0 or v_seed == v_patient == v_rest == 0:
        return difference != 0
    expected = [
        Components(0.0, s, p, (p * v_seed + v_rest, s * v_patient + v_rest, v_rest)).variance_of_mean()
        for s, p in designs
    ]
    error = min(variance for variance, _ in expected) ** 0.5
    df = _GENEROUS * max(df for _, df in expected)  # between two sizes it may be larger
    bound = stats.t.ppf(1 - _ALPHA / 2, df)
    return bool(stats.nct.sf(bound, df, abs(difference) / error) >= _WANTED)
