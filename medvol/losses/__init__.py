"""Criteria as modules, called as ``loss(output, label)``."""

from .infonce import InfoNCELoss
from .masked import MaskedCrossEntropyLoss
from .supervision import ClassificationLoss, SegmentationLoss

__all__ = ["ClassificationLoss", "InfoNCELoss", "MaskedCrossEntropyLoss", "SegmentationLoss"]
