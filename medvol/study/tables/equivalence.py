"""How many labels an arm saves: the smallest label count at which it is as good as the reference with all labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..formatting import arm_text, count_text, decimals, interval_text, score_text, signed
from ..rules import too_little
from .budgets import another_budget, budget_tags
from .cubes import cube
from .pairing import pair

if TYPE_CHECKING:
    import pandas as pd

    from .table import Collected

__all__ = ["against_all_labels", "label_equivalence"]

_ITSELF = "the reference itself"
_PAIR_COLUMNS = "variant arm count reference_count margin difference low high seeds patients non_inferior note".split()
_COLUMNS = (
    "variant arm budget reference_count margin status smallest_count difference low high seeds patients sentence"
).split()


def against_all_labels(collected: Collected) -> pd.DataFrame:
    """Compare every arm at every label count with the reference arm at its largest label count.

    Args:
        collected: the tables.

    Returns:
        A row per variant, arm and label count: ``difference`` of the main score (arm minus reference, in its unit) with
        its 95 % interval ``low`` to ``high``, seeds and patients random (:func:`medvol.metrics.crossed_interval`),
        paired by replicate and patient; ``non_inferior``, True where the interval excludes being worse by ``margin``
        or more, None where nothing is judged; ``note`` says why.
    """
    import pandas as pd

    study, rows = collected.study, []
    for variant in study.variants:
        for arm in study.arms:
            for count in study.counts:
                rows.append((variant, arm, str(count), str(study.counts[-1]), study.margin,
                             *_compared(collected, variant, arm, count)))  # fmt: skip
    table = pd.DataFrame(rows, columns=_PAIR_COLUMNS)
    return table.astype({"non_inferior": object})


def label_equivalence(collected: Collected) -> pd.DataFrame:
    """Find the smallest label count at which an arm is non-inferior to the reference arm with all labels.

    "Smallest fraction at which an arm reaches the baseline's full-data result" is the claim of ConVIRT (Zhang et al.,
    MLHC 2022, https://arxiv.org/abs/2010.00747); here it is reached where the 95 % interval of the paired difference
    excludes a loss of ``margin`` or more. Several counts are tried without a correction, and the sentence says where a
    larger count fails.

    Args:
        collected: the tables.

    Returns:
        A row per variant and arm: ``status`` is ``reached``, ``not reached`` or ``not judged`` (fewer than three seeds,
        fewer than two patients, no spread, other patients, or another budget than the reference's);
        ``smallest_count`` is text, empty unless reached; ``difference``, ``low``, ``high``, ``seeds`` and ``patients``
        are those at that count, or at the largest one that was judged.
    """
    import pandas as pd

    table, rows = against_all_labels(collected), []
    tags = {variant: budget_tags(collected.plan, variant, collected.study.counts[-1]) for variant in table["variant"]}
    for (variant, arm), group in table.groupby(["variant", "arm"], sort=False):
        judged = [row for row in group.itertuples() if row.non_inferior is not None]
        reached = [row for row in judged if row.non_inferior]
        status = "reached" if reached else "not reached" if judged else "not judged"
        row = reached[0] if reached else judged[-1] if judged else None
        numbers = (row.difference, row.low, row.high, row.seeds, row.patients) if row else (np.nan,) * 3 + (0, 0)
        last = list(group.itertuples())[-1]
        budget = tags[variant].get(arm, "")
        text = _sentence(collected, arm_text(arm, budget), status, row, judged, last)
        rows.append((variant, arm, budget, last.reference_count, last.margin, status,
                     reached[0].count if reached else "", *numbers, text))  # fmt: skip
    return pd.DataFrame(rows, columns=_COLUMNS)


def _compared(collected: Collected, variant: str, arm: str, count: Any) -> tuple[Any, ...]:
    from medvol.metrics import crossed_interval

    study = collected.study
    score, most = study.scores[0], study.counts[-1]
    against = cube(collected, score, study.reference, most, variant)
    pairing = pair(cube(collected, score, arm, count, variant), against)
    other = another_budget(study, budget_tags(collected.plan, variant, count), arm)
    if other or pairing.problem:
        return *(np.nan,) * 3, len(pairing.replicates), len(pairing.patients), None, other or pairing.problem
    gaps = pairing.arm - pairing.against
    if note := too_little(gaps):
        return float(gaps.mean()), np.nan, np.nan, *gaps.shape, None, note
    found = crossed_interval(gaps)
    good = found.low > -study.margin if score.higher_is_better else found.high < study.margin
    note = _ITSELF if (arm, count) == (study.reference, most) else ""
    return found.mean, found.low, found.high, *gaps.shape, bool(good), note


def _sentence(collected: Collected, arm: str, status: str, row: Any, judged: list[Any], last: Any) -> str:
    study = collected.study
    score, labelled = study.scores[0], collected.labelled
    goal = f"{study.reference} with {count_text(last.reference_count, labelled)}"
    if status == "not judged":
        return f"{arm}: not judged against {goal}: {last.note}."
    digits, labels = decimals(score.metric), count_text(row.count, labelled)
    ends = interval_text(row.low, row.high, digits, sign=True)
    difference = f"{score_text(score.metric, score.region)} {signed(row.difference, digits)}, 95 % interval {ends}"
    if status == "not reached":
        return f"{arm}: at no label count shown to be within {study.margin:g} of {goal}; with {labels} {difference}."
    if row.note == _ITSELF:
        return f"{arm}: with no fewer labels shown to be within {study.margin:g} of itself with {labels}."
    later = [other.count for other in judged[judged.index(row) :] if not other.non_inferior]
    but = f"; not shown with {', '.join(later)}, so this may be chance" if later else ""
    return f"{arm}: with {labels} not worse than {goal} by {study.margin:g} or more ({difference}){but}."
