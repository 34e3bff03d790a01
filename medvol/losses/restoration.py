"""How far a reconstruction is from the clean image, over the voxels that count."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medvol.distributed import all_sum, world_size

__all__ = ["RestorationLoss"]

_NORMS = ("l2", "l1")
_ACTIVATIONS = (None, "sigmoid")


class RestorationLoss(nn.Module):
    """Mean squared or absolute error over the voxels that count, of all processes.

    ``L = sum_i m_i (a(x_i) - y_i)^2 / sum_i m_i`` over voxels and channels i, with the reconstruction x, the clean
    image y and an activation a. From a reconstruction alone all voxels count, m = 1 (Models Genesis, Zhou et al. 2021,
    https://arxiv.org/abs/2004.07882, with a sigmoid). From a pair of reconstruction and mask only hidden voxels count
    (He et al. 2022, https://arxiv.org/abs/2111.06377, section 3; with ``norm="l1"`` SimMIM, Xie et al. 2022,
    https://arxiv.org/abs/2111.09886, equation 1). Voxels whose label is NaN never count. Sums and number are those of
    all processes: masks of different size weigh by their voxels, not by the process they are on. Computed in single
    precision at least.

    One call sees one micro-batch. With gradient accumulation each is divided by its own number of voxels, and all of a
    step weigh alike: where they count differently many, that is not quite the mean over the voxels of the step. A
    micro-batch of which no voxel counts is worth 0 in every mean of losses, ``val_loss`` among them, and draws it down;
    ``mse`` of :class:`medvol.metrics.RestorationError` weighs by voxels and leaves it out. Such are volumes of which
    every hidden voxel is left out, for instance where there is no foreground: drop them from the manifest.

    Without an activation, the loss of a network that answers 0 is the mean of the squares of what is hidden: of images
    normalized over the same voxels, 1.

    Args:
        norm: "l2", squared error, or "l1", absolute error.
        activation: None, or "sigmoid" for images in [0, 1].

    Raises:
        ValueError: for another norm or activation; when called, if the shapes do not fit.

    Example:
        >>> clean, mask = torch.full((2, 1, 4, 4), 3.0), torch.zeros(2, 1, 4, 4)
        >>> mask[:, :, :2] = 1
        >>> float(RestorationLoss()((torch.zeros(2, 1, 4, 4), mask), clean))
        9.0
    """

    def __init__(self, norm: str = "l2", activation: str | None = None) -> None:
        super().__init__()
        for name, value, known in (("norm", norm, _NORMS), ("activation", activation, _ACTIVATIONS)):
            if value not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(map(str, known))}; found {value!r}; choose one of these"
                )
        self.norm, self.activation = norm, activation

    def forward(self, output: Tensor | tuple[Tensor, Tensor], label: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            output: the reconstruction ``(B, C, *spatial)``, or a pair of it and the mask ``(B, 1, *spatial)``, 1 =
                hidden.
            label: the clean image ``(B, C, *spatial)``; NaN leaves a voxel out.

        Returns:
            Scalar: the mean over the counted voxels and channels of all processes, the same on each. Zero, with a
            graph, if there are none.
        """
        reconstruction, mask = _parts(output, label)
        with torch.autocast(device_type=reconstruction.device.type, enabled=False):
            x = reconstruction.to(torch.promote_types(reconstruction.dtype, torch.float32))
            x = x.sigmoid() if self.activation == "sigmoid" else x
            clean = label.as_subclass(Tensor).to(x.dtype)
            counted = ~clean.isnan()
            if mask is not None:
                counted = counted & (mask > 0.5)
            # chosen before it is squared: the gradient at a voxel left out is 0, where NaN times 0 would be NaN
            error = torch.where(counted, x - clean, torch.zeros_like(x))
            total = error.square().sum() if self.norm == "l2" else error.abs().sum()
            sums = all_sum(torch.stack([total.detach(), counted.sum().to(x.dtype)]))
            count = sums[1].clamp(min=1.0)
            share = total * world_size() / count  # DDP averages over processes
            return share + (sums[0] / count - share).detach()  # the gradient of the share, the value of the mean


def _parts(output: Tensor | tuple[Tensor, Tensor], label: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Return reconstruction and mask, None where all voxels count, checked against the label."""
    parts = (output,) if isinstance(output, Tensor) else tuple(output)
    if len(parts) not in (1, 2) or not all(isinstance(part, Tensor) for part in parts):
        raise ValueError(
            "the network must return a reconstruction, or a pair of it and the mask; found "
            f"{' and '.join(type(part).__name__ for part in parts)}; use one such as "
            "medvol.networks.Restoration or medvol.networks.MaskedAutoencoder"
        )
    reconstruction, mask = (*parts, None)[:2]
    if label is None or label.shape != reconstruction.shape:
        raise ValueError(
            f"the label must be the clean image in the shape of the reconstruction {tuple(reconstruction.shape)}; "
            f"found {None if label is None else tuple(label.shape)}; give the network as many output channels as there "
            "are modalities, and let the transform store the label"
        )
    if mask is not None and mask.shape != (len(reconstruction), 1, *reconstruction.shape[2:]):
        raise ValueError(
            f"the mask must have the shape {(len(reconstruction), 1, *reconstruction.shape[2:])}; found "
            f"{tuple(mask.shape)}; return it as RandBlockMaskd drew it, at the image's resolution"
        )
    return reconstruction, mask
