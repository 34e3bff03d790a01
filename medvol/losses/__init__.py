"""Criteria as modules, called as ``loss(output, label)``."""

from .infonce import InfoNCELoss
from .masked import MaskedCrossEntropyLoss
from .ntxent import NTXentLoss
from .restoration import RestorationLoss
from .supervision import ClassificationLoss, SegmentationLoss
from .triplet import TripletLoss

__all__ = [
    "ClassificationLoss",
    "InfoNCELoss",
    "MaskedCrossEntropyLoss",
    "NTXentLoss",
    "RestorationLoss",
    "SegmentationLoss",
    "TripletLoss",
]
