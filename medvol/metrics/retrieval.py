"""How often the right code is found."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ContrastiveAccuracy"]


class ContrastiveAccuracy:
    """Share of predictions whose best-scored candidate is the right code, next to the share that guessing gives.

    A monitor for networks that return predictions ``(M, F)``, codes ``(N, F)``, the row of the right code ``(M,)``
    (-100 to leave out) and candidates ``(M, N)``. The right code among ``t`` that share the highest score counts ``1 /
    t``, so that equal scores give exactly chance, the mean of one over the number of candidates. Candidates are the
    codes of this process.

    Example:
        >>> accuracy = ContrastiveAccuracy()
        >>> everything = torch.ones(2, 4, dtype=torch.bool)
        >>> accuracy.update((torch.zeros(2, 4), torch.eye(4), torch.tensor([0, 3]), everything), None)
        >>> accuracy.compute()
        {'accuracy': 0.25, 'chance': 0.25}
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._sums: Tensor | None = None  # (3,): found, expected by guessing, predictions

    @torch.no_grad()
    def update(self, output: tuple[Tensor, ...], label: Tensor | None = None) -> None:
        """Add one batch.

        Args:
            output: predictions, codes, positive and valid, as above.
            label: not used.

        Raises:
            ValueError: if there are not four tensors.
        """
        if len(output) != 4:
            raise ValueError(
                f"expected predictions, codes, positive and valid, found {len(output)} tensors; this monitor goes with "
                "networks such as medvol.networks.CPC"
            )
        predictions, codes, positive, valid = output
        keep = positive >= 0
        with torch.autocast(device_type=predictions.device.type, enabled=False):
            dtype = torch.promote_types(torch.promote_types(predictions.dtype, codes.dtype), torch.float32)
            scores = predictions[keep].to(dtype) @ codes.to(dtype).T
        valid = valid[keep]
        scores = scores.masked_fill(~valid, float("-inf"))
        best = scores == scores.amax(dim=1, keepdim=True)
        found = best.gather(1, positive[keep, None])[:, 0] / best.sum(dim=1)
        sums = torch.stack([found.double().sum(), valid.sum(dim=1).double().reciprocal().sum(), keep.double().sum()])
        self._sums = sums if self._sums is None else self._sums + sums

    def compute(self) -> dict[str, float]:
        """Return ``accuracy`` and ``chance`` over everything seen; NaN if there was no prediction."""
        found, chance, count = [float("nan")] * 3 if self._sums is None else self._sums.tolist()
        if not count:
            return {"accuracy": float("nan"), "chance": float("nan")}
        return {"accuracy": found / count, "chance": chance / count}
