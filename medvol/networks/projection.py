"""Embeddings of views: one encoder and one head for all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .patchwise import PatchEncoder

__all__ = ["Projector"]


class Projector(nn.Module):
    """Embed every view of an image by the same encoder, average over space, and the same head.

    The network of exemplar learning (Taleb et al. 2020, https://arxiv.org/abs/2006.03829, section 3.5) and SimCLR (Chen
    et al. 2020, https://arxiv.org/abs/2002.05709, section 2.1): ``z = W2 relu(W1 mean(encoder(view)))``. Views share
    all weights. The code of Taleb et al. gives anchor, positive and negative a head each, whose biases alone bring the
    triplet loss to zero, on noise and without the encoder.

    Args:
        encoder: maps ``(N, C, *spatial)`` to its coarsest map ``(N, C', *s)``; has ``channels`` (C' is the last) and
            ``spatial_dims``, as :class:`medvol.networks.Encoder`.
        embedding: features F of a view.
        hidden: width of the hidden layer; None for C'.
        normalize: give embeddings the length 1. False leaves them as they are, for the paper's distance between codes
            of 1024 features.

    Raises:
        ValueError: if the encoder holds a batch normalization, which mixes views, or returns several maps; a width is
            below 1; or the input has other axes.

    Example:
        >>> import torch
        >>> from monai.networks.nets import UNet
        >>> from medvol.networks import Encoder
        >>> norm = ("group", {"num_groups": 1})
        >>> net = UNet(2, in_channels=1, out_channels=1, channels=(4, 8), strides=(2,), norm=norm)
        >>> embeddings = Projector(Encoder(net), embedding=6)(torch.rand(3, 2, 1, 8, 8))
        >>> embeddings.shape, torch.allclose(embeddings.norm(dim=-1), torch.ones(3, 2))
        (torch.Size([3, 2, 6]), True)
    """

    def __init__(
        self, encoder: nn.Module, embedding: int = 128, hidden: int | None = None, normalize: bool = True
    ) -> None:
        super().__init__()
        hidden = encoder.channels[-1] if hidden is None else hidden
        for name, width, usual in (("embedding", embedding, 128), ("hidden", hidden, encoder.channels[-1])):
            if width < 1:
                raise ValueError(f"{name} must be at least 1 feature; found {width}; {usual} is usual")
        self.embed = PatchEncoder(encoder, hidden)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(hidden, embedding))
        self.spatial_dims: int = encoder.spatial_dims
        self.normalize = normalize

    def forward(self, views: Tensor) -> Tensor:
        """Return embeddings ``(B, V, F)`` of views ``(B, V, C, *spatial)``.

        A network for two axes also takes views of depth one, ``(B, V, C, X, Y, 1)``.
        """
        if self.spatial_dims == 2 and views.ndim == 6 and views.shape[-1] == 1:
            views = views.squeeze(-1)
        if views.ndim != 3 + self.spatial_dims:
            raise ValueError(
                f"views must be (B, V, C, *spatial) with {self.spatial_dims} spatial axes; found the shape "
                f"{tuple(views.shape)}; cut them with RandViewsd and match spatial_dims"
            )
        embeddings = self.head(self.embed(views))
        # at least single precision: directions are compared, and autocast would round them
        embeddings = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
        return functional.normalize(embeddings, dim=-1) if self.normalize else embeddings
