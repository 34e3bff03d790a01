"""Cross-entropy that leaves samples out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from medvol.distributed import all_sum, world_size

__all__ = ["MaskedCrossEntropyLoss"]

_IGNORED = -100


class MaskedCrossEntropyLoss(nn.Module):
    """Cross-entropy over the samples that count, of all processes.

    ``L = - sum_i log softmax(logits_i)[y_i] / M`` over the M rows whose label is not -100 (Taleb et al. 2020,
    https://arxiv.org/abs/2006.03829, equation 2). PyTorch's own divides by the rows of one process, so that the
    gradient would depend on how many there are, and gives NaN where all are left out. Computed in single precision at
    least.

    Args:
        label_smoothing: share of the target spread over all classes.

    Raises:
        ValueError: if the smoothing is no share; when called, if logits and labels do not fit, or a label is out of
            range.

    Example:
        >>> loss = MaskedCrossEntropyLoss()(torch.zeros(4, 10), torch.tensor([[3, -100], [0, 9]]))
        >>> round(float(loss), 4)  # ln 10
        2.3026
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"expected label_smoothing in [0, 1), found {label_smoothing}; 0 turns it off")
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: ``(M, K)``.
            label: M classes in any shape, in the order of the rows, 0 to K - 1; -100 leaves a row out.

        Returns:
            Scalar: the mean over the counted rows of all processes, the same on each. Zero, with a graph, if there are
            none.
        """
        target = label.as_subclass(Tensor).flatten().long()
        _check(logits, label, target)
        with torch.autocast(device_type=logits.device.type, enabled=False):
            scores = logits.to(torch.promote_types(logits.dtype, torch.float32))
            total = functional.cross_entropy(
                scores, target, ignore_index=_IGNORED, reduction="sum", label_smoothing=self.label_smoothing
            )
            counted = (target != _IGNORED).sum().to(scores.dtype)
            sums = all_sum(torch.stack([total.detach(), counted]))
            count = sums[1].clamp(min=1.0)
            share = total * world_size() / count  # DDP averages over processes
            return share + (sums[0] / count - share).detach()  # the gradient of the share, the value of the mean


def _check(logits: Tensor, label: Tensor, target: Tensor) -> None:
    if logits.ndim != 2 or len(logits) != len(target):
        raise ValueError(
            f"expected logits (M, K) and M labels, found {tuple(logits.shape)} and {tuple(label.shape)}; use one grid, "
            "or number of views, in the transforms and the network"
        )
    wrong = target[(target != _IGNORED) & ((target < 0) | (target >= logits.shape[1]))]
    if len(wrong):
        raise ValueError(
            f"expected labels from 0 to {logits.shape[1] - 1}, or -100, found {int(wrong[0])}; use one number of "
            "classes in the transforms and the network"
        )
