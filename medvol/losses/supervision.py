"""Supervised losses: Dice and cross-entropy of segmentation, and the cross-entropies of classification."""

from __future__ import annotations

import torch
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ClassificationLoss", "SegmentationLoss"]


class SegmentationLoss(nn.Module):
    """Dice loss plus cross-entropy, in fp32, with optional deep supervision.

    ``mode="regions"`` is for regions that may overlap (whole tumor, core, enhancing): every channel is its own binary
    problem, ``Dice(sigmoid(x)) + BCE(x)``, as in region-based nnU-Net (Isensee et al. 2021,
    https://arxiv.org/abs/2011.00848). ``mode="classes"`` is for exclusive classes: ``Dice(softmax(x))`` without
    background, class 0, ``+ CE(x)``; with ``include_background`` class 0 is one as the others are. Dice is
    ``1 - (2 |pg| + s) / (|p| + |g| + s)`` with s = 1e-5, one value per sample and channel, then averaged (Milletari et
    al. 2016, without their squares).

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
        include_background: let Dice count class 0, too; of "classes" only, for every region counts anyway.

    Shapes:
        logits ``(B, C, *spatial)`` or ``(B, S, C, *spatial)``; label ``(B, C, *spatial)`` of zeros and ones for
        regions, ``(B, 1, *spatial)`` of class indices 0..C-1 for classes. The result is a scalar, float32 (float64 for
        float64 logits).

    Raises:
        ValueError: if mode, weights or include_background make no sense; when called, if shapes do not fit the mode.

    Example:
        >>> loss = SegmentationLoss("regions", dice_weight=0.0)
        >>> round(loss(torch.zeros(1, 3, 4, 4, 4), torch.ones(1, 3, 4, 4, 4)).item(), 4)  # ln 2
        0.6931
    """

    def __init__(
        self,
        mode: str = "regions",
        dice_weight: float = 1.0,
        entropy_weight: float = 1.0,
        batch_dice: bool = False,
        include_background: bool = False,
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
        if not isinstance(include_background, bool) or (include_background and mode == "regions"):
            raise ValueError(
                f"include_background must be false, or true with mode 'classes', where 0 is a class; found "
                f"{include_background!r} with mode '{mode}'; leave it out: every region counts"
            )
        self.mode = mode
        self.dice_weight = dice_weight
        self.entropy_weight = entropy_weight
        exclusive = mode == "classes"
        self.dice = DiceLoss(
            sigmoid=not exclusive,
            softmax=exclusive,
            to_onehot_y=exclusive,
            include_background=include_background or not exclusive,
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


class ClassificationLoss(nn.Module):
    """Cross-entropy of whole images, in fp32, that passes over unknown labels.

    ``mode="binary"`` is for findings that may occur together: one binary cross-entropy per logit. ``mode="ordinal"`` is
    for grades in an order: logit k answers "is the grade above k?", so K grades have K - 1 logits, each a binary
    problem, as in Frank and Hall, ECML 2001 (https://doi.org/10.1007/3-540-44795-4_13, section 2) and in the code of
    Taleb et al. 2020 (https://arxiv.org/abs/2006.03829), whose first of five sigmoids is always 1 and is left out here.
    ``mode="classes"`` is for exclusive classes without an order: softmax cross-entropy.

    The loss is the mean over all known entries of the batch, or 0 where none is known. An unknown entry (NaN) gets a
    gradient of exactly zero.

    Args:
        mode: "binary", "ordinal" or "classes".

    Shapes:
        logits ``(B, K)``, for grades ``(B, K - 1)``; label float, NaN = unknown: ``(B, K)`` of zeros and ones for
        "binary", else ``(B, 1)`` or ``(B,)`` of whole numbers 0 to K - 1. The result is a scalar, float32 (float64 for
        float64 logits).

    Raises:
        ValueError: if the mode is unknown; when called, if the shapes do not fit the mode, or a label is out of range.

    Example:
        >>> loss = ClassificationLoss("ordinal")
        >>> label = torch.tensor([[2.0], [torch.nan]])
        >>> round(loss(torch.zeros(2, 4), label).item(), 4)  # ln 2
        0.6931
    """

    def __init__(self, mode: str = "binary") -> None:
        super().__init__()
        if mode not in ("binary", "ordinal", "classes"):
            raise ValueError(
                f"mode must be 'binary' (findings, sigmoid), 'ordinal' (grades) or 'classes' (exclusive, softmax); "
                f"found {mode!r}; choose by what the labels are"
            )
        self.mode = mode

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss of a batch, see the class for shapes."""
        logits, label = logits.as_subclass(Tensor), label.as_subclass(Tensor)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        label = label.to(logits)
        if self.mode != "binary" and label.ndim == 1:
            label = label[:, None]
        self._check(logits, label)
        known = ~label.isnan()
        if not bool(known.any()):
            return (logits * 0).sum()  # a zero that a backward pass can start from
        if self.mode == "binary":
            return functional.binary_cross_entropy_with_logits(logits[known], label[known])
        rows = known[:, 0]
        logits, label = logits[rows], label[rows]
        if self.mode == "classes":
            return functional.cross_entropy(logits, label[:, 0].long())
        grades = torch.arange(logits.shape[1], device=logits.device)
        return functional.binary_cross_entropy_with_logits(logits, (label > grades).to(logits))

    def _check(self, logits: Tensor, label: Tensor) -> None:
        width = logits.shape[1] if logits.ndim == 2 else 0
        expected = width if self.mode == "binary" else 1
        if logits.ndim != 2 or tuple(label.shape) != (len(logits), expected):
            raise ValueError(
                f"mode '{self.mode}' must have logits (B, K) and a label (B, {'K' if self.mode == 'binary' else 1}); "
                f"found {tuple(logits.shape)} and {tuple(label.shape)}; see TargetsToLabeld, and num_outputs"
            )
        most = {"binary": 1, "ordinal": width, "classes": width - 1}[self.mode]
        wrong = label[~label.isnan() & ((label < 0) | (label > most) | (label != label.round()))]
        if len(wrong):
            raise ValueError(
                f"labels of mode '{self.mode}' with {width} logits must be whole numbers 0 to {most}, or NaN; found "
                f"{wrong[0].item():g}; correct the targets, or the network's num_outputs"
            )
