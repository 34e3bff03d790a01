# Copyright (c) medvol contributors. Licensed under the Apache License, Version 2.0.
"""Convolution, norm and pooling that see only the visible voxels of a mask, with unchanged parameter names.

Tian et al., "Designing BERT for Convolutional Networks" (SparK, ICLR 2023, https://arxiv.org/abs/2301.03580), section
3.1: a convolution network that is given an image with holes must not move information into or out of the holes.
Submanifold sparse convolution is emulated densely: hidden input and hidden output are set to zero, norms take their
statistics over visible voxels.

A converted layer is the library's layer with another class (same parameters, same state dict). It looks for the mask
in one holder, which its Encoder fills for the duration of a call; while the holder is empty it runs the library's own
code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

__all__ = ["MaskHolder", "make_sparse", "masked_normalize"]


class MaskHolder:
    """Holds the mask of one running call and gives it at the size of any feature map.

    A coarse voxel is visible if any input voxel under it is visible (max pooling, windows as in
    ``adaptive_max_pool``: exact blocks where the sizes divide).
    """

    def __init__(self) -> None:
        self._mask: torch.Tensor | None = None
        self._sizes: dict[tuple[int, ...], torch.Tensor] = {}

    @property
    def active(self) -> bool:
        """Whether a call with a mask is running."""
        return self._mask is not None

    @contextmanager
    def hold(self, mask: torch.Tensor | None) -> Iterator[None]:
        """Holds ``mask`` (B, 1, *spatial), 1 = visible, inside the ``with`` block; the former state comes back."""
        former = self._mask, self._sizes
        self._mask, self._sizes = (None if mask is None else mask.float()), {}
        try:
            yield
        finally:
            self._mask, self._sizes = former

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """The hidden voxels at the size of ``x`` (B, C, *spatial), as booleans (B, 1, *spatial)."""
        size = tuple(x.shape[2:])
        if size not in self._sizes:
            pool = {1: F.adaptive_max_pool1d, 2: F.adaptive_max_pool2d, 3: F.adaptive_max_pool3d}[len(size)]
            mask = self._mask if tuple(self._mask.shape[2:]) == size else pool(self._mask, size)
            self._sizes[size] = mask == 0
        return self._sizes[size]

    def hide(self, x: torch.Tensor, value: float = 0.0) -> torch.Tensor:
        """``x`` (B, C, *spatial) with ``value`` in every hidden voxel (a fill, so that a hidden NaN does no harm)."""
        return x.masked_fill(self.hidden(x), value)


def masked_normalize(
    x: torch.Tensor, visible: torch.Tensor, dims: Sequence[int], eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Standardizes ``x`` with mean and variance of its visible entries over ``dims``.

    Args:
        x: values, finite also where hidden.
        visible: booleans that broadcast to ``x``.
        dims: axes over which the statistics are taken.
        eps: added to the variance.

    Returns:
        The standardized values (those of hidden entries mean nothing), the mean, the biased variance and the number
        of visible entries, the last three with size one along ``dims``.

    Example:
        >>> x = torch.tensor([[1.0, 3.0, 100.0]])
        >>> _, mean, var, count = masked_normalize(x, torch.tensor([[True, True, False]]), [1], 0.0)
        >>> mean.item(), var.item(), count.item()
        (2.0, 1.0, 2.0)
    """
    weight = visible.expand_as(x).to(x.dtype)
    count = weight.sum(dims, keepdim=True)
    safe = count.clamp(min=1)
    mean = (x * weight).sum(dims, keepdim=True) / safe
    centered = (x - mean) * weight
    var = centered.square().sum(dims, keepdim=True) / safe
    return (x - mean) * torch.rsqrt(var + eps), mean, var, count


