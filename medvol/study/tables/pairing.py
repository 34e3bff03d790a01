"""Two arms side by side: the same replicates on the same patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Pairing", "pair"]

_SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Pairing:
    """Scores of two arms that can be subtracted.

    Attributes:
        arm: ``(S, P)``, scores of the arm by replicate and patient, in the unit of the score.
        against: ``(S, P)``, those of the arm that it is compared with.
        replicates: the S replicates that both arms have.
        patients: the P patients.
        problem: why they cannot be compared, or ``""``.
    """

    arm: np.ndarray
    against: np.ndarray
    replicates: tuple[int, ...]
    patients: tuple[str, ...]
    problem: str = ""


def pair(arm: Any, against: Any) -> Pairing:
    """Pair two cubes of scores; arms that were scored on other patients, or with gaps, cannot be compared.

    Args:
        arm: ``values (S, P)``, ``replicates`` and ``patients``, as :func:`medvol.study.tables.table.cube` returns them.
        against: the same of the other arm.

    Example:
        >>> from types import SimpleNamespace as Some
        >>> arm = Some(values=np.ones((2, 1)), replicates=(0, 2), patients=("a",))
        >>> against = Some(values=np.zeros((2, 1)), replicates=(1, 2), patients=("a",))
        >>> pair(arm, against).replicates
        (2,)
    """
    replicates = tuple(r for r in against.replicates if r in set(arm.replicates))
    patients = tuple(against.patients)
    if not replicates or not patients or not arm.patients:
        return Pairing(np.empty((0, 0)), np.empty((0, 0)), (), (), "no replicate is finished in both arms")
    if set(arm.patients) != set(patients):
        other = sorted(set(arm.patients) ^ set(patients), key=str)
        names = ", ".join(map(str, other[:_SHOWN])) + (", ..." if len(other) > _SHOWN else "")
        problem = f"the two arms were scored on other patients ({len(other)} are in one of them only: {names})"
        return Pairing(np.empty((0, 0)), np.empty((0, 0)), (), (), problem)
    values = [_ordered(cube, replicates, patients) for cube in (arm, against)]
    gaps = sum(int((~np.isfinite(value)).sum()) for value in values)
    problem = f"{gaps} scores of these patients are missing or not finite" if gaps else ""
    return Pairing(values[0], values[1], replicates, patients, problem)


def _ordered(cube: Any, replicates: tuple[int, ...], patients: tuple[str, ...]) -> np.ndarray:
    rows = [list(cube.replicates).index(replicate) for replicate in replicates]
    columns = [list(cube.patients).index(patient) for patient in patients]
    return np.asarray(cube.values, dtype=np.float64)[np.ix_(rows, columns)]
