"""Intensity changes drawn for each patch alone, against shortcuts by shading and absolute values."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from .centering import centered
from .each_view import views_of

__all__ = ["RandPatchIntensityd"]

_FLAT = 1e-6  # a standard deviation below this part of the largest value is rounding, not contrast


class RandPatchIntensityd(RandomizableTransform, MapTransform):
    """Change the intensity of every patch independently, then give it mean 0 and standard deviation 1.

    Mean, contrast and the slope of a bias field tell where a patch lies without any anatomy: on noise with a ramp of
    half a standard deviation, crude statistics place a patch right ten times as often as chance. Each patch and channel
    therefore passes, in this order: an affine change ``scale * z + shift`` of its standardized values; multiplication
    by a smooth field ``exp(polynomial)``, the model of coil shading (Van Leemput et al. 1999,
    https://doi.org/10.1109/42.811270), whose effect the shift in turn makes partly additive; a chance to be dropped,
    as color dropping in Henaff et al. 2020 (https://arxiv.org/abs/1905.09272); and last its own z-score. Nothing is
    rotated or interpolated.

    A large view shows the shading itself: on a ramp of half a standard deviation the direction of the ramp tells how
    the view was turned, and a random field on top does not hide it. With ``detrend`` the polynomial of that degree that
    fits a view and channel best is subtracted first, and with it every bias field of the kind.

    Background voxels are treated like all others, also in the statistics. A channel that is constant in a patch (all
    background, or dropped) becomes exactly 0, never NaN.

    Args:
        keys: patches ``(P, C, *patch)``; each image draws for itself.
        scale: range of the factor.
        shift: range of the shift, in standard deviations of the patch and channel.
        bias: range ``[-bias, bias]`` of the polynomial's coefficients; 0 turns the field off.
        degree: degree of the polynomial, 1 or more; its coordinates run from -1 to 1 over the patch.
        channel_drop: probability that a channel of a patch is set to zero; at least one channel always stays.
        detrend: degree of the polynomial that is fitted and subtracted before all else; 0 subtracts none.
        allow_missing_keys: skip absent images instead of failing.

    Raises:
        ValueError: if a range is reversed or not finite, ``scale`` is not positive, a probability or degree is out of
            range, or an image has no patch axis.

    Example:
        >>> patches = RandPatchIntensityd("image")({"image": torch.rand(8, 2, 4, 4, 4)})["image"]
        >>> patches.shape, bool(patches.mean(dim=(2, 3, 4)).abs().max() < 1e-5)
        (torch.Size([8, 2, 4, 4, 4]), True)
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        scale: Sequence[float] = (0.8, 1.25),
        shift: Sequence[float] = (0.0, 3.0),
        bias: float = 0.3,
        degree: int = 2,
        channel_drop: float = 0.1,
        detrend: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob=1.0)
        for name, values in (("scale", scale), ("shift", shift)):
            if len(values) != 2 or not np.isfinite(values).all() or values[0] > values[1]:
                raise ValueError(f"expected {name} as (lowest, highest), found {tuple(values)}; swap or correct them")
        if scale[0] <= 0:
            raise ValueError(f"expected a positive scale, found {tuple(scale)}; raise its lower end above 0")
        if not 0 <= bias < float("inf") or degree < 1:
            raise ValueError(f"expected bias >= 0 and degree >= 1, found {bias} and {degree}; bias=0 has no field")
        if not 0 <= channel_drop < 1:
            raise ValueError(f"expected channel_drop in [0, 1), found {channel_drop}; 0 turns it off")
        if detrend < 0:
            raise ValueError(f"expected detrend of 0 or more, the degree of a polynomial, found {detrend}; 2 is usual")
        self.detrend = detrend
        self.scale, self.shift, self.bias = tuple(scale), tuple(shift), float(bias)
        self.degree, self.channel_drop = degree, channel_drop
        self._factor = self._offset = self._field = self._keep = np.zeros(0)

    def randomize(self, patches: int, channels: int, terms: int) -> None:
        """Draw factor, shift, field and kept channels for every patch.

        Args:
            patches: number of patches P.
            channels: number of channels C.
            terms: number of terms of the polynomial.
        """
        self._factor = self.R.uniform(*self.scale, size=(patches, channels))
        self._offset = self.R.uniform(*self.shift, size=(patches, channels))
        self._field = self.R.uniform(-self.bias, self.bias, size=(patches, channels, terms))
        self._keep = self.R.uniform(size=(patches, channels)) >= self.channel_drop
        spared = self.R.randint(channels, size=patches)
        lost = np.flatnonzero(~self._keep.any(axis=1))
        self._keep[lost, spared[lost]] = True

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with changed and normalized patches."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self._change(views_of(d, key))
        return d

    def _change(self, image: Tensor) -> Tensor:
        """Apply one draw to patches ``(P, C, *patch)``."""
        basis = _polynomial(tuple(image.shape[2:]), self.degree).to(image.dtype)  # (terms, voxels)
        self.randomize(image.shape[0], image.shape[1], basis.shape[0])
        factor, offset, field, keep = (
            torch.as_tensor(drawn, dtype=image.dtype) for drawn in (self._factor, self._offset, self._field, self._keep)
        )
        x, contrast = _standardize(image.flatten(2))  # (P, C, voxels), (P, C, 1)
        if self.detrend:
            trend = _orthonormal(tuple(image.shape[2:]), self.detrend).to(x.dtype)  # (terms, voxels)
            rest = x - (x @ trend.T) @ trend
            # Against the deviation of 1 that x has: of a mere trend only rounding is left.
            still = torch.linalg.vector_norm(rest, dim=-1, keepdim=True) > _FLAT * 10 * x.shape[-1] ** 0.5
            x, contrast = _standardize(rest * still)[0], contrast * still
        # A constant channel stays at zero: shifted and shaded it would come back as a random ramp.
        x.mul_(factor[..., None]).add_(offset[..., None] * contrast)
        if self.bias > 0:
            x.mul_(torch.matmul(field, basis).exp_())
        x.mul_(keep[..., None])
        return _standardize(x)[0].reshape(image.shape)


@lru_cache(maxsize=8)
def _orthonormal(shape: tuple[int, ...], degree: int) -> Tensor:
    """Return an orthonormal basis of the polynomials up to ``degree`` over a patch ``(terms, voxels)``."""
    terms = _polynomial(shape, degree).double()
    terms = torch.cat([torch.ones(1, terms.shape[1], dtype=torch.float64), terms])
    basis, triangle = torch.linalg.qr(terms.T)
    independent = triangle.diagonal().abs() > 1e-6 * triangle.diagonal().abs().max()  # two voxels have no curve
    return basis.T[independent].float().contiguous()


def _standardize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return z-scores over the last axis, zero where it is constant, and 1 where it was not, else 0."""
    largest = torch.maximum(x.amax(dim=-1, keepdim=True), -x.amin(dim=-1, keepdim=True))
    x, deviation = centered(x)
    contrast = deviation > _FLAT * largest
    return x.mul_(torch.where(contrast, deviation.reciprocal(), torch.zeros_like(deviation))), contrast.to(x.dtype)


@lru_cache(maxsize=8)
def _polynomial(shape: tuple[int, ...], degree: int) -> Tensor:
    """Return the monomials of degree 1 to ``degree`` over a patch ``(terms, voxels)``; axes of size one have none."""
    grids = torch.meshgrid(*(torch.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    axes = [axis for axis, size in enumerate(shape) if size > 1]
    terms = [
        torch.stack([grids[axis] for axis in product]).prod(dim=0).flatten()
        for order in range(1, degree + 1)
        for product in itertools.combinations_with_replacement(axes, order)
    ]
    return torch.stack(terms) if terms else torch.zeros(0, grids[0].numel())
