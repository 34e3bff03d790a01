"""Everything that a report is made of, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..planning.design import Study
from ..planning.plan import Plan
from .records import RunRecord, read_records

if TYPE_CHECKING:
    import pandas as pd

    from ..judging.verdict import Verdict
    from ..tables.table import Collected

__all__ = ["Findings", "find"]


@dataclass(frozen=True)
class Findings:
    """The results of a study folder.

    Attributes:
        folder: study folder.
        collected: tables of the runs.
        verdicts: comparisons of the arms.
        convergence: how fast each arm learns, by label count.
        equivalence: the smallest label count at which an arm is as good as the reference with all labels.
        robustness: scores on corrupted images.
        records: what the finished runs say about themselves, by key.
    """

    folder: Path
    collected: Collected
    verdicts: Sequence[Verdict]
    convergence: pd.DataFrame
    equivalence: pd.DataFrame
    robustness: pd.DataFrame
    records: Mapping[str, RunRecord]

    @property
    def study(self) -> Study:
        """The study."""
        return self.collected.study

    @property
    def plan(self) -> Plan:
        """Its runs."""
        return self.collected.plan

    @property
    def labelled(self) -> int | None:
        """How many patients the label count ``all`` stands for, where that is known."""
        return self.collected.labelled

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants; ``""`` alone without any."""
        return tuple(self.study.variants)


def find(folder: str | Path) -> Findings:
    """Read a study folder and compute all that is reported of it.

    Args:
        folder: study folder, finished or not.

    Raises:
        ValueError: the folder holds no study, or one that cannot be read.
        FileNotFoundError: there is no such folder.
    """
    from ..judging.verdict import judge
    from ..tables.convergence import convergence
    from ..tables.equivalence import label_equivalence
    from ..tables.robustness import robustness
    from ..tables.table import collect

    folder = Path(folder)
    collected = collect(folder)
    return Findings(
        folder, collected, tuple(judge(collected)), convergence(collected), label_equivalence(collected),
        robustness(collected), read_records(folder, [run.key for run in collected.plan.runs]),
    )  # fmt: skip
