"""What a sample asks of the network, read from the sample itself, and that question put to crude statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..previews.record import read_record
from .crude import crude_columns, crude_statistics

__all__ = ["SENTENCES", "Rows", "find_question", "question_rows"]

SENTENCES = {
    "cell": "which cell of the grid does a patch come from?",
    "relation": "where does a patch lie, as seen from the central one?",
    "order": "in which of the listed orders do the patches of a puzzle stand?",
    "class": "which class has this view, such as how it was turned?",
    "match": "which views are of one image?",
}
"""Question by name, in words."""

_IGNORED = -100


@dataclass(frozen=True)
class Rows:
    """One line per patch, pair or view.

    Attributes:
        features: ``(n, F)`` crude statistics, float32.
        labels: ``(n,)`` right answers; for the question ``match`` all zero.
        columns: kind of statistic of each feature.
    """

    features: np.ndarray
    labels: np.ndarray
    columns: list[str]


def find_question(sample: Mapping[str, Any]) -> str:
    """Say what a sample asks, by what it holds and never by the name of its bundle.

    Args:
        sample: as the network gets it, with the record ``pretext``.

    Returns:
        A key of ``SENTENCES``: ``cell`` for a grid of patches, ``relation`` if there is a label for all of them but the
        central one, ``class`` for one label per view, ``match`` for several views without labels of their own.

    Raises:
        ValueError: there is no record, a wrong one, or nothing to ask: the answer of a restoration is an image.

    Example:
        >>> find_question({"image": torch.zeros(4, 1, 8, 8), "label": torch.arange(4), "pretext": {}})
        'class'
    """
    image, record = sample.get("image"), sample.get("pretext")
    if _is_restoration(sample):
        raise ValueError(
            "an audit needs a task with a class to guess, such as a place or a turn; found a restoration, whose answer "
            "is an image; there is nothing to guess: look at its samples with 'python -m medvol preview'"
        )
    if record is None or not isinstance(image, Tensor) or image.ndim < 3:
        found = "no record" if record is None else f"an image of the shape {tuple(getattr(image, 'shape', ()))}"
        raise ValueError(
            "an audit needs samples with 'image' (V, C, *spatial) and the record 'pretext' of what was drawn; found "
            f"{found}; name a bundle of pre-training, or let its transform leave the record (see docs/previews.md)"
        )
    known = read_record(record, len(record["boxes"][0][0]) if record.get("boxes") else image.ndim - 2)
    label = sample.get("label")
    labels = tuple(label.shape) if isinstance(label, Tensor) and not label.is_floating_point() else None
    views, cells = len(image), int(np.prod(known.grid)) if known.grid else 1
    if cells > 1 and cells == views == len(known.boxes):
        is_relation = not known.permutation and labels == (views - 1,)
        return "relation" if is_relation else "cell"
    if labels == (views,):
        return "class"
    if views > 1 and (label is None or np.asarray(label).size == 1):  # one number for all views says whose they are
        return "match"
    raise ValueError(
        f"a sample must hold a grid of patches with their boxes, one label per view, or several views; found {views} "
        f"views, {len(known.boxes)} boxes, a grid of {cells} and labels of the shape {labels}; see docs/audit.md for "
        "what each task leaves"
    )


def question_rows(sample: Mapping[str, Any], question: str, threshold: float, scale: float = 1.0) -> Rows:
    """Put a question to the crude statistics of a sample.

    Patches with too little foreground are left out, as in training, and so is what is labelled -100.

    Args:
        sample: as the network gets it.
        question: of :func:`find_question`.
        threshold: least fraction of foreground of a patch.
        scale: what the values are divided by, one number for all samples.

    Returns:
        The rows, none where everything is left out.
    """
    image: Tensor = sample["image"]
    features = crude_statistics(image / scale).numpy()
    columns = crude_columns(image.shape[1], image.shape[2:])
    label = np.asarray(sample["label"]) if isinstance(sample.get("label"), Tensor) else np.zeros(0, int)
    count = len(image)
    if question == "cell":
        places = sample["pretext"].get("permutation") or range(count)
        foreground = np.asarray(sample.get("foreground", torch.ones(count)))
        asked = foreground >= threshold if _is_asked(label) else np.zeros(count, bool)
        return Rows(features[asked], np.asarray(places)[asked], columns)
    if question == "relation":
        center = (count - 1) // 2
        others = np.delete(features, center, axis=0)
        # The difference stands for the center: a tree, which asks for one number at a time, could not subtract.
        pairs = np.concatenate([others, others - features[center]], axis=1)
        asked = label != _IGNORED
        return Rows(pairs[asked], label[asked], columns * 2)
    if question == "class":
        asked = label != _IGNORED
        return Rows(features[asked], label[asked], columns)
    return Rows(features, np.zeros(count, int), columns)


def _is_restoration(sample: Mapping[str, Any]) -> bool:
    """Say whether the answer is a map: something is hidden, or there is a label for every voxel."""
    image, label, mask = (sample.get(key) for key in ("image", "label", "mask"))
    if not isinstance(image, Tensor):
        return False
    maps = [part for part in (label, mask) if isinstance(part, Tensor) and part.ndim >= 3]
    return any(part.shape[1:] == image.shape[1:] for part in maps)


def _is_asked(label: np.ndarray) -> bool:
    """Say whether a grid takes part in its task: a jigsaw with an empty tile has no label."""
    return not len(label) or bool((label != _IGNORED).any())
