"""What an evaluator keeps of a classification: rows of scores, and the probabilities of every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from ignite.engine import Engine, Events

from medvol.distributed import is_main
from medvol.engines.evaluation import COLUMNS, case_identity, gather_objects, samples, write_table

__all__ = ["ScoreClasses"]


class _Scores(Protocol):
    """What :class:`ScoreClasses` asks of its scores; :class:`medvol.metrics.ClassificationScores` has it."""

    outputs: int

    def mean(self, cases: Sequence[Mapping[str, Any]]) -> dict[str, float]: ...

    def rows(self, cases: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]: ...

    def predictions(self, cases: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]: ...


class ScoreClasses:
    """Score the classified cases of an evaluator, and write their scores and their probabilities as two tables.

    Attach it to a MONAI ``SupervisedEvaluator`` with ``decollate=True``. At the end of the epoch the metrics of the
    whole set stand in ``engine.state.metrics`` (``retinopathy_kappa``, ...); on completion the main process writes the
    tables, atomically and sorted. Cases whose label is not known are predicted and not scored.

    Args:
        scores: makes metrics, rows and predictions of the cases; :class:`medvol.metrics.ClassificationScores`.
        path: CSV file for the scores, with the columns of :data:`medvol.engines.evaluation.COLUMNS`; ``None``: none.
        predictions: CSV file for the probabilities; ``None``: none.
        pred_key: key of the logits ``(K,)``.
        label_key: key of the label ``(T,)``, NaN for what is not known; where a case has none, nothing is known.
        run: name of the run, a column.
        arm: name of the arm, a column.
        seed: seed of the run, a column.
        report: what was scored, such as "test"; then the metrics are printed at the end. ``None`` prints nothing.

    Raises:
        ValueError: while running, if the engine does not decollate, a case has no name or patient, two cases share a
            name, or a case has another number of logits than the scores expect.

    Example:
        >>> from types import SimpleNamespace
        >>> ScoreClasses(SimpleNamespace(outputs=4), arm="scratch").columns
        {'seed': 0, 'arm': 'scratch', 'run': ''}
    """

    def __init__(
        self,
        scores: _Scores,
        path: str | Path | None = None,
        predictions: str | Path | None = None,
        pred_key: str = "pred",
        label_key: str = "label",
        run: str = "",
        arm: str = "",
        seed: int = 0,
        report: str | None = None,
    ) -> None:
        self.scores = scores
        self.path = None if path is None else Path(path)
        self.predictions = None if predictions is None else Path(predictions)
        self.pred_key, self.label_key = pred_key, label_key
        self.columns = {"seed": seed, "arm": arm, "run": run}
        self.report = report
        self._seen: dict[str, dict[str, Any]] = {}
        self._cases: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Register the four steps on an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._score)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._seen, self._cases = {}, []

    def _collect(self, engine: Engine) -> None:
        for sample in samples(engine):
            case, patient = case_identity(sample, self._seen)
            logits = _numbers(sample[self.pred_key])
            if logits.shape != (self.scores.outputs,) or not np.isfinite(logits).all():
                raise ValueError(
                    f"the network must return {self.scores.outputs} finite logits for case '{case}'; found "
                    f"{'values that are not finite' if logits.shape == (self.scores.outputs,) else logits.shape}; "
                    "evaluate with the targets and the mode of the training"
                )
            label = sample.get(self.label_key)
            label = _numbers(label) if isinstance(label, torch.Tensor | np.ndarray) else None
            self._seen[case] = {"case": case, "patient": patient, "logits": logits, "label": label}

    def _score(self, engine: Engine) -> None:
        # A distributed sampler repeats cases to give every rank the same number: each case counts once.
        cases = {case: one for part in gather_objects(self._seen) for case, one in part.items()}
        self._cases = [cases[case] for case in sorted(cases)]
        engine.state.metrics.update(self.scores.mean(self._known()))

    def _known(self) -> list[dict[str, Any]]:
        return [one for one in self._cases if one["label"] is not None and not np.isnan(one["label"]).all()]

    def _write(self, engine: Engine) -> None:
        if not is_main():
            return
        if self.predictions is not None:
            write_table(self.predictions, self.scores.predictions(self._cases))
        if self.path is None:
            return
        found, notes = self.scores.rows(self._known())
        rows = [{**row, **self.columns} for row in found]
        rows.sort(key=lambda row: (row["case"], row["region"], row["metric"]))
        write_table(self.path, rows, COLUMNS)
        if self.report is not None:
            self._tell(engine, notes)

    def _tell(self, engine: Engine, notes: Sequence[str]) -> None:
        known, every = len(self._known()), len(self._cases)
        cases = f"{known} cases scored" + (f", {every - known} without a label" if known < every else "")
        means = ", ".join(f"{name} {value:.4g}" for name, value in engine.state.metrics.items())
        print(f"medvol: {self.report}: {cases}; {means or 'no scores'}; {self.path}")
        for note in notes:
            print(f"  {note}")


def _numbers(values: Any) -> np.ndarray:
    return torch.as_tensor(values).detach().as_subclass(torch.Tensor).double().cpu().numpy()
