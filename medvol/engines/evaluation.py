"""What an evaluator keeps of every case: a row per score, or an embedding."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing

from medvol.distributed import is_main, world_size
from medvol.writing import write_whole

__all__ = ["COLUMNS", "SaveEmbeddings", "ScoreCases"]

COLUMNS = ("case", "patient", "region", "metric", "value", "seed", "arm", "run")
"""Columns of ``metrics.csv``; a row's identity is (case, region, metric)."""


class ScoreCases:
    """Score every case of an evaluator on its native grid and write one row per case, region and metric.

    Attach it to a MONAI ``SupervisedEvaluator`` with ``decollate=True`` whose postprocessing ends in the predicted
    label map on the grid of the label file (``Invertd``, then ``RegionsToLabelsd`` or ``ClassesToLabelsd``); the label
    itself is only loaded, never resampled. At the end of the epoch the means stand in ``engine.state.metrics``
    (``WT_dice``, ..., ``mean_dice``), so handlers listed *after* this one can select on them, and the rows of all cases
    in ``engine.state.case_rows``; on completion the CSV is written, atomically and sorted, by the main process. Cases
    without a label are not scored; the log says how many.

    Args:
        scores: called with ``(prediction, reference, spacing)``, returns ``{"region", "metric", "value"}`` rows; its
            ``mean(rows)`` gives the entries of ``engine.state.metrics``. :class:`medvol.metrics.SegmentationScores`.
        path: CSV file to write; ``None`` to only set ``engine.state.metrics`` (validation during training).
        pred_key: key of the predicted label map ``(1, *spatial)``.
        label_key: key of the reference label map ``(1, *spatial)``.
        run: name of the run, a column of the file.
        arm: name of the arm, a column.
        seed: seed of the run, a column.
        spacing: voxel size in millimeters per spatial axis; ``None`` reads it from the label's affine.
        report: what was scored, such as "test"; then the means are printed at the end. ``None`` prints nothing.

    Raises:
        ValueError: while running, if the engine does not decollate, a case has no name or patient, two cases share a
            name, the prediction is on another grid than the label, or no spacing is known.

    Example:
        >>> scores = lambda prediction, reference, spacing: []
        >>> ScoreCases(scores, path=None, arm="scratch").columns
        {'seed': 0, 'arm': 'scratch', 'run': ''}
    """

    def __init__(
        self,
        scores: Callable[[Any, Any, Sequence[float]], list[dict[str, Any]]],
        path: str | Path | None = None,
        pred_key: str = "pred",
        label_key: str = "label",
        run: str = "",
        arm: str = "",
        seed: int = 0,
        spacing: Sequence[float] | None = None,
        report: str | None = None,
    ) -> None:
        self.scores = scores
        self.report = report
        self.path = None if path is None else Path(path)
        self.pred_key = pred_key
        self.label_key = label_key
        self.columns = {"seed": seed, "arm": arm, "run": run}
        self.spacing = spacing
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._all: list[dict[str, Any]] = []
        self._without_label = 0

    def attach(self, engine: Engine) -> None:
        """Register the four steps on an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._score)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._average)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._rows, self._all, self._without_label = {}, [], 0
        engine.state.case_rows = []

    def _score(self, engine: Engine) -> None:
        for sample in samples(engine):
            if not isinstance(sample.get(self.label_key), torch.Tensor | np.ndarray):
                self._without_label += 1
                continue
            case, patient = case_identity(sample, self._rows)
            prediction, reference = sample[self.pred_key], sample[self.label_key]
            rows = self.scores(prediction, reference, self._check_grid(case, prediction, reference))
            self._rows[case] = [{"case": case, "patient": patient, **row, **self.columns} for row in rows]

    def _check_grid(self, case: str, prediction: Any, reference: Any) -> Sequence[float]:
        """Return the spacing, after checking that prediction and reference lie in the same place."""
        if isinstance(prediction, MetaTensor) and isinstance(reference, MetaTensor):
            one, two = prediction.affine.cpu().double(), reference.affine.cpu().double()
            if one.shape != two.shape or not torch.allclose(one, two, atol=1e-3):
                raise ValueError(
                    f"prediction and label of case '{case}' must have one affine, but have {one.tolist()} and "
                    f"{two.tolist()}; invert the preprocessing with Invertd, and only load the label"
                )
        if self.spacing is not None:
            return self.spacing
        if not isinstance(reference, MetaTensor):
            raise ValueError(
                f"the label of case '{case}' must be a MetaTensor with an affine, but is a {type(reference).__name__}; "
                "load it with LoadImaged, or give ScoreCases the spacing"
            )
        return affine_to_spacing(reference.affine.cpu(), r=reference.ndim - 1).tolist()

    def _average(self, engine: Engine) -> None:
        parts = gather_objects((self._rows, self._without_label))
        # A distributed sampler repeats cases to give every rank the same number: each case counts once.
        cases = {case: rows for part, _ in parts for case, rows in part.items()}
        self._all = engine.state.case_rows = [row for case in sorted(cases) for row in cases[case]]
        if self._all:
            engine.state.metrics.update(self.scores.mean(self._all))
        skipped = sum(count for _, count in parts)
        if skipped:
            engine.logger.info(f"ScoreCases: {skipped} cases without '{self.label_key}' were not scored")

    def _write(self, engine: Engine) -> None:
        if self.path is None or not is_main():
            return
        rows = sorted(self._all, key=lambda row: (row["case"], row["region"], row["metric"]))
        write_table(self.path, [{**row, "value": float(row["value"])} for row in rows], COLUMNS)
        if self.report is not None:
            means = ", ".join(f"{name} {value:.4g}" for name, value in engine.state.metrics.items())
            cases = len({row["case"] for row in rows})
            print(f"medvol: {self.report}: {cases} cases scored; {means or 'no scores'}; {self.path}")


class SaveEmbeddings:
    """Write one vector per case: the network's output map, averaged over space.

    For the ``inference.json`` of a pretext bundle: an evaluator runs the encoder on whole volumes, and on completion
    the main process writes ``cases`` (names), ``patients`` (integers) and ``embeddings`` ``(N, F)`` float32, sorted by
    case, as one ``.npz``, atomically.

    Args:
        path: file to write, ending in ``.npz``.
        pred_key: key of the output, ``(F, *spatial)`` or ``(F,)`` per case.

    Raises:
        ValueError: if the path does not end in ``.npz``; while running, if the engine does not decollate, a case has no
            name or patient, or two cases share a name.

    Example:
        >>> SaveEmbeddings("eval/embeddings.npz").path.name
        'embeddings.npz'
    """

    def __init__(self, path: str | Path, pred_key: str = "pred") -> None:
        self.path = Path(path)
        if self.path.suffix != ".npz":
            raise ValueError(f"path must end in .npz, but is {path}; numpy writes no other archive")
        self.pred_key = pred_key
        self._vectors: dict[str, tuple[int, np.ndarray]] = {}

    def attach(self, engine: Engine) -> None:
        """Register the three steps on an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._vectors = {}

    def _collect(self, engine: Engine) -> None:
        for sample in samples(engine):
            case, patient = case_identity(sample, self._vectors)
            features = sample[self.pred_key].detach().as_subclass(torch.Tensor).float()
            self._vectors[case] = (patient, features.reshape(len(features), -1).mean(1).cpu().numpy())

    def _write(self, engine: Engine) -> None:
        vectors = {case: found for part in gather_objects(self._vectors) for case, found in part.items()}
        if not vectors or not is_main():
            return
        cases = sorted(vectors)
        data = io.BytesIO()
        np.savez(
            data,
            cases=np.array(cases),
            patients=np.array([vectors[case][0] for case in cases], dtype=np.int64),
            embeddings=np.stack([vectors[case][1] for case in cases]),
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, data.getvalue())


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Write rows as CSV; without columns given, those that occur, in the order in which they occur first.

    Args:
        path: the file; its folder is made.
        rows: value by column; what a row does not have stays empty.
        columns: names of the columns.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "new" / "table.csv"
        >>> write_table(file, [{"a": 0.1, "b": 2}, {"a": 1.0}])
        >>> file.read_text(encoding="utf-8").split()
        ['a,b', '0.1,2', '1.0,']
    """
    columns = columns or list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    table.writeheader()
    # repr gives the shortest text that reads back as the same number.
    table.writerows(
        {key: repr(float(value)) if isinstance(value, float) else value for key, value in row.items()} for row in rows
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.getvalue())


def samples(engine: Engine) -> Iterable[dict[str, Any]]:
    """Yield each case of an iteration: its batch entries, overlaid by what the engine put out."""
    batch, output = engine.state.batch, engine.state.output
    if not isinstance(batch, list) or not isinstance(output, list):
        raise ValueError(
            f"the evaluator must hand over a list of cases, but its output is a {type(output).__name__}; "
            "set decollate=True"
        )
    for entries, results in zip(batch, output, strict=True):
        yield {**entries, **{key: value for key, value in results.items() if value is not None}}


def case_identity(sample: Mapping[str, Any], seen: Mapping[str, Any]) -> tuple[str, int]:
    """Return the case's name and its patient, after checking that the name is new."""
    case, patient = sample.get("case"), sample.get("patient")
    if not isinstance(case, str) or patient is None:
        raise ValueError(
            f"a case must carry 'case' (a name) and 'patient' (an integer), but has {case!r} and {patient!r}; "
            "let Manifest.items or folder_items make the data items"
        )
    if case in seen:
        raise ValueError(f"case names must be unique, but '{case}' came twice; rename it in the manifest")
    return case, int(patient)


def gather_objects(part: Any) -> list[Any]:
    """Return every rank's object, in rank order."""
    if world_size() == 1:
        return [part]
    parts: list[Any] = [None] * world_size()
    dist.all_gather_object(parts, part)
    return parts
