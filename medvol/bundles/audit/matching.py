"""Which views look alike to crude statistics: how often the nearest one is of the same image."""

from __future__ import annotations

import numpy as np

from ..embedding.spectrum import scaled
from .guessing import Answer, share_interval

__all__ = ["match"]


def match(
    features: np.ndarray, images: np.ndarray, batch_size: int, units: np.ndarray | None = None
) -> tuple[Answer, float]:
    """Ask for each view which other view of its batch is nearest, and whether it is of the same image.

    Distances are Euclidean between scaled statistics; views at one distance share the vote.

    Args:
        features: ``(n, F)`` statistics of views, those of one image one after another.
        images: ``(n,)`` number of the draw that each view is of: views of one draw are of the same image.
        batch_size: images that are compared with each other, 2 or more; an incomplete last batch is left out.
        units: ``(n,)`` the volume or patient of each view, where one of them was drawn several times; by default
            each image is one of its own.

    Returns:
        How often it is right, volumes or patients being what the interval counts, also those that others were found
        to be nearest to; and how often chance is.

    Raises:
        ValueError: there are fewer than 10 volumes or patients.

    Example:
        >>> images = np.repeat(np.arange(40), 2)
        >>> answer, chance = match(images[:, None].astype(float), images, batch_size=4)
        >>> answer.right, round(chance, 3)
        (1.0, 0.143)
    """
    images = np.unique(images, return_inverse=True)[1]
    batches = images // batch_size
    points = scaled(features)
    owners = images if units is None else np.asarray(units)
    hits, chances, asking, nearest_to = [], [], [], []
    for batch in range((images.max() + 1) // batch_size):
        rows = np.flatnonzero(batches == batch)
        distance = np.linalg.norm(points[rows, None] - points[None, rows], axis=-1)
        other = ~np.eye(len(rows), dtype=bool)
        same = (images[rows, None] == images[None, rows]) & other
        nearest = np.where(other, distance, np.inf).min(axis=1, keepdims=True)
        near = other & (distance <= nearest + 1e-9)
        hits += list((near & same).sum(axis=1) / near.sum(axis=1))
        chances += list(same.sum(axis=1) / other.sum(axis=1))
        asking += list(owners[rows])
        nearest_to += list(owners[rows[near.argmax(axis=1)]])
    low, high = share_interval(np.array(hits), np.array(asking, int), np.array(nearest_to, int))
    people = len(set(asking))
    return Answer("nearest statistics", float(np.mean(hits)), low, high, len(hits), people), float(np.mean(chances))
