"""From a feature map with holes to one without: norm, token, convolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .sparse import masked_normalize

__all__ = ["Densify"]


class Densify(nn.Module):
    """Close the holes of an encoder's map on its way to the decoder.

    ``D = conv(where(visible, norm(S), token))``: Tian et al. 2023 (SparK), https://arxiv.org/abs/2301.03580, section
    3.2, with a convolution at every scale but full resolution as in Wald et al. 2025, https://arxiv.org/abs/2410.23132.
    The norm is a group norm of one group: mean and variance over the channels and *visible* positions of one sample.
    The papers' batch norm makes a sample depend on its batch mates, and an instance norm gives zeros where a single
    position is visible.

    Args:
        channels: C of the map.
        spatial_dims: 2 or 3.
        convolution: end with a convolution of 3 voxels per axis. False at full resolution.
        token_std: standard deviation of the token's first values (a normal distribution, cut at two of them).

    Attributes:
        norm: scale and shift ``(C,)`` of the norm.
        token: what stands at hidden positions, ``(1, C, 1, ...)``.
        project: the convolution, or nothing.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> layer, visible = Densify(4, spatial_dims=2, convolution=False), torch.eye(6).reshape(1, 1, 6, 6) == 1
        >>> dense = layer(torch.rand(1, 4, 6, 6) * visible, visible)
        >>> torch.equal(dense[0, :, 0, 1], layer.token.flatten())
        True
    """

    def __init__(self, channels: int, spatial_dims: int, convolution: bool = True, token_std: float = 0.02) -> None:
        super().__init__()
        if channels < 1 or spatial_dims not in (2, 3):
            raise ValueError(
                f"a map must have at least 1 channel and 2 or 3 axes; found {channels} and {spatial_dims}; take "
                "channels and spatial_dims of the Encoder"
            )
        if not (math.isfinite(token_std) and token_std > 0):
            raise ValueError(f"token_std must be a number above 0; found {token_std}; 0.02 is usual")
        self.norm = nn.GroupNorm(1, channels)
        self.token = nn.Parameter(torch.empty(1, channels, *[1] * spatial_dims))
        nn.init.trunc_normal_(self.token, std=token_std, a=-2 * token_std, b=2 * token_std)
        layer = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        self.project = layer(channels, channels, 3, padding=1) if convolution else nn.Identity()

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """Return the map without holes, ``(B, C, *spatial)``.

        Args:
            x: the map ``(B, C, *spatial)``, finite also where hidden.
            visible: booleans ``(B, 1, *spatial)``.
        """
        # at least single precision: autocast runs norms so, too
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        normed = masked_normalize(wide, visible, list(range(1, x.ndim)), self.norm.eps)[0]
        shape = (1, -1) + (1,) * (x.ndim - 2)
        normed = normed * self.norm.weight.view(shape) + self.norm.bias.view(shape)
        return self.project(torch.where(visible, normed, self.token).to(x.dtype))
