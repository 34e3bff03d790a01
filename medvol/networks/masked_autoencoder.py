"""Masked autoencoding with a whole library U-Net."""

from __future__ import annotations

import math

from torch import Tensor, nn

from .fitting import Fit
from .masks import check_hidden
from .unused import freeze_unused

__all__ = ["MaskedAutoencoder"]


class MaskedAutoencoder(nn.Module):
    """Blank the hidden voxels of an image and let a library network paint them, skip connections kept.

    ``x_hat = f(x * (1 - m))`` with m = 1 on hidden voxels (He et al. 2022, https://arxiv.org/abs/2111.06377, with a
    U-Net as in Wald et al. 2025, https://arxiv.org/abs/2410.23132). The network returns the very mask that it was
    given, so that the loss cannot count other voxels than those that were hidden. No parameter is added to the
    library network, none renamed.

    Args:
        network: a network of the encoder table with as many outputs as the image has channels. One of two axes takes
            volumes ``(B, C, X, Y, Z)``, too, slice by slice; in training with Z = 1 only.
        fill: what stands in hidden voxels, in units of the image; 0 is the mean of a standardized one.

    Raises:
        ValueError: if the network is not in the table, does not end at full resolution or gives several outputs, or
            ``fill`` is not finite.

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,))
        >>> mask = torch.zeros(2, 1, 8, 6)
        >>> mask[..., :4, :] = 1
        >>> restored, same = MaskedAutoencoder(net)(torch.rand(2, 1, 8, 6), mask)
        >>> restored.shape, same is mask
        (torch.Size([2, 1, 8, 6]), True)
    """

    def __init__(self, network: nn.Module, fill: float = 0.0) -> None:
        super().__init__()
        if not math.isfinite(fill):
            raise ValueError(f"fill must be a finite number; found {fill}; 0 is usual")
        self.fit = Fit(network)
        freeze_unused(network)
        self.network, self.fill = network, float(fill)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the restored image and the mask.

        Args:
            image: the clean images ``(B, C, *spatial)``; hidden voxels are not looked at.
            mask: ``(B, 1, *spatial)``, 1 = hidden, 0 = visible.

        Returns:
            The network's output ``(B, K, *spatial)``, and ``mask`` itself.

        Raises:
            ValueError: if the image does not fit the network, or the mask the image.
        """
        self.fit.check(image, self.training)
        check_hidden(mask, image)
        # a fill and not a product: a NaN under the mask would survive one
        holes = image.masked_fill(mask.to(image.device) == 1, self.fill)
        return self.fit.run(self.network, holes), mask
