"""Patches of a grid through one encoder, each alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["PatchEncoder"]


class PatchEncoder(nn.Module):
    """Encode every patch alone: encoder, average over space, linear projection.

    All patches go through the encoder in one call, ``B * P`` samples. Batch normalization would mix them, so that a
    patch's embedding tells about the patches that it has to be told apart from; group and layer normalization do not.

    Args:
        encoder: maps ``(N, C, *spatial)`` to its coarsest map ``(N, C', *s)``; has ``channels`` (C' is the last) and
            ``spatial_dims``, as :class:`medvol.networks.Encoder`.
        embedding: features F per patch.
        allow_batch_norm: accept an encoder that mixes patches. Only for showing the leak.

    Raises:
        ValueError: if the encoder holds a batch normalization or returns several maps, or the input has other axes.

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> from medvol.networks import Encoder
        >>> norm = ("group", {"num_groups": 1})
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,), norm=norm)
        >>> PatchEncoder(Encoder(net), embedding=6)(torch.zeros(2, 9, 1, 8, 8)).shape
        torch.Size([2, 9, 6])
    """

    def __init__(self, encoder: nn.Module, embedding: int, allow_batch_norm: bool = False) -> None:
        super().__init__()
        if embedding < 1:
            raise ValueError(f"expected an embedding of at least 1 feature, found {embedding}; 128 is usual")
        mixing = [name for name, part in encoder.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
        if mixing and not allow_batch_norm:
            raise ValueError(
                f"expected an encoder that keeps patches apart, found {len(mixing)} batch normalizations (the first is "
                f'{mixing[0]!r}); build the network with norm ("group", {{"num_groups": 8}}). The bodies of '
                "FlexibleUNet cannot: take DynUNet, UNet or SegResNet"
            )
        self.encoder = encoder
        self.spatial_dims: int = encoder.spatial_dims
        self.project = nn.Linear(encoder.channels[-1], embedding)

    def forward(self, patches: Tensor, wanted: Tensor | None = None) -> Tensor:
        """Return embeddings ``(B, P, F)`` of patches ``(B, P, C, *patch)``.

        Args:
            patches: the patches.
            wanted: which of them to encode, boolean ``(B, P)``; the embeddings of the others are zero. An empty patch
                costs as much as a full one, and its gradient explodes: each normalization layer multiplies it by
                ``1 / sqrt(eps)``, 316, where all features are equal. ``None`` encodes all.
        """
        slices = patches.ndim == 6 and self.spatial_dims == 2 and patches.shape[-1] == 1  # the encoder drops that axis
        if patches.ndim != 3 + self.spatial_dims and not slices:
            raise ValueError(
                f"expected patches (B, P, C, *patch) with {self.spatial_dims} spatial axes, found the shape "
                f"{tuple(patches.shape)}; cut volumes with RandPatchGridd and match spatial_dims"
            )
        chosen = torch.arange(patches.shape[0] * patches.shape[1], device=patches.device)
        if wanted is not None:
            # one at least: every parameter takes part in every step, as distributed training expects
            chosen = chosen[wanted.flatten()] if bool(wanted.any()) else chosen[:1]
        maps = self.encoder(patches.flatten(0, 1)[chosen])
        if not isinstance(maps, torch.Tensor):
            raise ValueError(f'expected one map from the encoder, found {type(maps).__name__}; use output="last"')
        embeddings = self.project(maps.flatten(2).mean(dim=-1))
        places = embeddings.new_zeros(patches.shape[0] * patches.shape[1], embeddings.shape[1])
        return places.index_copy(0, chosen, embeddings).unflatten(0, patches.shape[:2])
