"""Sparse masked autoencoding (SparK) with a whole library U-Net."""

from __future__ import annotations

from torch import Tensor, nn

from .decoders import find_decoder
from .densify import Densify
from .encoder import Encoder
from .fitting import Fit
from .masks import check_hidden
from .sparse import MaskHolder

__all__ = ["SparseAutoencoder"]


class SparseAutoencoder(nn.Module):
    """Restore hidden voxels from an encoder that never sees the holes.

    Tian et al. 2023 (SparK), https://arxiv.org/abs/2301.03580, section 3, on a U-Net as in Wald et al. 2025,
    https://arxiv.org/abs/2410.23132: the encoder runs sparse (:class:`medvol.networks.Encoder`): each of its maps goes
    as it is to the next stage, and through a :class:`~medvol.networks.densify.Densify` of its own to the decoder.
    Where a map is so coarse that every position covers a visible voxel, all its positions are visible.

    The layers of the library network are run, in the order of its own ``forward``; nothing is hooked into it, the mask
    is an argument, and its state-dict keys stay as they are. So it is saved and used afterwards without medvol, dense.
    Its convolutions and norms are converted in place and run the library's code whenever no mask is given. Its norms
    stay of the kind they are, over visible voxels; only a batch norm in training makes a sample depend on its batch
    mates. The convolutions of densify add roughly a sixth to the decoder of a DynUNet in multiply-adds, and can cost as
    much as the decoder of a UNet, which has one or two layers per scale there.

    Args:
        network: MONAI ``DynUNet``, ``UNet``, ``BasicUNet`` or ``SegResNet`` with as many outputs as the image has
            channels. One of two axes takes volumes ``(B, C, X, Y, Z)``, too, slice by slice; in training with Z = 1.
        token_std: standard deviation of the tokens' first values.

    Attributes:
        network: the library network.
        densify: one layer per stage of the encoder, finest first; only the pretext task uses them.

    Raises:
        ValueError: if the network's decoder is not known, its encoder has no sparse form or it gives several outputs,
            or ``token_std`` is out of range.

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,))
        >>> names = list(net.state_dict())
        >>> mask = torch.zeros(2, 1, 8, 12)
        >>> mask[..., :4, :4] = 1
        >>> restored, same = SparseAutoencoder(net)(torch.rand(2, 1, 8, 12), mask)
        >>> restored.shape, same is mask, list(net.state_dict()) == names
        (torch.Size([2, 1, 8, 12]), True, True)
    """

    def __init__(self, network: nn.Module, token_std: float = 0.02) -> None:
        super().__init__()
        self._decode = find_decoder(network)
        self.fit = Fit(network)
        dense = Encoder(network)
        self.densify = nn.ModuleList(
            Densify(channels, self.fit.spatial_dims, convolution=stride != 1, token_std=token_std)
            for channels, stride in zip(dense.channels, dense.strides, strict=True)
        )
        self.network = network
        # in a tuple, out of sight of the module: its layers are the network's own and would be listed twice
        self._encoder = (Encoder(network, sparse=True),)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the restored image and the mask.

        Args:
            image: the clean images ``(B, C, *spatial)``; hidden voxels are not looked at.
            mask: ``(B, 1, *spatial)``, 1 = hidden, 0 = visible; of volumes that are taken slice by slice, some voxel of
                every slice must be visible.

        Returns:
            The network's output ``(B, K, *spatial)``, and ``mask`` itself.

        Raises:
            ValueError: if the image does not fit the network, or the mask the image.
        """
        self.fit.check(image, self.training)
        check_hidden(mask, image)
        return self.fit.run(self._restore, image, mask), mask

    def _restore(self, image: Tensor, mask: Tensor) -> Tensor:
        visible = (mask == 0).to(image.device)
        maps = self._encoder[0].pyramid(image, visible)
        sizes = MaskHolder()
        with sizes.hold(visible):
            dense = [layer(x, ~sizes.hidden(x)) for layer, x in zip(self.densify, maps, strict=True)]
        return self._decode(self.network, dense)
