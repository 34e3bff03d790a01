"""InfoNCE over the codes of all processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medvol.distributed import all_sum, gather, rank, world_size

__all__ = ["InfoNCELoss"]

_IGNORED = -100


class InfoNCELoss(nn.Module):
    """Cross-entropy of picking the right code among all candidates.

    ``L = - mean_m log( exp(s_mp) / sum_n exp(s_mn) )`` with ``s_mn = prediction_m . code_n / temperature`` over the
    candidates n of prediction m, among them the right one p (van den Oord et al. 2018,
    https://arxiv.org/abs/1807.03748, equation 4; Taleb et al. 2020, https://arxiv.org/abs/2006.03829, equation 1, there
    with a misplaced sum). With equal scores it is the logarithm of the number of candidates.

    Codes of other processes join the candidates, with gradient: ``W`` processes with ``B`` volumes compute the loss
    and, under DDP's averaging, the gradient of one process with ``W * B``. Scores are computed in single precision at
    least.

    Args:
        temperature: divisor of the scores.

    Raises:
        ValueError: if the temperature is not positive, or the four tensors do not fit each other.

    Example:
        >>> predictions, codes = torch.zeros(2, 3), torch.eye(4, 3)
        >>> loss = InfoNCELoss()((predictions, codes, torch.tensor([0, 3]), torch.ones(2, 4, dtype=torch.bool)))
        >>> round(float(loss), 4)  # ln 4
        1.3863
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"expected a positive temperature, found {temperature}; 0.1 is usual")
        self.temperature = temperature

    def forward(self, outputs: tuple[Tensor, Tensor, Tensor, Tensor], label: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            outputs: predictions ``(M, F)``; codes ``(N, F)``; the row of the right code ``(M,)``, -100 to leave a
                prediction out; and the candidates ``(M, N)``, boolean, which include the right one.
            label: not used; the network returns what is right.

        Returns:
            Scalar: the mean over the predictions of all processes, the same on each. Zero, with a graph, if all are
                left out.
        """
        predictions, codes, positive, valid = outputs
        _check(predictions, codes, positive, valid)
        with torch.autocast(device_type=predictions.device.type, enabled=False):
            dtype = torch.promote_types(torch.promote_types(predictions.dtype, codes.dtype), torch.float32)
            scores = predictions.to(dtype) @ gather(codes.to(dtype)).T / self.temperature  # (M, W * N)
            ignored = positive == _IGNORED
            # A row without candidates would be NaN in the backward pass, although it is left out.
            candidates = _all_candidates(valid) | ignored[:, None]
            target = torch.where(ignored, _IGNORED, positive + rank() * len(codes))
            scores = scores.masked_fill(~candidates, float("-inf"))
            total = functional.cross_entropy(scores, target, ignore_index=_IGNORED, reduction="sum")
            sums = all_sum(torch.stack([total.detach(), (~ignored).sum().to(dtype)]))
            count = sums[1].clamp(min=1.0)
            share = total * world_size() / count  # DDP averages over processes
            return share + (sums[0] / count - share).detach()  # the gradient of the share, the value of the mean


def _all_candidates(valid: Tensor) -> Tensor:
    """Return the candidates ``(M, W * N)``: the own ones as given, and of other processes all that are any there."""
    if world_size() == 1:
        return valid
    count = valid.shape[1]
    candidates = gather(valid.any(dim=0)).repeat(len(valid), 1)
    candidates[:, rank() * count : (rank() + 1) * count] = valid
    return candidates


def _check(predictions: Tensor, codes: Tensor, positive: Tensor, valid: Tensor) -> None:
    shapes = [tuple(x.shape) for x in (predictions, codes, positive, valid)]
    rows, count = len(predictions), len(codes)
    if predictions.ndim != 2 or shapes[1:] != [(count, predictions.shape[1]), (rows,), (rows, count)]:
        raise ValueError(
            f"expected predictions (M, F), codes (N, F), positive (M,) and valid (M, N), found {shapes}; give the "
            "output of medvol.networks.CPC as it is"
        )
    if valid.dtype != torch.bool:
        raise ValueError(f"expected valid to be boolean, found {valid.dtype}; compare it with 0 first")