class _Sparse(nn.Module):
    """What all converted layers share: dense without a mask; with one, hidden voxels are zero before and after."""

    holder: MaskHolder

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.holder.active:
            return super().forward(x)
        return self.holder.hide(self._masked(self.holder.hide(x)))

    def _masked(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class _SparseNorm(_Sparse):
    """A norm in at least single precision, as autocast runs norms; subclasses say over what."""

    def _masked(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        return self._normalize(wide, ~self.holder.hidden(x)).to(x.dtype)

    def _affine(self, x: torch.Tensor) -> torch.Tensor:
        if self.weight is None:
            return x
        shape = (1, -1) + (1,) * (x.ndim - 2)
        x = x * self.weight.view(shape)
        return x if self.bias is None else x + self.bias.view(shape)


class _SparseBatchNorm(_SparseNorm):
    def _normalize(self, x: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        if not self.training and self.running_mean is not None:
            return nn.modules.batchnorm._BatchNorm.forward(self, x)
        dims = [0, *range(2, x.ndim)]
        out, mean, var, count = masked_normalize(x, visible, dims, self.eps)
        if self.training and self.track_running_stats:
            self._track(mean.flatten(), (var * count / (count - 1).clamp(min=1)).flatten())
        return self._affine(out)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, var: torch.Tensor) -> None:
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(var.to(self.running_var.dtype), momentum)


class _SparseInstanceNorm(_SparseNorm):
    def _normalize(self, x: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        return self._affine(masked_normalize(x, visible, list(range(2, x.ndim)), self.eps)[0])


class _SparseGroupNorm(_SparseNorm):
    def _normalize(self, x: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        grouped = x.unflatten(1, (self.num_groups, -1))
        out = masked_normalize(grouped, visible.unsqueeze(2), list(range(2, grouped.ndim)), self.eps)[0]
        return self._affine(out.flatten(1, 2))


class _SparseLayerNorm(_SparseNorm):
    def _normalize(self, x: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        out = masked_normalize(x, visible, list(range(-len(self.normalized_shape), 0)), self.eps)[0]
        out = out if self.weight is None else out * self.weight
        return out if self.bias is None else out + self.bias


class _SparseMaxPool(_Sparse):
    def _masked(self, x: torch.Tensor) -> torch.Tensor:
        # a hidden zero must not win against a negative visible value; a window without any visible voxel gives zero
        lowest = torch.finfo(x.dtype).min
        pooled = super()._masked(self.holder.hide(x, lowest))
        return pooled.masked_fill(pooled == lowest, 0.0)


def _derive(mixin: type[_Sparse], library: type[nn.Module]) -> type[nn.Module]:
    """The library's class with a mask, as ``Sparse<name>`` of this module, where pickle will look for it."""
    name = f"Sparse{library.__name__}"
    globals()[name] = type(
        name, (mixin, library), {"__module__": __name__, "__doc__": f"{library.__name__} with holes."}
    )
    return globals()[name]


_SPARSE: dict[type[nn.Module], type[nn.Module]] = {
    library: _derive(mixin, library)
    for mixin, libraries in {
        _Sparse: (nn.Conv2d, nn.Conv3d),
        _SparseBatchNorm: (nn.BatchNorm2d, nn.BatchNorm3d),
        _SparseInstanceNorm: (nn.InstanceNorm2d, nn.InstanceNorm3d),
        _SparseGroupNorm: (nn.GroupNorm,),
        _SparseLayerNorm: (nn.LayerNorm,),
        _SparseMaxPool: (nn.MaxPool2d, nn.MaxPool3d),
    }.items()
    for library in libraries
}


def make_sparse(modules: Sequence[nn.Module]) -> MaskHolder:
    """Converts the layers of an encoder in place and returns the holder they look into.

    Args:
        modules: the encoder's submodules. Layers that were converted before (two Encoders over one network) keep
            their holder.

    Returns:
        The holder, shared by all converted layers.

    Raises:
        ValueError: when a layer mixes voxels or keeps numbers in a way that has no sparse form here (attention,
            padding layers, average pooling, synchronized batch norm, activation checkpointing); nothing is converted
            then.
    """
    layers = [layer for module in modules for layer in module.modules()]
    refused = sorted({type(layer).__name__ for layer in layers if not _is_known(layer)})
    if refused:
        raise ValueError(
            "sparse=True expects an encoder of convolutions, norms, max pooling and element-wise layers, found "
            f"{', '.join(refused)}; use another network, or sparse=False."
        )
    former = {id(layer.holder): layer.holder for layer in layers if isinstance(layer, _Sparse)}
    if len(former) > 1:
        raise ValueError(
            f"sparse=True expects layers of one network, found layers of {len(former)} other sparse Encoders; "
            "build a new network."
        )
    holder = next(iter(former.values())) if former else MaskHolder()
    for layer in layers:
        if type(layer) in _SPARSE:
            layer.__class__ = _SPARSE[type(layer)]
            layer.holder = holder
    return holder


def _is_known(layer: nn.Module) -> bool:
    if type(layer) in _SPARSE or isinstance(layer, _Sparse):
        # an instance norm with running statistics would need the batch's: no MONAI encoder has one
        return not (isinstance(layer, nn.modules.instancenorm._InstanceNorm) and layer.track_running_stats)
    if isinstance(layer, (nn.Identity, nn.modules.dropout._DropoutNd, nn.Sequential)):
        return True
    home = type(layer).__module__
    if home in ("torch.nn.modules.activation", "monai.networks.blocks.activation"):
        return not isinstance(layer, (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin))
    if type(layer).__name__ == "ActivationCheckpointWrapper":  # recomputes after the call, when the mask is gone
        return False
    # a composite block is judged by its parts; it must own no numbers itself
    return next(layer.children(), None) is not None and not layer._parameters and not layer._buffers
