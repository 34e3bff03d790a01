"""How often a class is told right, and along which axis of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from medvol.distributed import all_sum

__all__ = ["ClassAccuracy"]

_IGNORED = -100


class ClassAccuracy:
    """Share of samples whose class is told right, next to the share that guessing gives.

    A monitor for logits ``(M, K)`` and labels, -100 to leave out. Of t classes that share the highest score each counts
    ``1 / t``, so that equal scores give exactly chance. With the ``grid`` of relative location the step along each axis
    is judged alone, too: a bias field or a slice profile gives one axis away and not the others.

    Args:
        grid: patches per axis, each odd, where the classes are the places around the center.

    Raises:
        ValueError: if the classes are not the places of the grid.

    Example:
        >>> accuracy = ClassAccuracy()
        >>> accuracy.update(torch.zeros(2, 4), torch.tensor([[0, -100]]))
        >>> accuracy.compute()
        {'accuracy': 0.25, 'chance': 0.25, 'counted': 0.5}
    """

    def __init__(self, grid: Sequence[int] | None = None) -> None:
        self.grid = None if grid is None else tuple(int(cells) for cells in grid)
        self.axes = [axis for axis, cells in enumerate(self.grid or ()) if cells > 1]
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._sums: Tensor | None = None  # (4 + 2 * axes,)

    @torch.no_grad()
    def update(self, output: Tensor, label: Tensor | None) -> None:
        """Add one batch.

        Args:
            output: logits ``(M, K)``.
            label: M classes in any shape, -100 to leave out.
        """
        target = label.as_subclass(Tensor).flatten().long()
        keep = target != _IGNORED
        scores, target = output[keep].double(), target[keep]
        best = scores == scores.amax(dim=1, keepdim=True) if len(scores) else torch.zeros_like(scores, dtype=torch.bool)
        share = best.double() / best.sum(dim=1, keepdim=True).clamp(min=1)  # (m, K)
        found = share.gather(1, target[:, None]).sum()
        count = torch.tensor(float(len(target)), dtype=torch.float64)
        sums = [found.cpu(), count / output.shape[1], count, torch.tensor(float(keep.numel()), dtype=torch.float64)]
        if self.grid is not None:
            for place in self._places(output.shape[1]):  # (K,)
                same = (place[None] == place[target.cpu()][:, None]).double()  # (m, K)
                sums += [(share.cpu() * same).sum(), same.mean(dim=1).sum()]
        total = torch.stack(sums)
        self._sums = total if self._sums is None else self._sums + total

    def _places(self, classes: int) -> Tensor:
        """Return the place of every class along each axis ``(axes, K)``."""
        count = math.prod(self.grid)
        if classes != count - 1 or count % 2 == 0:
            raise ValueError(
                f"expected {count - 1} classes, the places around the center of the grid {self.grid}, found {classes}; "
                "use one grid in the transforms, the network and the monitor"
            )
        places = torch.cartesian_prod(*(torch.arange(cells) for cells in self.grid)).reshape(count, -1)
        center = (count - 1) // 2
        return torch.cat([places[:center], places[center + 1 :]])[:, self.axes].T

    def compute(self) -> dict[str, float]:
        """Return ``accuracy``, ``chance`` and ``counted``, the share of samples with a label.

        With a grid also ``accuracy_axis_<a>`` and ``chance_axis_<a>`` for each axis. NaN without samples.
        """
        names = ["accuracy", "chance"]
        empty = torch.zeros(4 + 2 * len(self.axes), dtype=torch.float64)
        found, chance, count, seen, *rest = all_sum(empty if self._sums is None else self._sums).tolist()
        names += [f"{name}_axis_{axis}" for axis in self.axes for name in ("accuracy", "chance")]
        shares = [value / count if count else math.nan for value in (found, chance, *rest)]
        return {**dict(zip(names, shares, strict=True)), "counted": count / seen if seen else math.nan}
