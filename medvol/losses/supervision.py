"""The supervised loss of segmentation: Dice and cross-entropy, for overlapping regions or exclusive classes."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SegmentationLoss"]


class SegmentationLoss(nn.Module):
    """Dice loss plus cross-entropy, in fp32, with optional deep supervision.

    ``mode="regions"`` is for regions that may overlap (whole tumor, core, enhancing): every channel is its own binary
    problem, ``Dice(sigmoid(x)) + BCE(x)``, as in region-based nnU-Net (Isensee et al. 2021,
    https://arxiv.org/abs/2011.00848). ``mode="classes"`` is for exclusive classes: ``Dice(softmax(x))`` without
    background ``+ CE(x)``. Dice is ``1 - (2 |pg| + s) / (|p| + |g| + s)`` with s = 1e-5, one value per sample and
    channel, then averaged (Milletari et al. 2016, without their squares).

    MONAI's ``DiceCELoss(sigmoid=True)`` is *not* the first of the two: with more than one channel its second term is a
    softmax cross-entropy with the regions as soft targets, which pulls overlapping regions apart (MONAI 1.6.1). So the
    two terms are put together here from ``DiceLoss`` and torch.

    Deep supervision is the stack ``(B, S, C, *spatial)`` of a library network in training mode (MONAI ``DynUNet``):
    levels are weighted 1, 1/2, 1/4, ... and the weights sum to one, so that the size of the loss does not depend on S.

    Args:
        mode: "regions" or "classes".
        dice_weight: factor of the Dice term.
        entropy_weight: factor of the (binary) cross-entropy.
        batch_dice: sum over the batch before dividing: steadier when a region is absent from many samples.

    Shapes:
        logits ``(B, C, *spatial)`` or ``(B, S, C, *spatial)``; label ``(B, C, *spatial)`` of zeros and ones for
        regions, ``(B, 1, *spatial)`` of class indices 0..C-1 for classes. The result is a scalar, float32 (float64 for
        float64 logits).

    Raises:
        ValueError: if the mode or the weights make no sense; when called, if the shapes do not fit the mode.

    Example:
        >>> loss = SegmentationLoss("regions", dice_weight=0.0)
        >>> round(loss(torch.zeros(1, 3, 4, 4, 4), torch.ones(1, 3, 4, 4, 4)).item(), 4)  # ln 2
        0.6931
    """

    def __init__(
        self, mode: str = "regions", dice_weight: float = 1.0, entropy_weight: float = 1.0, batch_dice: bool = False
    ) -> None:
        super().__init__()
        if mode not in ("regions", "classes"):
            raise ValueError(
                f"mode must be 'regions' (overlapping, sigmoid) or 'classes' (exclusive, softmax), but is {mode!r}; "
                "choose by whether a voxel may belong to several channels"
            )
        if min(dice_weight, entropy_weight) < 0 or dice_weight + entropy_weight == 0:
            raise ValueError(
                f"dice_weight and entropy_weight must be at least 0 and not both 0, but are {dice_weight} and "
                f"{entropy_weight}; use 1 and 1"
            )
        self.mode = mode
        self.dice_weight = dice_weight
        self.entropy_weight = entropy_weight
        exclusive = mode == "classes"
        self.dice = DiceLoss(
            sigmoid=not exclusive,
            softmax=exclusive,
            to_onehot_y=exclusive,
            include_background=not exclusive,
            batch=batch_dice,
        )

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch, see the class for shapes."""
        # MONAI's metadata tensors slow every operation down and would leak into the logged loss.
        logits, label = logits.as_subclass(Tensor), label.as_subclass(Tensor)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        label = label.to(logits)
        levels = logits.unbind(1) if logits.ndim == label.ndim + 1 else (logits,)
        self._check(levels[0], label)
        weights = [0.5**level for level in range(len(levels))]
        losses = [weight * self._level(level, label) for weight, level in zip(weights, levels, strict=True)]
        return torch.stack(losses).sum() / sum(weights)

    def _level(self, logits: Tensor, label: Tensor) -> Tensor:
        if self.mode == "regions":
            entropy = functional.binary_cross_entropy_with_logits(logits, label)
        else:
            entropy = functional.cross_entropy(logits, label[:, 0].long())
        return self.dice_weight * self.dice(logits, label) + self.entropy_weight * entropy

    def _check(self, logits: Tensor, label: Tensor) -> None:
        channels = logits.shape[1] if logits.ndim > 1 else 0
        expected = channels if self.mode == "regions" else 1
        fits = logits.ndim == label.ndim >= 3 and logits.shape[2:] == label.shape[2:] and len(logits) == len(label)
        if not fits or label.shape[1] != expected or (self.mode == "classes" and channels < 2):
            kind = "one channel per region" if self.mode == "regions" else "one channel of class indices, C >= 2"
            raise ValueError(
                f"mode '{self.mode}' needs logits (B, C, *spatial) and a label with {kind} on the same grid, but got "
                f"{tuple(logits.shape)} and {tuple(label.shape)}; see LabelsToRegionsd, and the network's out_channels"
            )
