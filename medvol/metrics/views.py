"""How well views find their own image, and whether embeddings have collapsed."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from medvol.distributed import gather

__all__ = ["COLLAPSED", "ViewRetrieval"]

COLLAPSED = 0.1
"""Spread of embeddings of length 1 below which they are nearly one and the same."""


class ViewRetrieval:
    """Whether the nearest other view is of the same image, and how far embeddings are spread.

    A monitor for networks that return embeddings ``(B, V, F)`` of views, with patients ``(B,)`` as label. Candidates
    are the views of the batch of all processes; views of another image of the same patient are neither right nor wrong
    and are left out.

    - ``top1``: share of views whose nearest candidate is of the same image; ``chance``: what guessing gives. Of t
      candidates that are equally near each counts ``1 / t``.
    - ``triplet_accuracy``: share of triplets (view, other view of the image, view of another patient) in which the
      image's own view is nearer; equal distances count half, so that 0.5 is chance.
    - ``spread``: standard deviation of an embedding's feature over all views seen, embeddings of length 1, mean over
      features, times the square root of their number. 1 for embeddings in all directions, 0 for one and the same
      embedding; below 0.1 they have collapsed, and validation says so.

    Example:
        >>> retrieval = ViewRetrieval()
        >>> retrieval.update(torch.eye(2)[:, None].repeat(1, 2, 1))
        >>> {name: round(value, 3) for name, value in retrieval.compute().items()}
        {'top1': 1.0, 'chance': 0.333, 'triplet_accuracy': 1.0, 'spread': 0.707}
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._counts = torch.zeros(5, dtype=torch.float64)  # found, by guessing, views, triplets right, triplets
        self._moments: Tensor | None = None  # (3, F): embeddings, their squares, their number

    @torch.no_grad()
    def update(self, output: Tensor, label: Tensor | None = None) -> None:
        """Add one batch.

        Args:
            output: embeddings ``(B, V, F)``.
            label: patients ``(B,)``; None if every image is a patient of its own.

        Raises:
            ValueError: if embeddings and patients do not fit each other.
        """
        if not isinstance(output, Tensor) or output.ndim != 3 or (label is not None and label.numel() != len(output)):
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            patients = "none" if label is None else tuple(label.shape)
            raise ValueError(
                f"this monitor takes embeddings (B, V, F) and patients (B,); found {found} and {patients}; it goes "
                "with networks such as medvol.networks.Projector"
            )
        output, label = gather(output.detach()), None if label is None else gather(label.flatten())
        count, views = output.shape[:2]
        codes = output.double().flatten(0, 1)
        image = torch.arange(count, device=codes.device).repeat_interleave(views)
        patient = image if label is None else label.to(codes.device).flatten().repeat_interleave(views)
        own = (image[:, None] == image) & ~torch.eye(len(image), dtype=torch.bool, device=codes.device)
        other = patient[:, None] != patient
        distances = torch.cdist(codes, codes, compute_mode="donot_use_mm_for_euclid_dist")
        self._counts += torch.stack([*_nearest(distances, own, other), *_triplets(distances, own, other)]).cpu()
        unit = torch.nn.functional.normalize(codes, dim=-1)
        moments = torch.stack([unit.sum(0), unit.square().sum(0), torch.full_like(unit[0], len(unit))]).cpu()
        self._moments = moments if self._moments is None else self._moments + moments

    def compute(self) -> dict[str, float]:
        """Return the four values over everything seen; NaN where there was nothing to judge by."""
        found, chance, views, right, triplets = self._counts.tolist()
        spread = float("nan")
        if self._moments is not None:
            total, squares, number = self._moments
            deviation = (squares / number - (total / number).square()).clamp(min=0).sqrt()
            spread = float(deviation.mean()) * len(deviation) ** 0.5
        return {
            "top1": found / views if views else float("nan"),
            "chance": chance / views if views else float("nan"),
            "triplet_accuracy": right / triplets if triplets else float("nan"),
            "spread": spread,
        }

    def alarm(self, values: Mapping[str, float]) -> str | None:
        """Say that embeddings have collapsed, or not spread yet, if the values of :meth:`compute` tell so.

        Args:
            values: by name; others may be among them.

        Example:
            >>> ViewRetrieval().alarm({"spread": 0.5}) is None
            True
        """
        if not values["spread"] < COLLAPSED:
            return None
        return (
            f"embeddings are nearly one and the same: their spread is {values['spread']:.3f}, where at least "
            f"{COLLAPSED} is expected; if it does not rise, lower the learning rate, or raise the batch size or the "
            "temperature"
        )


def _nearest(distances: Tensor, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the sums of right nearest candidates, of what guessing gives, and of views that have both kinds."""
    candidate = own | other
    judged = own.any(dim=1) & other.any(dim=1)
    nearest = distances.masked_fill(~candidate, float("inf"))
    best = (nearest == nearest.amin(dim=1, keepdim=True)) & candidate
    found = (best & own).sum(dim=1).double() / best.sum(dim=1)
    chance = own.sum(dim=1).double() / candidate.sum(dim=1)
    return found[judged].sum(), chance[judged].sum(), judged.double().sum()


def _triplets(distances: Tensor, own: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many triplets are right, equal distances by half, and how many there are."""
    anchor, partner = own.nonzero(as_tuple=True)
    near, far, counted = distances[anchor, partner][:, None], distances[anchor], other[anchor]
    right = ((near < far).double() + 0.5 * (near == far).double()) * counted
    return right.sum(), counted.double().sum()
