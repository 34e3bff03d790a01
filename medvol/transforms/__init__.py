"""Pretext tasks, views and corruptions as MONAI dictionary transforms."""

from .classes import LabelsToClassesd
from .corruption import CORRUPTIONS, SPATIAL_CORRUPTIONS, Corruptiond
from .foreground import ForegroundMaskd
from .intensity import RandPatchIntensityd
from .modalities import SelectChannelsd
from .partial import RandReadCropByPosNegLabeld, RandReadCropd
from .patches import RandPatchGridd
from .regions import ClassesToLabelsd, LabelsToRegionsd, RegionsToLabelsd
from .saving import SavePredictiond
from .targets import TargetsToLabeld

__all__ = [
    "CORRUPTIONS",
    "SPATIAL_CORRUPTIONS",
    "ClassesToLabelsd",
    "Corruptiond",
    "ForegroundMaskd",
    "LabelsToClassesd",
    "LabelsToRegionsd",
    "RandPatchGridd",
    "RandPatchIntensityd",
    "RandReadCropByPosNegLabeld",
    "RandReadCropd",
    "RegionsToLabelsd",
    "SavePredictiond",
    "SelectChannelsd",
    "TargetsToLabeld",
]
