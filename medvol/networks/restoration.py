"""Restoration of a corrupted image by a whole library network."""

from __future__ import annotations

from torch import Tensor, nn

from .fitting import Fit
from .unused import freeze_unused

__all__ = ["Restoration"]


class Restoration(nn.Module):
    """Run a library network from image to image: what Models Genesis and VolumeFusion train.

    Zhou et al. 2019, https://arxiv.org/abs/1908.06912, section 2: encoder and decoder restore the original image from
    a corrupted one; Wang et al. 2023, https://arxiv.org/abs/2306.16925, name the patient of every voxel. The network is
    the product as it is: no parameter is added, none renamed.

    Args:
        network: a network of the encoder table with as many outputs as the task has, such as DynUNet. One of two axes
            takes volumes ``(B, C, X, Y, Z)``, too, slice by slice; in training with Z = 1 only.

    Raises:
        ValueError: if the network is not in the table, does not end at full resolution or gives several outputs.

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,))
        >>> Restoration(net)(torch.zeros(2, 1, 8, 6, 1)).shape
        torch.Size([2, 1, 8, 6, 1])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.fit = Fit(network)
        freeze_unused(network)
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return the network's output ``(B, K, *spatial)`` for images ``(B, C, *spatial)``.

        Raises:
            ValueError: if axes, channels or sizes do not fit the network; the message names the axis.
        """
        self.fit.check(image, self.training)
        return self.fit.run(self.network, image)
