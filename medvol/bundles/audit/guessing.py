"""Two classifiers that guess answers from crude statistics, and how often they may be right at most."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..embedding.neighbors import hits_interval
from .crude import GROUPS

__all__ = [
    "CLASSIFIERS",
    "FEWEST",
    "Answer",
    "Table",
    "best_by_group",
    "chance_of",
    "guess",
    "log_chances",
    "share_interval",
]

FEWEST = 10
"""Volumes or patients that an interval needs."""

CLASSIFIERS = ("logistic regression", "random forest")

_TREES = 100

_LEAST = 1e-6  # chance of an answer that was never seen in learning

_ROUNDING = 1e-5  # a statistic that varies less, where images have a scale of 1, is what 32 bits leave of a constant


@dataclass(frozen=True)
class Table:
    """Crude statistics of many patches, pairs or views.

    Attributes:
        features: ``(n, F)``.
        labels: ``(n,)`` right answers, whole numbers.
        units: ``(n,)`` number of the volume or patient of each row: rows of one of them depend on each other.
        columns: kind of statistic of each feature, ``F`` words.
        draws: ``(n,)`` number of the sample that each row is of, samples of one volume having different ones; needed
            where whole samples are asked.
    """

    features: np.ndarray
    labels: np.ndarray
    units: np.ndarray
    columns: Sequence[str]
    draws: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    def of(self, group: str) -> Table:
        """Return the statistics of one kind only."""
        chosen = [column == group for column in self.columns]
        return Table(self.features[:, chosen], self.labels, self.units, [group] * sum(chosen))


@dataclass(frozen=True)
class Answer:
    """How often one way of guessing is right.

    Attributes:
        way: the classifier.
        right: share of right answers, 0 to 1.
        low: lower end of the 95 % interval; below it lies the true share with a probability of 2.5 % at most.
        high: upper end; above it lies the true share with a probability of 2.5 % at most.
        samples: answers that were scored.
        units: volumes or patients that they are of.
    """

    way: str
    right: float
    low: float
    high: float
    samples: int
    units: int

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes by name, for JSON."""
        return asdict(self)


def share_interval(hits: np.ndarray, units: np.ndarray, asked: np.ndarray | None = None) -> tuple[float, float]:
    """Return the 95 % interval of a share of hits among rows that depend on each other within a unit.

    Wilson's interval with the effective number of rows, as in :func:`medvol.bundles.embedding.neighbors.agreement`.
    Each end by itself is a bound of 97.5 %, so that the larger upper end of two classifiers is one of 95 %
    (Bonferroni).

    Args:
        hits: ``(n,)``, 1 for right and 0 for wrong.
        units: ``(n,)``, the volume or patient of each row; at least 10 different ones.
        asked: ``(n,)``, the volume or patient that each row was compared with, where it is another than its own.

    Raises:
        ValueError: there are fewer than 10 units.

    Example:
        >>> low, high = share_interval(np.tile([0.0, 1.0], 50), np.arange(100))
        >>> round(low, 2), round(high, 2)
        (0.4, 0.6)
    """
    found = len(np.unique(units))
    if found < FEWEST:
        raise ValueError(f"an interval needs samples of at least {FEWEST} volumes; found {found}; draw from more")
    numbers = np.unique(np.concatenate([units, units if asked is None else asked]), return_inverse=True)[1]
    low, high = hits_interval(np.asarray(hits, float), *numbers.reshape(2, -1), is_number=False)
    return low, high


def chance_of(train: Table, test: Table) -> float:
    """Return how often one is right without looking: by the commonest answer, or by any where all are as common.

    The commonest answer counts where some are rare, such as places at the edge, whose patches are often background.

    Args:
        train: where the answers, and the commonest, are taken from.
        test: where it is scored.

    Example:
        >>> table = Table(np.zeros((4, 1)), np.array([0, 1, 1, 1]), np.arange(4), ["level"])
        >>> chance_of(table, table)
        0.75
    """
    counts = np.bincount(train.labels)
    return float(max(1 / np.count_nonzero(counts), (test.labels == counts.argmax()).mean()))


def guess(train: Table, test: Table, seed: int) -> list[Answer]:
    """Let each classifier learn on some volumes and guess on others.

    Args:
        train: of the volumes to learn from.
        test: of other volumes.
        seed: of the random forest.

    Returns:
        One answer for each of ``CLASSIFIERS``, in that order.
    """
    kept = _varying(train.features)
    known, asked = train.features[:, kept], test.features[:, kept]
    models = (
        _regression(),
        # Half of the samples for each tree: half of the time.
        RandomForestClassifier(_TREES, min_samples_leaf=3, max_samples=0.5, n_jobs=1, random_state=seed),
    )
    found = []
    for way, model in zip(CLASSIFIERS, models, strict=True):
        hits = _answers(model, known, train.labels, asked) == test.labels
        low, high = share_interval(hits, test.units)
        found.append(Answer(way, float(hits.mean()), low, high, len(hits), len(np.unique(test.units))))
    return found


def best_by_group(train: Table, test: Table) -> Mapping[str, float]:
    """Return how often each kind of statistic alone is right by logistic regression, the best first.

    Args:
        train: of the volumes to learn from.
        test: of other volumes.
    """
    found = {}
    for group in GROUPS:
        known, asked = train.of(group), test.of(group)
        kept = _varying(known.features)
        if kept.any():
            guessed = _answers(_regression(), known.features[:, kept], known.labels, asked.features[:, kept])
            found[group] = float((guessed == asked.labels).mean())
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def log_chances(train: Table, test: Table, count: int) -> np.ndarray:
    """Return how likely logistic regression takes each answer to be.

    Args:
        train: of the volumes to learn from.
        test: of other volumes, ``n`` rows.
        count: of answers, numbered from 0.

    Returns:
        ``(n, count)`` natural logarithms.
    """
    kept = _varying(train.features)
    chances = np.full((len(test.labels), count), _LEAST)
    if kept.any() and len(np.unique(train.labels)) > 1:
        model = _fitted(_regression(), train.features[:, kept], train.labels)
        chances[:, model.classes_] += model.predict_proba(test.features[:, kept])
    return np.log(chances)


def _regression() -> Any:
    # Strongly regularized: there are about as many statistics as samples of a class.
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=100, tol=1e-3))


def _answers(model: Any, known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    if len(np.unique(labels)) < 2 or not known.shape[1]:
        return np.full(len(asked), np.bincount(labels).argmax())
    return _fitted(model, known, labels).predict(asked)


def _fitted(model: Any, known: np.ndarray, labels: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last digit of a crude guess does not matter
        return model.fit(known, labels)


def _varying(features: np.ndarray) -> np.ndarray:
    return features.std(axis=0) > _ROUNDING
