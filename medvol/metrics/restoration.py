"""How much of what was hidden or distorted a network restores."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from medvol.distributed import all_sum

__all__ = ["RestorationError"]

_ACTIVATIONS = (None, "sigmoid")


class RestorationError:
    """Squared error of reconstructions, and the share of the clean voxels' variance that they explain.

    A monitor for networks that return a reconstruction ``(B, C, *spatial)``, of which all voxels count, or a pair of it
    and a mask ``(B, 1, *spatial)``, of which the hidden ones (1) count. Voxels whose label is NaN never do.

    - ``mse``: mean squared error over the counted voxels and channels.
    - ``explained``: ``1 - mse / v``, with v the mean squared distance of the same voxels from their own mean in each
      sample and channel. 1 is perfect; 0 is what the best even gray of each sample and channel would reach, and a
      network that has learned nothing stays at or below it.

    Both are of all voxels seen since the last reset, on all processes.

    Args:
        activation: None, or "sigmoid", as in the loss.

    Raises:
        ValueError: for another activation; when updated, if shapes do not fit.

    Example:
        >>> error, clean = RestorationError(), torch.tensor([[[0.0, 2.0, 4.0, 6.0]]])
        >>> error.update((clean.mean() + torch.zeros(1, 1, 4), torch.ones(1, 1, 4)), clean)
        >>> error.compute()
        {'mse': 5.0, 'explained': 0.0}
    """

    def __init__(self, activation: str | None = None) -> None:
        if activation not in _ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(map(str, _ACTIVATIONS))}; found {activation!r}; choose the "
                "loss's"
            )
        self.activation = activation
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._sums = torch.zeros(3, dtype=torch.float64)  # squared errors, squared distances from the mean, voxels

    @torch.no_grad()
    def update(self, output: Tensor | tuple[Tensor, Tensor], label: Tensor | None) -> None:
        """Add one batch.

        Args:
            output: the reconstruction, or a pair of it and the mask, as above.
            label: the clean image, shaped like the reconstruction; NaN leaves a voxel out.
        """
        x, mask = _parts(output, label)
        x = x.as_subclass(Tensor).to(torch.promote_types(x.dtype, torch.float32))
        x = (x.sigmoid() if self.activation == "sigmoid" else x).flatten(2)
        clean = label.as_subclass(Tensor).to(x.dtype).flatten(2)  # (B, C, voxels)
        counted = ~clean.isnan()
        if mask is not None:
            counted = counted & (mask.as_subclass(Tensor).flatten(2) > 0.5)
        nothing = torch.zeros_like(clean)
        number = counted.sum(dim=2)
        mean = torch.where(counted, clean, nothing).sum(dim=2) / number.clamp(min=1)  # (B, C)
        errors = torch.where(counted, x - clean, nothing).square().sum(dim=2)
        spread = torch.where(counted, clean - mean[..., None], nothing).square().sum(dim=2)
        # single sums are exact enough in single precision, those of a long window are not
        self._sums += torch.stack([part.double().sum().cpu() for part in (errors, spread, number)])

    def compute(self) -> dict[str, float]:
        """Return ``mse`` and ``explained``; NaN without voxels, and ``explained`` also where all are of one gray."""
        errors, spread, number = all_sum(self._sums).tolist()
        return {
            "mse": errors / number if number else math.nan,
            "explained": 1 - errors / spread if spread else math.nan,
        }


def _parts(output: Tensor | tuple[Tensor, Tensor], label: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return reconstruction and mask, None where all voxels count, checked against the label."""
    parts = [output] if isinstance(output, Tensor) else list(output)
    shapes = [tuple(part.shape) for part in parts]
    fits = label is not None and len(parts) in (1, 2) and len(shapes[0]) > 2 and tuple(label.shape) == shapes[0]
    if not fits or (len(parts) == 2 and shapes[1] != (shapes[0][0], 1, *shapes[0][2:])):
        raise ValueError(
            "this monitor takes a reconstruction (B, C, *spatial), alone or with a mask (B, 1, *spatial), and a label "
            f"like the reconstruction; found {' and '.join(map(str, shapes))}, and the label "
            f"{None if label is None else tuple(label.shape)}; it goes with networks such as "
            "medvol.networks.Restoration and medvol.networks.MaskedAutoencoder"
        )
    return parts[0], parts[1] if len(parts) == 2 else None
