# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Masked restoration by a transformer that encodes the visible tokens alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.blocks.transformerblock import TransformerBlock
from torch import Tensor, nn
from torch.nn import functional

from .registry import find_stages
from .token_grid import TokenGrid, as_slices, as_volumes, come_as_volumes, hidden_tokens, to_patches, to_voxels
from .unused import freeze_unused

__all__ = ["MaskedViT", "grid_positions"]


class MaskedViT(nn.Module):
    """Encodes the visible tokens, fills the hidden ones in, and restores the image by a small transformer.

    He et al. 2022, "Masked autoencoders are scalable vision learners", https://arxiv.org/abs/2111.06377, section 3: the
    encoder works on visible tokens only, from the patch embedding on; after it one learned vector takes the place of
    every hidden token, fixed positions are added to all, and two blocks and a linear layer predict the voxels. The mask
    is an argument, so that a validation mask can be the same every time, and the loss knows it. Together with
    :class:`medvol.losses.RestorationLoss`, which scores hidden voxels only.

    Args:
        encoder: the product, an :class:`~medvol.networks.Encoder` of ``ViT`` or ``UNETR``, in 2D or 3D.
        decoder_hidden: width of the decoder.
        decoder_layers: its blocks; 2 suffice for what fine-tuning takes over.
        heads: attention heads of each of its blocks.

    Attributes:
        token_size: voxels of a token along each axis; blocks of the mask must be multiples of it.

    Raises:
        ValueError: if ``encoder`` is no ``Encoder`` of ``ViT`` or ``UNETR``, or a size is out of range.

    Example:
        >>> import torch
        >>> from monai.networks.nets import ViT
        >>> from medvol.networks import Encoder
        >>> vit = ViT(1, img_size=(16, 24), patch_size=8, hidden_size=12, mlp_dim=24, num_layers=1, num_heads=2,
        ...           spatial_dims=2)
        >>> network = MaskedViT(Encoder(vit), decoder_hidden=8, heads=2)
        >>> mask = torch.zeros(2, 1, 16, 24)
        >>> mask[..., :8, 8:] = 1  # hidden
        >>> reconstruction, same = network(torch.rand(2, 1, 16, 24), mask)
        >>> reconstruction.shape, same is mask
        (torch.Size([2, 1, 16, 24]), True)
    """

    def __init__(self, encoder: nn.Module, decoder_hidden: int = 96, decoder_layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        embedding, *blocks, tokens = _parts(encoder)
        _check_sizes(decoder_hidden, decoder_layers, heads, encoder.spatial_dims)
        freeze_unused(encoder)
        self.encoder = encoder
        self._embedding, self._blocks = embedding, blocks
        self._tokens: TokenGrid = tokens
        self._positions: tuple[tuple[int, ...], Tensor] | None = None
        self.spatial_dims: int = encoder.spatial_dims
        self.token_size: tuple[int, ...] = tokens.size
        self.narrow = nn.Linear(encoder.channels[-1], decoder_hidden)
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(decoder_hidden), std=0.02))
        layers = [TransformerBlock(decoder_hidden, 4 * decoder_hidden, heads) for _ in range(decoder_layers)]
        for block in layers:
            block.norm_cross_attn = nn.Identity()  # MONAI's own has weights that nothing reads
        self.decoder = nn.Sequential(*layers, nn.LayerNorm(decoder_hidden))
        self.head = nn.Linear(decoder_hidden, encoder.in_channels * math.prod(self.token_size))

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Restore images from their visible tokens; hidden voxels change nothing.

        Args:
            image: ``(B, C, *spatial)`` of the size that the transformer has positions for. An encoder of two axes takes
                volumes ``(B, C, X, Y, Z)``, too, slice by slice; in training with Z = 1 only.
            mask: ``(B, 1, *spatial)``, 1 = hidden, 0 = visible, in whole tokens, as many in every sample.

        Returns:
            The reconstruction ``(B, C, *spatial)`` of all voxels, and the mask as it came.

        Raises:
            ValueError: if image and mask do not fit, the mask hides part of a token, or samples differ in the number of
                hidden tokens.
        """
        if come_as_volumes(image, self.spatial_dims, self.training) and mask.ndim == image.ndim:
            return as_volumes(self._restore(as_slices(image), as_slices(mask)), len(image)), mask
        return self._restore(image, mask), mask

    def _restore(self, image: Tensor, mask: Tensor) -> Tensor:
        self.encoder._check_image(image)
        hidden = hidden_tokens(mask, image, self.token_size)
        visible = _visible(hidden.flatten(1))
        features = self._encode(image, visible)
        sequence = self._fill(features, visible, hidden.shape[1:])
        voxels = self.head(self.decoder(sequence))
        return to_voxels(self._tokens.to_map(voxels, image.shape[2:]), self.token_size)

    def _encode(self, image: Tensor, visible: Tensor) -> Tensor:
        """Features ``(B, V, hidden_size)`` of the V visible tokens, whose places ``(B, V)`` are given."""
        embedding = self.encoder.get_submodule(self._embedding)
        patches = to_patches(image, self.token_size)
        patches = patches.gather(1, visible.unsqueeze(2).expand(-1, -1, patches.shape[2]))
        layer = embedding.patch_embeddings  # a convolution whose stride is its kernel: of each patch a linear layer
        chosen = functional.linear(patches, layer.weight.flatten(1), layer.bias)
        chosen = embedding.dropout(chosen + embedding.position_embeddings[0, visible])
        for path in self._blocks:
            chosen = self.encoder.get_submodule(path)(chosen)
        return chosen

    def _fill(self, features: Tensor, visible: Tensor, grid: Sequence[int]) -> Tensor:
        """The whole sequence ``(B, N, decoder_hidden)``: features at their places, the learned vector at all others."""
        narrow = self.narrow(features)
        empty = self.token.to(narrow.dtype).expand(len(narrow), math.prod(grid), -1)
        sequence = empty.scatter(1, visible.unsqueeze(2).expand_as(narrow), narrow)
        if self._positions is None or self._positions[0] != tuple(grid):  # of one size in all of a training
            self._positions = tuple(grid), grid_positions(grid, narrow.shape[2])
        return sequence + self._positions[1].to(narrow)


def grid_positions(grid: Sequence[int], width: int) -> Tensor:
    """Fixed positions of the tokens of a grid: sines and cosines of each coordinate, axis after axis.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5, with an equal part of the features for each
    axis; features that do not divide evenly are zero.

    Args:
        grid: tokens along each axis.
        width: features, at least two for each axis.

    Returns:
        ``(N, width)`` in double precision, the last axis of the grid running fastest.

    Example:
        >>> grid_positions((2, 2), 5).round(decimals=2).tolist()[1]  # token (0, 1)
        [0.0, 1.0, 0.84, 0.54, 0.0]
    """
    count = width // (2 * len(grid))
    frequencies = 10000.0 ** -(torch.arange(count, dtype=torch.float64) / count)
    parts = []
    for axis, n in enumerate(grid):
        angles = torch.arange(n, dtype=torch.float64)[:, None] * frequencies
        shape = [n if other == axis else 1 for other in range(len(grid))]
        parts.append(torch.cat([angles.sin(), angles.cos()], 1).reshape(*shape, -1).expand(*grid, -1))
    flat = torch.cat(parts, -1).flatten(0, -2)
    return functional.pad(flat, (0, width - flat.shape[1]))


def _visible(hidden: Tensor) -> Tensor:
    """Places ``(B, V)`` of the visible tokens of every sample, ascending; ``hidden`` is ``(B, N)``."""
    counts = (~hidden).sum(1)
    if (counts != counts[0]).any():
        raise ValueError(
            f"the mask must leave equally many tokens visible in every sample; found {counts.tolist()}; give "
            "RandBlockMaskd one ratio, not a range"
        )
    return (~hidden).nonzero()[:, 1].reshape(len(hidden), -1)


def _parts(encoder: nn.Module) -> list:
    """Path of the patch embedding, paths of what follows, and the grid of the tokens."""
    if not hasattr(encoder, "pyramid"):
        raise ValueError(
            f"encoder must be a medvol.networks.Encoder; found {type(encoder).__name__}; wrap the library network as "
            "Encoder(network)"
        )
    stage = find_stages(encoder)[-1]
    if stage.tokens is None:
        raise ValueError(
            f"MaskedViT needs an encoder whose blocks take any number of tokens (ViT, UNETR); found "
            f"that of {encoder.network_name}; use SimMIM (simmim3d) for SwinUNETR, mae3d or spark3d for convolutional "
            "networks"
        )
    return [*stage.modules, stage.tokens]


def _check_sizes(hidden: int, layers: int, heads: int, axes: int) -> None:
    for name, value, least in (
        ("decoder_hidden", hidden, 2 * axes),
        ("decoder_layers", layers, 1),
        ("heads", heads, 1),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}; found {value!r}; correct it")
    if hidden % heads:
        near = heads * -(-hidden // heads)
        raise ValueError(f"decoder_hidden must be a multiple of heads, {heads}; found {hidden}; take {near}")
