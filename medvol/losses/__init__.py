"""Criteria as modules, called as ``loss(output, label)``."""

from .infonce import InfoNCELoss
from .supervision import SegmentationLoss

__all__ = ["InfoNCELoss", "SegmentationLoss"]
