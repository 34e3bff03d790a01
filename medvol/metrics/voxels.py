"""How often the class of a voxel is told right."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from medvol.distributed import all_sum

__all__ = ["VoxelAccuracy"]


class VoxelAccuracy:
    """Share of voxels whose class is told right, next to the share that one answer for a whole map gives, and Dice.

    A monitor for logits ``(B, K, *spatial)`` and maps of classes ``(B, 1, *spatial)``, as of volume fusion. ``chance``
    is the share of the most frequent class of each sample's map, which is what a network gets that has only learned how
    large the classes are. ``dice`` is the mean of ``2 |P & T| / (|P| + |T|)`` over the classes present in a sample's
    map, then over samples. Voxels with a negative or NaN class are left out; of equal scores the first class counts.

    Raises:
        ValueError: when fed, if logits and maps do not fit, or a class has no logit.

    Example:
        >>> accuracy = VoxelAccuracy()
        >>> accuracy.update(torch.tensor([[[0.0, 0.0, 3.0], [1.0, 1.0, 2.0]]]), torch.tensor([[[1, 0, 0]]]))
        >>> {name: round(value, 3) for name, value in accuracy.compute().items()}
        {'accuracy': 0.667, 'chance': 0.667, 'dice': 0.667}
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._sums: Tensor | None = None  # (5,): voxels right, voxels of the largest class, voxels, Dice, samples

    @torch.no_grad()
    def update(self, output: Tensor, label: Tensor | None) -> None:
        """Add one batch.

        Args:
            output: logits ``(B, K, *spatial)``.
            label: classes ``(B, 1, *spatial)``, 0 to K - 1, negative or NaN to leave out.
        """
        _check(output, label)
        classes = output.shape[1]
        found, truth = _answers(output.as_subclass(Tensor)), label.as_subclass(Tensor)[:, 0]
        tables = torch.stack([_table(t, f, classes) for t, f in zip(truth, found, strict=True)]).cpu().double()
        there, told = tables.sum(dim=2), tables.sum(dim=1)  # (B, K), voxels
        right = tables.diagonal(dim1=1, dim2=2)  # (B, K)
        present = there > 0
        dice = (2 * right / (there + told).clamp(min=1) * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        voxels = there.sum()
        counts = [right.sum(), there.amax(dim=1).sum(), voxels, dice.sum(), present.any(dim=1).sum().double()]
        total = torch.stack(counts)
        self._sums = total if self._sums is None else self._sums + total

    def compute(self) -> dict[str, float]:
        """Return ``accuracy``, ``chance`` and ``dice`` over all processes; NaN without voxels."""
        empty = torch.zeros(5, dtype=torch.float64)
        right, most, voxels, dice, samples = all_sum(empty if self._sums is None else self._sums).tolist()
        if not voxels:
            return {"accuracy": math.nan, "chance": math.nan, "dice": math.nan}
        return {"accuracy": right / voxels, "chance": most / voxels, "dice": dice / samples}


def _answers(output: Tensor) -> Tensor:
    """Return the class of the highest logit ``(B, *spatial)``, int32."""
    best = output[:, 0]
    found = torch.zeros(best.shape, dtype=torch.int32, device=best.device)
    for number, scores in enumerate(output.unbind(1)[1:], 1):  # many times faster than argmax over an outer axis
        found.masked_fill_(scores > best, number)
        best = torch.maximum(best, scores)
    if bool(best.isnan().any()):  # of no class; the first one would pass for the answer
        raise ValueError(
            f"logits must be numbers; found NaN in {int(best.isnan().sum())} voxels; look for images that are not "
            "finite, and for a training that has diverged"
        )
    return found


def _table(truth: Tensor, found: Tensor, classes: int) -> Tensor:
    """Count the voxels of one sample by class and answer ``(K, K)``."""
    kept = truth >= 0  # false for NaN
    codes = truth.to(torch.int32) * classes + found
    counts = torch.bincount(codes.flatten() if bool(kept.all()) else codes[kept], minlength=classes**2)
    if len(counts) > classes**2:
        raise ValueError(
            f"classes must be from 0 to {classes - 1}, one for each logit; found {int(truth[kept].max())}; give the "
            "network one output more than the highest class"
        )
    return counts.reshape(classes, classes)


def _check(output: Tensor, label: Tensor | None) -> None:
    expected = (len(output), 1, *output.shape[2:])
    if output.ndim < 3 or label is None or tuple(label.shape) != expected:
        found = "none" if label is None else tuple(label.shape)
        raise ValueError(
            f"a map of classes must have the shape {expected} for logits {tuple(output.shape)}; found {found}; use one "
            "crop size in the transforms and the network, and a network that returns one map"
        )
