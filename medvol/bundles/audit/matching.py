"""Which views look alike to crude statistics: how often the nearest one is of the same image."""

from __future__ import annotations

import numpy as np

from ..embedding.spectrum import scaled
from .guessing import Answer, share_interval

__all__ = ["match"]


def match(features: np.ndarray, images: np.ndarray, batch_size: int) -> tuple[Answer, float]:
    """Ask for each view which other view of its batch is nearest, and whether it is of the same image.

    Distances are Euclidean between scaled statistics; views at one distance share the vote.

    Args:
        features: ``(n, F)`` statistics of views, those of one image one after another.
        images: ``(n,)`` number of the image of each view.
        batch_size: images that are compared with each other, 2 or more; an incomplete last batch is left out.

    Returns:
        How often it is right, batches being what the interval counts; and how often chance is.

    Raises:
        ValueError: there are fewer than 10 batches.

    Example:
        >>> images = np.repeat(np.arange(40), 2)
        >>> answer, chance = match(images[:, None].astype(float), images, batch_size=4)
        >>> answer.right, round(chance, 3)
        (1.0, 0.143)
    """
    images = np.unique(images, return_inverse=True)[1]
    batches = images // batch_size
    points = scaled(features)
    hits, chances, units = [], [], []
    for batch in range((images.max() + 1) // batch_size):
        rows = np.flatnonzero(batches == batch)
        distance = np.linalg.norm(points[rows, None] - points[None, rows], axis=-1)
        other = ~np.eye(len(rows), dtype=bool)
        same = (images[rows, None] == images[None, rows]) & other
        nearest = np.where(other, distance, np.inf).min(axis=1, keepdims=True)
        near = other & (distance <= nearest + 1e-9)
        hits += list((near & same).sum(axis=1) / near.sum(axis=1))
        chances += list(same.sum(axis=1) / other.sum(axis=1))
        units += [batch] * len(rows)
    low, high = share_interval(np.array(hits), np.array(units))
    seen = (units[-1] + 1) * batch_size
    return Answer("nearest statistics", float(np.mean(hits)), low, high, len(hits), seen), float(np.mean(chances))
