"""Scores of a classification: of every image, and of the whole set with one value per patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax
from scipy.stats import rankdata

from .jackknife import pseudo_values

__all__ = ["ClassificationScores", "auroc", "num_outputs", "quadratic_kappa"]

MODES = ("binary", "ordinal", "classes")


def quadratic_kappa(truth: ArrayLike, prediction: ArrayLike) -> float:
    """Return the quadratic weighted kappa of two gradings.

    ``1 - sum(w O) / sum(w E)`` with ``w_ij = (i - j)^2``, O the table of counts and E the one expected by chance
    (Cohen, Psychological Bulletin 70, 1968, https://doi.org/10.1037/h0026256). With these weights that is ``1 -
    mean((a - b)^2) / (mean(a^2) + mean(b^2) - 2 mean(a) mean(b))``, which needs no table and no number of grades.
    The numbers are those of scikit-learn's ``cohen_kappa_score`` (a test compares them), which takes a hundred times
    longer to check its arguments: a jackknife asks once per patient.

    Args:
        truth: ``(N,)`` grades, whole numbers.
        prediction: ``(N,)`` grades.

    Returns:
        1 for agreement, about 0 for chance, below 0 for less; NaN where both gradings are one and the same grade, or
        there is nothing to compare.

    Raises:
        ValueError: two different lengths.

    Example:
        >>> quadratic_kappa([0, 1, 2, 3], [0, 1, 2, 3]), quadratic_kappa([0, 0, 2, 2], [0, 2, 0, 2])
        (1.0, 0.0)
    """
    one, two = np.asarray(truth, dtype=float), np.asarray(prediction, dtype=float)
    if one.ndim != 1 or one.shape != two.shape:
        raise ValueError(f"gradings must have one length; found {one.shape} and {two.shape}; grade the same images")
    if not len(one):
        return float("nan")
    chance = np.mean(one**2) + np.mean(two**2) - 2 * np.mean(one) * np.mean(two)
    # The difference of equal sums is not always an exact zero.
    return float(1 - np.mean((one - two) ** 2) / chance) if chance > 1e-12 else float("nan")


def auroc(truth: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve: how often a positive image has the higher score, ties counting one half.

    The Mann-Whitney form (Hanley and McNeil, Radiology 143, 1982, https://doi.org/10.1148/radiology.143.1.7063747).
    The numbers are those of scikit-learn's ``roc_auc_score`` (a test compares them), which takes seventy times longer
    to check its arguments: a jackknife asks once per patient.

    Args:
        truth: ``(N,)`` of 0 and 1.
        score: ``(N,)``, higher means more likely 1.

    Returns:
        0 to 1; NaN where one of the two classes is missing.

    Example:
        >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        0.75
    """
    positive = np.asarray(truth) == 1
    count, rest = int(positive.sum()), int((~positive).sum())
    if not count or not rest:
        return float("nan")
    ranks = rankdata(np.asarray(score, dtype=float))
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * rest))


def num_outputs(mode: str, targets: Mapping[str, Sequence[str]]) -> int:
    """Return how many logits a network needs: one per finding, one less than there are grades, one per class.

    Args:
        mode: "binary", "ordinal" or "classes", see :class:`medvol.losses.ClassificationLoss`.
        targets: target to its classes, in order.

    Raises:
        ValueError: an unknown mode, or targets that it cannot take.

    Example:
        >>> num_outputs("ordinal", {"grade": ["none", "mild", "severe"]})
        2
    """
    sizes = [len(classes) for classes in targets.values()]
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}; found {mode!r}; choose by what the targets are")
    if not sizes or min(sizes) < 2 or (set(sizes) != {2} if mode == "binary" else len(sizes) > 1):
        wanted = "targets of two classes each" if mode == "binary" else "one target of two or more classes"
        found = {name: list(classes) for name, classes in targets.items()}
        raise ValueError(
            f"mode '{mode}' must have {wanted}; found {found}; choose another mode, or correct the targets"
        )
    return len(sizes) if mode == "binary" else sizes[0] - (mode == "ordinal")


