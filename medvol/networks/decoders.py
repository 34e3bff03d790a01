"""The decoders of library U-Nets: from the maps of the encoder to the output, by the network's own layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from monai.networks.layers.simplelayers import SkipConnection
from monai.networks.nets.basic_unet import BasicUNet
from monai.networks.nets.dynunet import DynUNet
from monai.networks.nets.segresnet import SegResNet
from monai.networks.nets.unet import UNet
from torch import Tensor, nn

__all__ = ["Decoder", "find_decoder"]

Decoder = Callable[[nn.Module, Sequence[Tensor]], Tensor]


def find_decoder(network: nn.Module) -> Decoder:
    """Find the function that runs a network's decoder.

    With the maps of ``Encoder(network).pyramid(image)`` it gives, bit for bit, ``network(image)``.

    Args:
        network: MONAI ``DynUNet``, ``UNet``, ``BasicUNet`` or ``SegResNet``, or a subclass with the same ``forward``.

    Returns:
        A function of the network and its maps ``(B, C_i, *spatial_i)``, finest first; it returns ``(B, K, *spatial)``.

    Raises:
        ValueError: if the decoder of the network is not known.

    Example:
        >>> from medvol.networks import Encoder
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,))
        >>> image = torch.rand(2, 1, 8, 8)
        >>> torch.equal(find_decoder(net)(net, Encoder(net).pyramid(image)), net(image))
        True
    """
    for known, decoder in _DECODERS.items():
        # a subclass that runs its layers otherwise would be trained as what it is not
        if isinstance(network, known) and type(network).forward is known.forward:
            return decoder
    names = ", ".join(sorted(known.__name__ for known in _DECODERS))
    raise ValueError(
        f"the network must be one of MONAI's {names}, or a subclass with the same forward; found "
        f"{type(network).__name__}; take one of these, or MaskedAutoencoder, which runs every network of the table "
        "that ends at full resolution"
    )


def _decode_dynunet(network: DynUNet, maps: Sequence[Tensor]) -> Tensor:
    x = maps[-1]
    for up, skip in zip(network.upsamples, reversed(maps[:-1]), strict=True):
        x = up(x, skip)
    return network.output_block(x)


def _decode_basic_unet(network: BasicUNet, maps: Sequence[Tensor]) -> Tensor:
    x = maps[-1]
    ups = (network.upcat_4, network.upcat_3, network.upcat_2, network.upcat_1)
    for up, skip in zip(ups, reversed(maps[:-1]), strict=True):
        x = up(x, skip)
    return network.final_conv(x)


def _decode_segresnet(network: SegResNet, maps: Sequence[Tensor]) -> Tensor:
    return network.decode(maps[-1], list(reversed(maps)))


def _decode_unet(network: UNet, maps: Sequence[Tensor]) -> Tensor:
    ups, block = [], network.model  # Sequential(down, SkipConnection(the rest), up)
    while isinstance(block, nn.Sequential) and len(block) == 3 and isinstance(block[1], SkipConnection):
        ups.append(block[2])
        block = block[1].submodule
    x = maps[-1]
    for up, skip in zip(reversed(ups), reversed(maps[:-1]), strict=True):
        x = up(torch.cat([skip, x], dim=1))
    return x


_DECODERS: dict[type[nn.Module], Decoder] = {
    DynUNet: _decode_dynunet,
    UNet: _decode_unet,
    BasicUNet: _decode_basic_unet,
    SegResNet: _decode_segresnet,
}
