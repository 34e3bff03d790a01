"""Embeddings as a file: a Parquet table, or NumPy's archive with the names that a bundle's own inference writes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["Embeddings", "as_npz", "as_parquet"]


@dataclass(frozen=True)
class Embeddings:
    """One vector per case.

    Attributes:
        table: one line per case: ``case``, ``patient`` and whatever is known besides.
        numbers: the patients' integer ids ``(N,)``.
        features: ``(N, F)`` float32; the mean of each feature map over its voxels.
        stages: the stage of the encoder that each of the F features is from.
        per_stage: whether stages were asked for; the features are then named by them.
        record: what made them, plain values.
    """

    table: pd.DataFrame
    numbers: np.ndarray
    features: np.ndarray
    stages: np.ndarray
    per_stage: bool = False
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """``e0`` ... of the last stage, or ``s<stage>_<i>`` where stages were asked for.

        Example:
            >>> table = pd.DataFrame({"case": ["a"], "patient": ["p"]})
            >>> Embeddings(table, np.zeros(1), np.zeros((1, 3)), np.array([0, 0, 2]), per_stage=True).names
            ['s0_0', 's0_1', 's2_0']
        """
        if not self.per_stage:
            return [f"e{i}" for i in range(len(self.stages))]
        starts = {int(stage): int(np.argmax(self.stages == stage)) for stage in np.unique(self.stages)}
        return [f"s{stage}_{i - starts[int(stage)]}" for i, stage in enumerate(self.stages)]


def as_parquet(embeddings: Embeddings) -> bytes:
    """Return the embeddings as a Parquet file; equal embeddings give equal bytes.

    The record stands as JSON in the file's metadata under ``medvol``. A column of the manifest whose name a feature
    has is called ``column_<name>``.

    Example:
        >>> table = pd.DataFrame({"case": ["a"], "patient": ["p"]})
        >>> content = as_parquet(Embeddings(table, np.zeros(1), np.zeros((1, 2), np.float32), np.array([3, 3])))
        >>> pd.read_parquet(io.BytesIO(content)).columns.tolist()
        ['case', 'patient', 'e0', 'e1']
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = embeddings.names
    columns = {_free(str(name), features): pa.array(values) for name, values in embeddings.table.items()}
    for name, values in zip(features, np.asarray(embeddings.features, np.float32).T, strict=True):
        columns[name] = pa.array(np.ascontiguousarray(values))
    table = pa.table(columns).replace_schema_metadata({"medvol": _json(embeddings.record)})
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


def as_npz(embeddings: Embeddings) -> bytes:
    """Return the embeddings as ``.npz``: what :class:`medvol.engines.SaveEmbeddings` writes, and a little more.

    ``cases``, ``patients`` (integers) and ``embeddings`` ``(N, F)`` are as there; ``stages`` ``(F,)`` says which stage
    a feature is from, ``patient_names`` holds the texts, ``record`` what made them as JSON. No pickle is needed.

    Example:
        >>> table = pd.DataFrame({"case": ["a"], "patient": ["p"]})
        >>> content = as_npz(Embeddings(table, np.zeros(1), np.zeros((1, 2), np.float32), np.array([3, 3])))
        >>> sorted(np.load(io.BytesIO(content)))
        ['cases', 'embeddings', 'patient_names', 'patients', 'record', 'stages']
    """
    content = io.BytesIO()
    np.savez(
        content,
        cases=np.array(embeddings.table["case"].tolist(), dtype=str),
        patients=np.asarray(embeddings.numbers, dtype=np.int64),
        patient_names=np.array(embeddings.table["patient"].tolist(), dtype=str),
        embeddings=np.asarray(embeddings.features, dtype=np.float32),
        stages=np.asarray(embeddings.stages, dtype=np.int64),
        record=np.array(_json(embeddings.record)),
    )
    return content.getvalue()


def _free(name: str, taken: Sequence[str]) -> str:
    return f"column_{name}" if name in taken else name


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, ensure_ascii=False)
