# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Masked restoration by a transformer that sees all tokens, the hidden ones replaced by a learned vector."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

from .registry import input_paths
from .token_grid import as_slices, as_volumes, come_as_volumes, hidden_tokens, to_voxels
from .unused import freeze_unused

__all__ = ["SimMIM"]


class SimMIM(nn.Module):
    """Replaces hidden tokens by one learned vector, encodes all tokens, and restores the image from the coarsest map.

    Xie et al. 2022, https://arxiv.org/abs/2111.09886, section 3: the embedding of a hidden token is replaced before
    positions are added, the whole sequence goes through the encoder, and a light head predicts voxels. Windows stay
    whole, so that it works with Swin transformers, which cannot leave tokens out. Together with
    :class:`medvol.losses.RestorationLoss`, which scores hidden voxels only.

    Args:
        encoder: the product, an :class:`~medvol.networks.Encoder` of ``ViT``, ``UNETR`` or ``SwinUNETR``, in 2D or 3D.
        head: "linear" predicts all voxels of a feature at once, ``C * stride^d`` of them, as the paper does (for
            ``ViT``, ``UNETR``). "upsample" doubles the resolution step by step with transposed convolutions that halve
            the width; for a stride of 32 (``SwinUNETR``), where a linear head in 3D would have more weights than the
            encoder.

    Attributes:
        token_size: voxels of a token along each axis; blocks of the mask must be multiples of it.

    Raises:
        ValueError: if ``encoder`` is no ``Encoder`` or its first layer does not cut the image into tokens
            (convolutional networks), or ``head`` is unknown or does not fit the stride.

    Example:
        >>> import torch
        >>> from monai.networks.nets import ViT
        >>> from medvol.networks import Encoder
        >>> vit = ViT(1, img_size=(16, 24), patch_size=8, hidden_size=12, mlp_dim=24, num_layers=1, num_heads=2,
        ...           spatial_dims=2)
        >>> mask = torch.zeros(2, 1, 16, 24)
        >>> mask[..., :8, 8:] = 1  # hidden
        >>> reconstruction, same = SimMIM(Encoder(vit))(torch.rand(2, 1, 16, 24), mask)
        >>> reconstruction.shape, same is mask
        (torch.Size([2, 1, 16, 24]), True)
    """

    def __init__(self, encoder: nn.Module, head: str = "linear") -> None:
        super().__init__()
        self._path = _token_path(encoder)
        layer = encoder.get_submodule(self._path)
        freeze_unused(encoder)
        self.encoder = encoder
        self.spatial_dims: int = encoder.spatial_dims
        self.token_size: tuple[int, ...] = tuple(int(s) for s in layer.stride)
        stride = encoder.strides[-1]
        self.stride: tuple[int, ...] = stride if isinstance(stride, tuple) else (stride,) * self.spatial_dims
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(layer.out_channels), std=0.02))
        heads = {"linear": _linear, "upsample": _upsample}
        if head not in heads:
            raise ValueError(f"head must be 'linear' or 'upsample'; found {head!r}; choose one of the two")
        self.head = heads[head](encoder.channels[-1], encoder.in_channels, self.stride)

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Restore images.

        Args:
            image: ``(B, C, *spatial)``, sizes multiples of the encoder's coarsest stride. An encoder of two axes takes
                volumes ``(B, C, X, Y, Z)``, too, slice by slice; in training with Z = 1 only.
            mask: ``(B, 1, *spatial)``, 1 = hidden, 0 = visible, in whole tokens.

        Returns:
            The reconstruction ``(B, C, *spatial)`` of all voxels, and the mask as it came.

        Raises:
            ValueError: if image and mask do not fit, or the mask hides part of a token.
        """
        if come_as_volumes(image, self.spatial_dims, self.training) and mask.ndim == image.ndim:
            return as_volumes(self._restore(as_slices(image), as_slices(mask)), len(image)), mask
        return self._restore(image, mask), mask

    def _restore(self, image: Tensor, mask: Tensor) -> Tensor:
        self.encoder._check_image(image)
        if any(n % s for n, s in zip(image.shape[2:], self.stride, strict=True)):
            raise ValueError(
                f"the image must be a multiple of {self.stride}, the stride of the encoder's coarsest map; found "
                f"{tuple(image.shape[2:])}; crop or pad it"
            )
        hidden = hidden_tokens(mask, image, self.token_size).unsqueeze(1)
        token = self.token.reshape(1, -1, *[1] * self.spatial_dims)
        # the token replaces what is embedded here, but a NaN would survive in the gradient of the embedding
        image = image.masked_fill(mask.to(image.device) == 1, 0.0)

        def replace(_layer: nn.Module, _inputs: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
            return torch.where(hidden, token.to(embedded.dtype), embedded)

        hook = self.encoder.get_submodule(self._path).register_forward_hook(replace)
        try:
            coarsest = self.encoder.pyramid(image)[-1]
        finally:
            hook.remove()
        return self.head(coarsest)


class _Shuffle(nn.Module):
    """Spread features over voxels; see :func:`medvol.networks.token_grid.to_voxels`."""

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size = tuple(size)

    def forward(self, maps: Tensor) -> Tensor:
        return to_voxels(maps, self.size)


def _linear(width: int, channels: int, stride: Sequence[int]) -> nn.Module:
    return nn.Sequential(Conv["conv", len(stride)](width, channels * math.prod(stride), 1), _Shuffle(stride))


def _upsample(width: int, channels: int, stride: Sequence[int]) -> nn.Module:
    if any(s & (s - 1) for s in stride):
        raise ValueError(
            f"head 'upsample' needs a stride of powers of two; found {tuple(stride)}; use head='linear', or another "
            "patch size"
        )
    layers: list[nn.Module] = []
    left = list(stride)
    while max(left) > 1:
        step = [2 if s > 1 else 1 for s in left]
        left = [s // n for s, n in zip(left, step, strict=True)]
        layer = Conv["convtrans", len(stride)](width, max(width // 2, 8), step, stride=step)
        # without a norm in between: PyTorch's own start would shrink the signal to a quarter in every layer
        nn.init.normal_(layer.weight, std=math.sqrt(2 / width))
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.GELU()]
        width = max(width // 2, 8)
    return nn.Sequential(*layers, Conv["conv", len(stride)](width, channels, 1))


def _token_path(encoder: nn.Module) -> str:
    """The path of the layer that cuts the image into tokens."""
    if not hasattr(encoder, "pyramid"):
        raise ValueError(
            f"encoder must be a medvol.networks.Encoder; found {type(encoder).__name__}; wrap the library network as "
            "Encoder(network)"
        )
    path = input_paths(encoder)[0]
    layer = encoder.get_submodule(path)
    if tuple(layer.kernel_size) == tuple(layer.stride) and max(layer.stride) > 1 and not any(layer.padding):
        return path
    raise ValueError(
        "SimMIM needs an encoder that cuts the image into tokens (ViT, UNETR, SwinUNETR); found that of "
        f"{encoder.network_name}, a first convolution of {tuple(layer.kernel_size)} voxels with stride "
        f"{tuple(layer.stride)}; pre-train convolutional networks with mae3d or spark3d"
    )
