"""What images a library's network takes, and slices of volumes for networks of two axes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .encoder import Encoder
from .registry import find_row, find_stages
from .token_grid import as_slices, as_volumes

__all__ = ["Fit"]


class Fit:
    """The images that a network takes in and gives back in the same size.

    Library networks fail deep inside, where two maps are joined, on sizes that their strides do not divide. A network
    of two axes takes volumes slice by slice, in training those of depth one only, as :class:`medvol.networks.Encoder`.

    Args:
        network: a network of the encoder table.

    Attributes:
        spatial_dims: axes of the network, 2 or 3.
        in_channels: channels of the image.
        stride: what divides the image's size along each axis of the network, voxels.

    Raises:
        ValueError: if the network is not in the table, gives several outputs (deep supervision), or ends in anything
            else than a map of the image's size, as encoders and classifiers do.

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,))
        >>> fit, volume = Fit(net), torch.zeros(3, 1, 8, 4, 1)
        >>> fit.stride
        (2, 2)
        >>> fit.check(volume, training=True)
        >>> fit.run(net, volume).shape
        torch.Size([3, 1, 8, 4, 1])
    """

    def __init__(self, network: nn.Module) -> None:
        self._name = type(network).__name__
        _check_output(network)
        encoder = Encoder(network)
        last = encoder.strides[-1]
        self.spatial_dims, self.in_channels = encoder.spatial_dims, encoder.in_channels
        self.stride: tuple[int, ...] = last if isinstance(last, tuple) else (last,) * self.spatial_dims
        self._tokens = [stage.tokens for stage in find_stages(network) if stage.tokens is not None]

    def check(self, image: Tensor, training: bool) -> None:
        """Refuse images that the network does not take.

        Args:
            image: ``(B, C, *spatial)``; for a network of two axes also ``(B, C, X, Y, Z)``.
            training: whether the network trains: depth one only, then.

        Raises:
            ValueError: if axes, channels, depth or sizes do not fit: strides, or positions of a transformer.
        """
        sliced = self.spatial_dims == 2 and image.ndim == 5
        if (image.ndim != self.spatial_dims + 2 and not sliced) or image.shape[1] != self.in_channels:
            axes = ", ".join("XYZ"[: self.spatial_dims])
            raise ValueError(
                f"images for this {self._name} must be (B, {self.in_channels}, {axes}); found {tuple(image.shape)}; "
                "build the network with the image's axes (spatial_dims) and channels (in_channels)"
            )
        if sliced and training and image.shape[-1] != 1:
            raise ValueError(
                f"a {self._name} of two axes must train on single slices (B, C, X, Y, 1); found "
                f"{tuple(image.shape)}; crop slices, or build the network with spatial_dims=3"
            )
        for axis, size, stride in zip("XYZ", image.shape[2:], self.stride, strict=False):
            if size == 0 or size % stride:
                raise ValueError(
                    f"the size along axis {axis} must be a multiple of {stride}, the stride of this {self._name}; "
                    f"found {size} in an image of {tuple(image.shape[2:])} voxels; crop or pad that axis to "
                    f"{-(-max(size, 1) // stride) * stride}"
                )
        for tokens in self._tokens:
            tokens.of(image.shape[2 : 2 + self.spatial_dims])

    def run(self, function: Callable[..., Tensor], image: Tensor, *others: Tensor) -> Tensor:
        """Run a function of images ``(B, C, *spatial)``, slice by slice where the images have an axis more.

        Args:
            function: takes the image and the others; the network, or more around it.
            image: ``(B, C, *spatial)``, checked.
            others: more tensors ``(B, _, *spatial)``, cut into slices together with the image.

        Returns:
            What the function returns, ``(B, K, *spatial)``.

        Raises:
            ValueError: if the function's output is no map of the image's size.
        """
        sliced = image.ndim != self.spatial_dims + 2
        inputs = [as_slices(x) if sliced else x for x in (image, *others)]
        found = function(*inputs)
        want = (inputs[0].shape[0], *inputs[0].shape[2:])
        if not isinstance(found, Tensor) or (found.shape[0], *found.shape[2:]) != want:
            what = str(tuple(found.shape)) if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise ValueError(
                f"{self._name} must return one map (B, K, *spatial) of the image's size; found {what} for an image "
                f"{tuple(inputs[0].shape)}; take a network that ends at full resolution and has one output, such as "
                "DynUNet, UNet, BasicUNet or SegResNet"
            )
        return as_volumes(found, image.shape[0]) if sliced else found


def _check_output(network: nn.Module) -> None:
    name = type(network).__name__
    if not find_row(network).full_size:
        raise ValueError(
            f"a network that restores images must end at full resolution; found {name}, which ends in features or "
            "classes; take a U-Net such as DynUNet, or put the encoder of a transformer into MaskedViT or SimMIM"
        )
    found = ""
    if getattr(network, "deep_supervision", False):
        found = "deep_supervision=True, which gives one per scale; build the network with deep_supervision=False"
    elif getattr(network, "dsdepth", 1) > 1:
        found = f"dsdepth={network.dsdepth}, which gives one per scale; build the network with dsdepth=1"
    elif hasattr(network, "up_layers_auto"):
        found = "two decoders; take SegResNetDS with dsdepth=1"
    if found:
        raise ValueError(f"{name} must give one output; found {found}")
