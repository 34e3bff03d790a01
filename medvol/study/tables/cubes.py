"""The scores of one arm at one label count, by replicate and patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..planning.design import Score

if TYPE_CHECKING:
    import pandas as pd

    from .table import Collected

__all__ = ["Cells", "Cube", "check_score", "corrupted_cube", "cube"]


@dataclass(frozen=True)
class Cube:
    """Scores of one arm at one label count.

    Attributes:
        values: ``(S, P)`` float64, in the unit of the metric, of replicate ``s`` on patient
            ``p``; not a number where a patient was not scored.
        replicates: S indices of replicates, ascending.
        patients: P names of patients, in natural order.
    """

    values: np.ndarray
    replicates: tuple[int, ...]
    patients: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Cells:
    """A table of scores, cut into cells once; a study has hundreds of cells and up to millions of rows.

    Attributes:
        rows: row numbers by (variant, arm, count, region, metric) and further columns.
        values: ``(N,)`` float64, all scores.
        replicates: ``(N,)`` integers.
        patients: names of all patients, in natural order.
        owners: ``(N,)`` integers, places in ``patients``.
    """

    rows: Mapping[tuple[Any, ...], np.ndarray]
    values: np.ndarray
    replicates: np.ndarray
    patients: tuple[str, ...]
    owners: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame, *further: str) -> Cells:
        """Cut ``Collected.scores``, or ``Collected.corrupted`` with its further columns."""
        import pandas as pd

        names = ["variant", "arm", "count", "region", "metric", *further]
        codes, found = pd.factorize(table["patient"])
        patients = sorted(map(str, found), key=_natural)
        place = {name: number for number, name in enumerate(patients)}
        owners = np.array([place[name] for name in found], dtype=np.int64)[codes]
        rows = table.groupby(names, sort=False).indices
        return cls(rows, table["value"].to_numpy(), table["replicate"].to_numpy(), tuple(patients), owners)

    def cube(self, key: tuple[Any, ...]) -> Cube:
        """The scores of a cell, the mean over the cases of each patient."""
        rows = self.rows.get(key)
        if rows is None:
            return Cube(np.zeros((0, 0)), (), ())
        replicates, row = np.unique(self.replicates[rows], return_inverse=True)
        patients, column = np.unique(self.owners[rows], return_inverse=True)
        shape = len(replicates), len(patients)
        place = row * shape[1] + column
        number = np.bincount(place, minlength=shape[0] * shape[1])
        sums = np.bincount(place, self.values[rows], minlength=shape[0] * shape[1])
        means = np.divide(sums, number, out=np.full(len(sums), np.nan), where=number > 0)
        return Cube(means.reshape(shape), tuple(map(int, replicates)), tuple(self.patients[n] for n in patients))


def cube(collected: Collected, score: Score, arm: str, count: int | str, variant: str = "") -> Cube:
    """Return the scores of one arm at one label count, the mean over the cases of each patient.

    Args:
        collected: the tables.
        score: metric and region.
        arm: name of the arm.
        count: label count.
        variant: name of the variant.

    Returns:
        The scores of all finished replicates; shape (0, 0) without any.

    Raises:
        ValueError: no such arm, count or variant in the study, or no such metric or region in its scores.
    """
    key = _known(collected, score, arm, count, variant)
    return collected.clean_cells.cube(key)


def corrupted_cube(
    collected: Collected, score: Score, arm: str, count: int | str, corruption: str, severity: int, variant: str = ""
) -> Cube:
    """Return the scores of one arm at one label count on corrupted images; see :func:`cube`.

    Args:
        collected: the tables.
        score: metric and region.
        arm: name of the arm.
        count: label count.
        corruption: name of the corruption.
        severity: 1 to 5.
        variant: name of the variant.

    Raises:
        ValueError: as :func:`cube`.
    """
    key = _known(collected, score, arm, count, variant)
    return collected.corrupted_cells.cube((*key, corruption, severity))


def check_score(scores: pd.DataFrame, score: Score) -> None:
    """Refuse a score that is not among those of finished runs; without any scores nothing is known, nor refused.

    Args:
        scores: ``Collected.scores``.
        score: metric and region.

    Raises:
        ValueError: no such metric or region, with what there is.
    """
    if not len(scores):
        return
    for name, column in ((score.metric, "metric"), (score.region, "region")):
        _check_name(f"a score's {column}", name, list(scores[column].unique()))
    own = scores["metric"] == score.metric
    if not (own & (scores["region"] == score.region)).any():
        _check_name(f"a region of {score.metric}", score.region, list(scores.loc[own, "region"].unique()))


def _known(collected: Collected, score: Score, arm: str, count: int | str, variant: str) -> tuple[str, ...]:
    """The key of a cell, after its names are known to be right."""
    study, key = collected.study, (variant, arm, str(count), score.region, score.metric)
    if key in collected.clean_cells.rows:
        return key
    _check_name("an arm", arm, list(study.arms))
    _check_name("a label count", str(count), [str(known) for known in study.counts])
    _check_name("a variant", variant, list(study.variants))
    check_score(collected.scores, score)
    return key


def _check_name(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        from medvol.bundles.keys import suggest

        raise ValueError(
            f"{what} must be one of {', '.join(repr(k) for k in known)}; found {name!r}{suggest(name, known)}; "
            "correct the name"
        )


def _natural(name: str) -> tuple[Any, ...]:
    """Sorts ``case_2`` before ``case_10``."""
    return tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name))
