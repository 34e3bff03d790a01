"""NT-Xent over the views of all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medvol.distributed import all_sum, world_size

from .pairing import Pairing, pair_views

__all__ = ["NTXentLoss"]


class NTXentLoss(nn.Module):
    """Normalized temperature-scaled cross-entropy of finding the other view of an image among views of other patients.

    ``L = - mean_(i,j) log( exp(s_ij / t) / (exp(s_ij / t) + sum_k exp(s_ik / t)) )`` with the cosine similarity s, over
    all ordered pairs (i, j) of views of one image; k are the views of other patients (Chen et al. 2020,
    https://arxiv.org/abs/2002.05709, equation 1, where every image is a patient of its own and has two views). Views of
    another image of the same patient are neither right nor wrong and do not count. With equal similarities and B
    patients of V views it is ``ln(V (B - 1) + 1)``.

    Views of other processes count as negatives, with gradient: ``W`` processes with ``B`` images compute the loss and,
    under DDP's averaging, the gradient of one process with ``W * B``. Similarities are computed in single precision at
    least.

    Args:
        temperature: divisor t of the similarities.

    Raises:
        ValueError: if the temperature is not positive, embeddings and patients do not fit each other, there is one view
            only, or all images of all processes are of one patient.

    Example:
        >>> same = torch.ones(4, 2, 3)
        >>> round(float(NTXentLoss()(same)), 4)  # ln 7
        1.9459
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive; found {temperature}; 0.1 is usual")
        self.temperature = temperature

    def forward(self, embeddings: Tensor, label: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            embeddings: ``(B, V, F)``, V views of each of B images, of any length.
            label: ``(B,)``, whole numbers, the patient of each image; None if every image is a patient of its own.

        Returns:
            Scalar: the mean over the pairs of all processes, the same on each.
        """
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            pairing = pair_views(embeddings, label, normalize=True)
            return mean_over_processes(self._own(pairing))

    def _own(self, pairing: Pairing) -> Tensor:
        """Return the mean over the pairs of this process."""
        scores = pairing.own @ pairing.all.T / self.temperature  # (B * V, W * B * V)
        against = scores.masked_fill(~pairing.negative, float("-inf")).logsumexp(dim=1)
        anchor, other = pairing.positive.nonzero(as_tuple=True)
        gap = against[anchor] - scores[anchor, other]
        return torch.logaddexp(gap, torch.zeros_like(gap)).mean()  # softplus, which PyTorch cuts off at 20


def mean_over_processes(own: Tensor) -> Tensor:
    """Return the mean of a scalar over all processes, with the gradient of the own share.

    Example:
        >>> mean_over_processes(torch.tensor(2.0))
        tensor(2.)
    """
    return own + (all_sum(own) / world_size() - own).detach()