class ClassificationScores:
    """Scores of a classified set, as rows per image and per patient, and as one number each.

    Per image: ``accuracy`` (0 or 1) and, for grades, ``absolute_error`` (in grades). Of the whole set: ``kappa``
    (quadratic weighted) for grades, ``auroc`` for findings and classes (the mean of one class against the rest). A
    study compares patients, so a metric of the set is written as one jackknife pseudo-value per patient (see
    :func:`medvol.metrics.jackknife.pseudo_values`); their mean is the metric without its bias of order 1/n, and one of
    them alone may lie outside of the metric's range.

    A grade is the largest k with P(grade >= k) above one half; where the sigmoids do not fall, their running minimum
    counts. A class is the most probable one, a finding is present above one half.

    Args:
        targets: target to its classes, in order.
        mode: "binary", "ordinal" or "classes".

    A case is a mapping with ``case`` (name), ``patient`` (integer), ``logits`` ``(K,)`` and ``label`` ``(T,)``, NaN for
    unknown; only to be predicted, its label may be None.

    Raises:
        ValueError: an unknown mode, or targets that it cannot take.

    Example:
        >>> scores = ClassificationScores({"grade": ["none", "mild", "severe"]}, "ordinal")
        >>> cases = [{"case": f"c{k}", "patient": k, "logits": [k - 0.5, k - 1.5], "label": [k]} for k in range(3)]
        >>> scores.mean(cases)["grade_kappa"]
        1.0
    """

    def __init__(self, targets: Mapping[str, Sequence[str]], mode: str = "ordinal") -> None:
        self.outputs = num_outputs(mode, targets)
        self.targets = {name: list(classes) for name, classes in targets.items()}
        self.mode = mode

    def probabilities(self, logits: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return each target's probabilities ``(N, K)``, rows that sum to 1, of logits ``(N, outputs)``."""
        values = np.asarray(logits, dtype=np.float64).reshape(-1, self.outputs)
        if self.mode == "binary":
            present = expit(values)
            return {name: np.stack([1 - present[:, t], present[:, t]], 1) for t, name in enumerate(self.targets)}
        (name,) = self.targets
        if self.mode == "classes":
            return {name: softmax(values, axis=1)}
        above = np.minimum.accumulate(expit(values), axis=1)
        edges = np.pad(above, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
        return {name: edges[:, :-1] - edges[:, 1:]}

    def predicted(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the class ``(N,)`` of one target's probabilities ``(N, K)``."""
        if self.mode != "ordinal":
            return probabilities.argmax(1)
        return (probabilities[:, ::-1].cumsum(1)[:, ::-1][:, 1:] > 0.5).sum(1)

    def mean(self, cases: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Return each defined metric as ``<target>_<metric>``, and ``mean_<metric>`` over the targets."""
        found: dict[str, dict[str, float]] = {}
        for name, part in self._parts(cases):
            values = {metric: float(np.mean(each)) for metric, each in self._per_image(part).items()}
            values |= {metric: statistic(*arrays) for metric, statistic, arrays in self._of_the_set(part)}
            found[name] = {metric: value for metric, value in values.items() if np.isfinite(value)}
        metrics = dict.fromkeys(metric for values in found.values() for metric in values)
        means = {
            f"mean_{metric}": float(np.mean([values[metric] for values in found.values() if metric in values]))
            for metric in metrics
        }
        return {f"{name}_{metric}": value for name, values in found.items() for metric, value in values.items()} | means

    def rows(self, cases: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
        """Return the rows ``case, patient, region, metric, value`` and a sentence on each metric that is undefined.

        The region is the target. A row of a patient carries the name of that patient's first case.
        """
        rows: list[dict[str, Any]] = []
        notes: list[str] = []
        for name, part in self._parts(cases):
            identity = list(zip(part["case"].tolist(), part["patient"].tolist(), strict=True))
            for metric, values in self._per_image(part).items():
                rows += [_row(*one, name, metric, value) for one, value in zip(identity, values, strict=True)]
            first = {patient: case for case, patient in sorted(identity, reverse=True)}
            for metric, statistic, arrays in self._of_the_set(part):
                try:
                    if np.isnan(statistic(*arrays)):
                        raise ValueError(
                            "two classes or more must occur among the labels; found fewer; score more cases"
                        )
                    values = pseudo_values(statistic, *arrays, patients=part["patient"])
                except ValueError as error:
                    notes.append(f"{name} {metric} is left out of the table: {error}")
                    continue
                rows += [_row(first[p], p, name, metric, v) for p, v in zip(sorted(first), values, strict=True)]
        return rows, notes

    def predictions(self, cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return a row per case and target: ``truth`` and ``prediction`` by name, and ``p_<class>`` for every class.

        The truth is empty where it is not known.
        """
        rows = []
        probabilities = self.probabilities([case["logits"] for case in cases])
        for t, (name, classes) in enumerate(self.targets.items()):
            chosen = self.predicted(probabilities[name])
            for case, k, values in zip(cases, chosen, probabilities[name], strict=True):
                label = np.nan if case["label"] is None else float(case["label"][t])
                row = {"case": case["case"], "patient": case["patient"], "target": name}
                row |= {"truth": "" if np.isnan(label) else classes[int(label)], "prediction": classes[k]}
                rows.append(row | {f"p_{one}": float(v) for one, v in zip(classes, values, strict=True)})
        return rows

    def _parts(self, cases: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """Yield each target with its known cases, as arrays."""
        if not cases:
            return
        probabilities = self.probabilities([case["logits"] for case in cases])
        labels = np.array([np.asarray(case["label"], dtype=float) for case in cases])
        for t, name in enumerate(self.targets):
            known = ~np.isnan(labels[:, t])
            if known.any():
                yield (
                    name,
                    {
                        "case": np.array([case["case"] for case in cases])[known],
                        "patient": np.array([case["patient"] for case in cases])[known],
                        "truth": labels[known, t].astype(int),
                        "probabilities": probabilities[name][known],
                        "prediction": self.predicted(probabilities[name][known]),
                    },
                )

    def _per_image(self, part: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        error = np.abs(part["truth"] - part["prediction"]).astype(float)
        found = {"accuracy": (error == 0).astype(float)}
        return found | ({"absolute_error": error} if self.mode == "ordinal" else {})

    def _of_the_set(
        self, part: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[str, Callable[..., float], tuple[np.ndarray, ...]]]:
        """Yield the name, the statistic and its arrays; the statistic of a set with one class only is NaN."""
        if self.mode == "ordinal":
            yield "kappa", _kappa_of_grades, (part["truth"], part["prediction"])
        else:
            yield "auroc", _mean_auroc, (part["truth"], part["probabilities"])


def _kappa_of_grades(truth: np.ndarray, prediction: np.ndarray) -> float:
    return quadratic_kappa(truth, prediction) if len(np.unique(truth)) > 1 else float("nan")


def _mean_auroc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area of class 1 against class 0, or the mean area of each of more classes against the rest."""
    classes = range(1, 2) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    return float(np.mean([auroc(truth == k, probabilities[:, k]) for k in classes]))


def _row(case: str, patient: int, region: str, metric: str, value: float) -> dict[str, Any]:
    return {"case": case, "patient": int(patient), "region": region, "metric": metric, "value": float(value)}
