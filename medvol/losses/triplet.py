"""Triplet loss over the views of all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medvol.distributed import all_sum, world_size

from .pairing import pair_views

__all__ = ["TripletLoss"]

_MININGS = ("semihard", "all", "hardest")
_DISTANCES = ("euclidean", "squared")


class TripletLoss(nn.Module):
    """Hold another patient's view further away than the other view of the image, by a margin.

    ``L = mean max(0, D(z, z+) - D(z, z-) + margin)`` over triplets of a view z, another view z+ of the same image and a
    view z- of another *patient* (Schroff et al. 2015, https://arxiv.org/abs/1503.03832, equation 2; Taleb et al. 2020,
    https://arxiv.org/abs/2006.03829, equation 3). Every view is once the anchor. If all embeddings are equal, the loss
    is the margin, exactly, and its gradient zero: a collapsed network does not recover.

    Negatives come from all processes, with gradient: ``W`` processes with ``B`` images compute the loss and, under
    DDP's averaging, the gradient of one process with ``W * B``. Distances are computed in single precision at least.

    The loss of Taleb et al. is ``TripletLoss(margin=1.0, mining="all")`` on embeddings of
    ``Projector(..., embedding=1024, normalize=False)``. Without unit length the loss can be lowered by making
    embeddings longer, so the default goes with ``normalize=True``.

    Args:
        margin: 0.2 to 0.5 for embeddings of length 1, whose distances lie between 0 and 2.
        mining: negatives of a pair: "semihard", the nearest of those further away than z+, or the furthest of all where
            none is; "hardest", the nearest of all; "all", each of them. Semi-hard negatives are chosen for being far
            enough: their loss lies below the margin even on noise, so judge by ``triplet_accuracy`` of
            :class:`medvol.metrics.ViewRetrieval`.
        distance: "euclidean", the length of the difference, or "squared", its square.

    Raises:
        ValueError: if an option is unknown or the margin not positive, embeddings and patients do not fit each other,
            there is one view only, or all images of all processes are of one patient.

    Example:
        >>> TripletLoss(margin=0.25)(torch.ones(4, 2, 3))
        tensor(0.2500)
    """

    def __init__(self, margin: float = 0.3, mining: str = "semihard", distance: str = "euclidean") -> None:
        super().__init__()
        if not 0 < margin < float("inf"):
            raise ValueError(f"margin must be positive; found {margin}; 0.3 is usual for embeddings of length 1")
        for name, value, known in (("mining", mining, _MININGS), ("distance", distance, _DISTANCES)):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; found {value!r}; choose one of these")
        self.margin, self.mining, self.distance = margin, mining, distance

    def forward(self, embeddings: Tensor, label: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            embeddings: ``(B, V, F)``, V views of each of B images.
            label: ``(B,)``, whole numbers, the patient of each image; None if every image is a patient of its own.

        Returns:
            Scalar: the mean over the triplets of all processes, the same on each.
        """
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            pairing = pair_views(embeddings, label)
            # by differences: exact zeros for equal codes, where the gradient is then zero, not infinite
            distances = torch.cdist(pairing.own, pairing.all, compute_mode="donot_use_mm_for_euclid_dist")
            distances = distances.square() if self.distance == "squared" else distances
            anchor, other = pairing.positive.nonzero(as_tuple=True)
            near = distances[anchor, other][:, None]  # (pairs, 1)
            chosen = self._mine(near.detach(), distances[anchor].detach(), pairing.negative[anchor])
            # the margin is added last, so that a collapsed network's loss is the margin to the bit
            total = (near - distances[anchor]).clamp(min=-self.margin)[chosen].sum()
            count = all_sum(chosen.sum().to(total.dtype))
            share = total * world_size() / count  # DDP averages over processes
            return self.margin + share + (all_sum(total) / count - share).detach()

    def _mine(self, near: Tensor, distances: Tensor, negative: Tensor) -> Tensor:
        """Return the negatives ``(pairs, W * M)``, boolean, of every pair of anchor and positive."""
        if self.mining == "all":
            return negative
        nearest = distances.masked_fill(~negative, float("inf"))
        if self.mining == "hardest":
            picked = nearest.argmin(dim=1)
        else:
            beyond = nearest.masked_fill(distances <= near, float("inf"))
            furthest = distances.masked_fill(~negative, float("-inf")).argmax(dim=1)
            picked = torch.where(beyond.isinf().all(dim=1), furthest, beyond.argmin(dim=1))
        return torch.zeros_like(negative).scatter_(1, picked[:, None], True)
